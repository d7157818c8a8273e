//! The stages of the last build, for who wants to look into them.

use dfbuild_image::{Digest, ImageConfig};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::StepError;
use crate::images::layer_ref::LayerRef;
use crate::schedule::session::Session;

/// A stage of the last build of a store.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::Run;
///
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch AS tools\nRUN make tools\nFROM tools\nRUN make\n")
///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let tools = engine.last_stages().into_iter().find(|stage| stage.name() == "tools");
/// let run = Run::stage(tools.unwrap()).args(["ls", "/"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuiltStage {
    name: Option<String>,
    index: usize,
    layers: Vec<Digest>,
    config: ImageConfig,
}

/// Where they are noted.
const FILE: &str = "stages.json";

impl BuiltStage {
    /// What people call it: its name, else `stage-N`.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// # Build::new(BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch AS tools\nRUN make tools\nFROM tools\nRUN make\n")
    /// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let mut names: Vec<String> = engine.last_stages().iter().map(|stage| stage.name()).collect();
    /// names.sort();
    /// assert_eq!(names, ["stage-1", "tools"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage-{}", self.index))
    }

    pub(crate) fn config(&self) -> &ImageConfig {
        &self.config
    }

    pub(crate) fn layers(&self, engine: &Engine) -> Result<Vec<LayerRef>, StepError> {
        layer_refs(engine, &self.layers)
    }
}

/// Layers of the store by their diff ids.
pub(crate) fn layer_refs(engine: &Engine, layers: &[Digest]) -> Result<Vec<LayerRef>, StepError> {
    let refs = layers.iter().map(|diff_id| {
        let content_id = engine.content_id(diff_id)?;
        Ok(LayerRef { diff_id: *diff_id, content_id, clock: None, blob: None, step: None })
    });
    refs.collect()
}

impl Engine {
    /// The stages that the last build of this store came to, whether it succeeded or not. They may
    /// have been removed by now.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// assert!(engine.last_stages().is_empty());
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch AS tools\nRUN make tools\nFROM tools\nRUN make\n")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(engine.last_stages().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_stages(&self) -> Vec<BuiltStage> {
        let bytes = std::fs::read(self.store().scratch_path(FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

impl Session<'_> {
    /// Notes the stages that are done.
    pub(crate) fn note_stages(&self) {
        let stages = self.done().into_iter().map(|(id, result)| {
            let stage = self.graph.stage(id);
            BuiltStage {
                name: stage.name.clone(),
                index: stage.index,
                layers: result.layers.iter().map(|layer| layer.diff_id).collect(),
                config: stage.config.clone(),
            }
        });
        let stages: Vec<BuiltStage> = stages.collect();
        let bytes = dfbuild_image::canonical_json(&stages);
        let path = self.engine.store().scratch_path(FILE);
        // It only saves work; a store may be read-only.
        if std::fs::read(&path).is_ok_and(|known| known == bytes) {
            return;
        }
        let _ = std::fs::write(path, bytes);
    }
}
