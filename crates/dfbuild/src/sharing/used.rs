use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use dfbuild_cache::{Key, Record};
use dfbuild_image::Digest;
use dfbuild_plan::{Base, StageId};

use super::options::CacheMode;
use crate::images::layers::LayerRef;
use crate::schedule::lookup::Lookup;
use crate::schedule::session::Session;
use crate::schedule::stage_run::StageResult;

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
    /// Notes a step that ran or came from the cache.
    pub(crate) fn note(
        &self,
        session: &Session<'_>,
        (stage, at): (StageId, usize),
        keys: &[&Key],
        record: &Record,
        below: &[LayerRef],
    ) {
        if session.build.cache_to.is_empty() {
            return;
        }
        let step = UsedStep::new((stage, at), keys, record, below);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// The steps that a cache holds.
    pub(super) fn of(&self, session: &Session<'_>, mode: CacheMode) -> Vec<UsedStep> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match mode {
            CacheMode::Min => {
                let targets = session.graph.targets.iter();
                let lineage: HashSet<StageId> =
                    targets.flat_map(|target| session.graph.lineage(*target)).collect();
                used.retain(|step| lineage.contains(&step.stage));
            }
            CacheMode::Max => {
                // Stages whose results nobody needed, because what reads them was cached.
                let seen: HashSet<StageId> = used.iter().map(|step| step.stage).collect();
                let all = (0..session.graph.stages.len()).map(StageId);
                for stage in all.filter(|stage| !seen.contains(stage)) {
                    recorded(session, stage, Some(&mut used));
                }
            }
        }
        used
    }
}

impl UsedStep {
    fn new(
        (stage, at): (StageId, usize),
        keys: &[&Key],
        record: &Record,
        below: &[LayerRef],
    ) -> Self {
        let keys = keys.iter().map(|key| key.digest()).collect();
        Self { stage, at, keys, record: record.clone(), below: below.to_vec() }
    }
}

/// What is recorded of a stage that was not built: its layers, as far as they are known. Its
/// steps are added to `used`.
fn recorded(
    session: &Session<'_>,
    id: StageId,
    mut used: Option<&mut Vec<UsedStep>>,
) -> Option<StageResult> {
    let stage = session.graph.stage(id);
    let mut result = match &stage.base {
        Base::Scratch => StageResult::on(&[]),
        Base::Image(request) => StageResult::on(&session.bases[request].layers),
        Base::Stage(base) => recorded(session, *base, None)?,
        Base::Directory(_) => return None,
    };
    let definition = session.definition(id).ok()?;
    for (at, (step, key)) in stage.steps.iter().zip(&definition.keys).enumerate() {
        let Lookup::Hit(record) = session.lookup(step, key, &result) else { return None };
        if let Some(used) = &mut used {
            let by_content = session.content_key(stage, at, &definition, &result);
            let keys: Vec<&Key> = [key].into_iter().chain(&by_content).collect();
            used.push(UsedStep::new((id, at), &keys, &record, &result.layers));
        }
        result.push(session.progress.info(id, at).id, &record);
    }
    Some(result)
}
