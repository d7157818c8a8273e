use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dfbuild_cache::Key;
use dfbuild_image::Digest;
use dfbuild_plan::StageId;

use crate::schedule::keys::SourceId;

/// How stages are made, by stage: the key of each step by definition.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    pub(super) known: Mutex<HashMap<StageId, Arc<Definition>>>,
    /// Whether a stage runs something whatever is in the cache.
    pub(super) must_run: Mutex<HashMap<StageId, bool>>,
}

/// Why a step runs whatever is in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forced {
    /// Nothing comes from the cache.
    All,
    /// Nothing of its stage does.
    Stage,
    /// It was named.
    Step,
}

/// The keys of one stage's steps by definition, and what its sources come to where that is known
/// before anything runs.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The key of each step.
    pub(crate) keys: Vec<Key>,
    /// What the sources of each step come to.
    pub(super) sources: Vec<Vec<SourceId>>,
    /// What it begins with.
    pub(super) start: Digest,
    /// The key of its end.
    pub(super) end: Digest,
}
