use std::collections::HashSet;

use dfbuild_cache::Key;
use dfbuild_plan::{Base, StageId};

use super::options::CacheMode;
use super::used::UsedStep;
use crate::schedule::lookup::Lookup;
use crate::schedule::session::Session;
use crate::schedule::stage_result::StageResult;

/// The steps that a cache holds.
pub(super) fn steps_of(session: &Session<'_>, mode: CacheMode) -> Vec<UsedStep> {
    let mut used = session.used.all();
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
