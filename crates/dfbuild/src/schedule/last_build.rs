use std::path::PathBuf;

use dfbuild_cache::Record;
use dfbuild_image::{Digest, canonical_json};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::explanation::Explanation;
use crate::schedule::session::Session;

/// What is kept of the last build of a Dockerfile and context. Failing to costs explanations and
/// nothing else.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LastBuild {
    /// Why it ran what it ran.
    pub(crate) explanation: Explanation,
    /// The keys of its steps by definition: under them stand the records of what it used, whether
    /// that ran or came from the cache, or was not even asked for. Behind those of a build that did
    /// not end well come those of the build before.
    keys: Vec<Digest>,
}

impl LastBuild {
    /// What is known of the last build of a project.
    pub(crate) fn read(engine: &Engine, project: &Digest) -> Option<Self> {
        let bytes = std::fs::read(path(engine, project)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

fn path(engine: &Engine, project: &Digest) -> PathBuf {
    engine.store().scratch_path(&format!("last-{}", project.hex()))
}

impl Session<'_> {
    /// Keeps what the next build may want to know of this one.
    pub(crate) fn keep_last_build(&self, explanation: Explanation) {
        let project = self.contexts.project();
        let mut keys = self.definition_keys();
        if explanation.end.is_some() {
            let before = LastBuild::read(self.engine, &project);
            keys.extend(before.into_iter().flat_map(|last| last.keys).take(MOST_KEYS));
        }
        let last = LastBuild { explanation, keys };
        let _ = std::fs::write(path(self.engine, &project), canonical_json(&last));
    }

    /// The notes of what the last build used, the last one first.
    pub(super) fn last_notes(&self) -> Vec<Digest> {
        let last = LastBuild::read(self.engine, &self.contexts.project());
        let keys = last.map(|last| last.keys).unwrap_or_default();
        let record = |key: &Digest| Record::decode(&self.engine.store().record(key)?);
        keys.iter().filter_map(|key| record(key)?.note).collect()
    }
}

/// Builds that fail again and again do not make the list grow for ever.
const MOST_KEYS: usize = 1000;
