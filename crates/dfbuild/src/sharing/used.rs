use std::sync::{Mutex, PoisonError};

use dfbuild_cache::{Key, Record};
use dfbuild_image::Digest;
use dfbuild_plan::StageId;

use crate::images::layer_ref::LayerRef;

/// A step of a build, with its result.
#[derive(Debug, Clone)]
pub(super) struct UsedStep {
    pub(super) stage: StageId,
    /// Its place in the stage.
    pub(super) at: usize,
    /// By definition, and by content if that is known.
    pub(super) keys: Vec<Digest>,
    pub(super) record: Record,
    /// The layers that it was made on, the lowest first.
    pub(super) below: Vec<LayerRef>,
}

/// The steps of a build, as they come; nothing is kept unless a cache is written.
#[derive(Debug, Default)]
pub(crate) struct UsedSteps(Mutex<Vec<UsedStep>>);

impl UsedSteps {
    /// Adds a step that ran or came from the cache.
    pub(crate) fn note(
        &self,
        place: (StageId, usize),
        keys: &[&Key],
        record: &Record,
        below: &[LayerRef],
    ) {
        let step = UsedStep::new(place, keys, record, below);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<UsedStep> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl UsedStep {
    pub(super) fn new(
        (stage, at): (StageId, usize),
        keys: &[&Key],
        record: &Record,
        below: &[LayerRef],
    ) -> Self {
        let keys = keys.iter().map(|key| key.digest()).collect();
        Self { stage, at, keys, record: record.clone(), below: below.to_vec() }
    }
}
