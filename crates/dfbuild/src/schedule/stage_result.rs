use dfbuild_cache::{LayerRecord, Record};
use dfbuild_image::{Digest, Timestamp};
use dfbuild_plan::{Step, StepKind};

use crate::error::{Error, StepError};
use crate::event::{StepId, StepInfo};
use crate::images::layer_ref::LayerRef;
use crate::schedule::keys::{chain, link};

/// A finished stage.
#[derive(Debug)]
pub(crate) struct StageResult {
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<LayerRef>,
    /// The content of them all.
    pub(crate) content: Digest,
    /// Whether a step of it, or of what it was built from, ran in this build.
    pub(crate) ran: bool,
    /// When each of its steps was made.
    pub(crate) created: Vec<Timestamp>,
    /// The time of what the builder itself makes.
    pub(crate) made_at: i64,
    /// The last of the steps below its end that ran, or would.
    pub(crate) ran_step: Option<StepId>,
    /// Whether what it comes to is not known, because nothing runs.
    pub(crate) unknown: bool,
}

impl StageResult {
    /// A stage that so far is no more than what it begins with.
    pub(crate) fn on(layers: &[LayerRef]) -> Self {
        Self {
            layers: layers.to_vec(),
            content: chain(layers.iter().map(|layer| &layer.content_id)),
            ran: false,
            created: Vec::new(),
            made_at: Timestamp::NO_CLOCK.seconds(),
            ran_step: None,
            unknown: false,
        }
    }

    pub(crate) fn push(&mut self, step: StepId, record: &Record) {
        self.content = link(&self.content, &record.layer.content_id);
        self.layers.push(layer_of(step, &record.layer));
        self.created.push(record.created);
    }
}

/// The layer of a step of this build.
pub(crate) fn layer_of(step: StepId, record: &LayerRecord) -> LayerRef {
    LayerRef { step: Some(step), ..layer_ref(record) }
}

pub(crate) fn layer_ref(record: &LayerRecord) -> LayerRef {
    LayerRef {
        diff_id: record.diff_id,
        content_id: record.content_id,
        clock: Some(record.clock.clone()),
        blob: None,
        step: None,
    }
}

/// The content that a step is made on; a linked copy does not see any.
pub(crate) fn seen_below(step: &Step, below: &StageResult) -> Digest {
    match &step.kind {
        StepKind::Copy(copy) if copy.link && copy.chmod.is_none() => chain([]),
        _ => below.content,
    }
}

pub(crate) fn step_error(info: &StepInfo, source: StepError) -> Error {
    Error::Step { step: Box::new(info.clone()), source: Box::new(source) }
}
