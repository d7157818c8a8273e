//! The stages of the last build, for who wants to look into them.

use dfbuild_image::{Digest, ImageConfig};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::StepError;
use crate::images::layers::LayerRef;
use crate::schedule::session::Session;

/// A stage of the last build of a store.
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
