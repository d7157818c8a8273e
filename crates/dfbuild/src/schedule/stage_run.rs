use std::sync::Arc;
use std::thread;

use dfbuild_cache::{Key, Record};
use dfbuild_image::{Timestamp, TreePath};
use dfbuild_plan::{Base, Stage, StageId, Step, TreeSource};
use dfbuild_store::KeyLock;

use crate::error::{Error, StepError};
use crate::event::StepInfo;
use crate::explanation::Story;
use crate::images::rootfs::Rootfs;
use crate::leaks::Leaks;
use crate::schedule::definition::Definition;
use crate::schedule::keys::{SourceId, is_given, link, step_key};
use crate::schedule::lookup::{Lookup, Unusable};
use crate::schedule::misses::{Miss, Told};
use crate::schedule::session::{Failed, Session};
use crate::schedule::sources::{Handle, source_ids};
use crate::schedule::stage_result::{StageResult, layer_ref, step_error};
use crate::schedule::step_run::Place;
use crate::steps::draft::Draft;
use crate::turn::Turn;

/// What became of a step that was not in the cache.
enum Went {
    /// It ran; with the lock of its key.
    Ran(Box<Record>, Option<KeyLock>),
    /// Another build has made it.
    Cached(Box<Record>),
    /// It would run.
    Nowhere,
}

impl Session<'_> {
    /// Builds a stage. `Err(None)` if a stage that it needs failed.
    pub(crate) fn run_stage<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        id: StageId,
    ) -> Result<StageResult, Option<Error>> {
        let stage = self.graph.stage(id);
        let definition = self.definition(id)?;
        // Before anything is waited for, other stages that will be needed begin.
        let first_miss = self.first_unknown(stage, &definition);
        // What is read from these must all be of one run: their content decides for each step.
        let demanded_stages = self.stages_of(&stage.steps[first_miss..]);
        self.demand_sources(scope, &stage.steps[first_miss..]);
        let mut result = self.begin_stage(scope, stage)?;
        let mut demanded = first_miss == 0;
        for (at, step) in stage.steps.iter().enumerate() {
            let info = self.progress.info(id, at);
            if self.ending().is_near() {
                return Err(None);
            }
            let forced = self.forced(stage, step);
            let by_definition = &definition.keys[at];
            let mut unusable = None;
            if forced.is_none()
                && !result.ran
                && !self.sources_ran(step)
                && !self.reads_any(step, &demanded_stages)
            {
                match self.lookup(step, by_definition, &result) {
                    Lookup::Hit(record) => {
                        let by_content = self.content_key(stage, at, &definition, &result);
                        let keys: Vec<&Key> =
                            [by_definition].into_iter().chain(&by_content).collect();
                        self.note_used((id, at), &keys, &record, &result.layers);
                        self.take_cached(info, &record, &mut result);
                        self.note_place(id, at, step, &record);
                        continue;
                    }
                    Lookup::Miss(why) => unusable = Some(why),
                }
            }
            if !demanded {
                // This step needs its sources, and those after it very likely theirs.
                self.demand_sources(scope, &stage.steps[at..]);
                demanded = true;
            }
            let sources = self.wait_for_sources(scope, step).map_err(|Failed| None)?;
            result.ran |= sources.iter().flatten().any(|source| source.ran);
            let handles: Vec<Handle<'_>> = self.handles(step, &sources);
            let failed = |source| Some(self.step_failed(info, step, source));
            let known = &definition.sources[at];
            let mut keep = |node, bytes| self.nodes.keep(node, bytes);
            let ids = source_ids(step, &handles, &sources, known, &self.fetcher(), &mut keep)
                .map_err(failed)?;
            let key = step_key(step, &self.key_input(stage, false, result.content, &ids));
            let is_known = !result.unknown && !sources.iter().flatten().any(|it| it.unknown);
            if forced.is_none() && is_known {
                match self.lookup(step, &key, &result) {
                    Lookup::Hit(record) => {
                        self.remember(by_definition, &record);
                        self.note_used((id, at), &[by_definition, &key], &record, &result.layers);
                        self.take_cached(info, &record, &mut result);
                        self.note_place(id, at, step, &record);
                        continue;
                    }
                    Lookup::Miss(why) => unusable = Some(worst(unusable, why)),
                }
            }
            let (key, handles, sources) = (&key, handles.as_slice(), sources.as_slice());
            let below = &result;
            let miss = Miss { id, at, step, key, handles, sources, below, forced, unusable };
            let record = match self.run_missed(&miss, info, &ids)? {
                Went::Cached(record) => {
                    self.remember(by_definition, &record);
                    self.note_used((id, at), &[by_definition, key], &record, &result.layers);
                    self.take_cached(info, &record, &mut result);
                    self.note_place(id, at, step, &record);
                    continue;
                }
                Went::Ran(record, lock) => Some((record, lock)),
                Went::Nowhere => None,
            };
            result.ran = true;
            result.ran_step = Some(info.id);
            let Some((record, lock)) = record else {
                result.unknown = true;
                continue;
            };
            self.remember(by_definition, &record);
            self.remember(key, &record);
            self.note_used((id, at), &[by_definition, key], &record, &result.layers);
            if let Some(lock) = lock {
                self.give_back_later(lock);
            }
            result.push(info.id, &record);
        }
        Ok(result)
    }

    /// The key of a step by content, if the content of its sources is known before anything runs.
    pub(crate) fn content_key(
        &self,
        stage: &Stage,
        at: usize,
        definition: &Definition,
        below: &StageResult,
    ) -> Option<Key> {
        let (step, sources) = (&stage.steps[at], &definition.sources[at]);
        let known = step.sources().into_iter().all(is_given);
        known.then(|| step_key(step, &self.key_input(stage, false, below.content, sources)))
    }

    /// Runs a step that is not in the cache, unless nothing runs or another build has made it
    /// meanwhile, and notes why it was not there.
    fn run_missed(
        &self,
        miss: &Miss<'_>,
        info: &StepInfo,
        ids: &[SourceId],
    ) -> Result<Went, Option<Error>> {
        let Miss { id, at, step, key, handles, below, .. } = *miss;
        let may_run = self.runs && !self.build.require_cache;
        let mut lock = None;
        if may_run && miss.forced.is_none() {
            match self.step_turn(info, step, key, below)? {
                Turn::Made(record) => return Ok(Went::Cached(record)),
                Turn::Make(taken) => lock = Some(taken),
            }
        }
        let Told { reasons, milliseconds, dragged_by } = self.tell(miss);
        self.progress.missed(info.id, &reasons);
        let missed = |reasons, milliseconds| Story::Missed { reasons, milliseconds, dragged_by };
        self.story(info.id, missed(reasons.clone(), milliseconds));
        if !self.runs {
            return Ok(Went::Nowhere);
        }
        if !may_run {
            return Err(Some(step_error(info, StepError::NotCached { reasons })));
        }
        let mut record = self.run_step(id, at, step, handles, ids, below)?;
        self.story(info.id, missed(reasons, Some(record.milliseconds)));
        record.note = self.note(miss, &record);
        Ok(Went::Ran(Box::new(record), lock))
    }

    fn begin_stage<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        stage: &Stage,
    ) -> Result<StageResult, Option<Error>> {
        let empty = StageResult::on(&[]);
        match &stage.base {
            Base::Scratch => Ok(empty),
            Base::Image(request) => {
                let base = &self.bases[request];
                Ok(StageResult {
                    made_at: base.config.created.unwrap_or(Timestamp::NO_CLOCK).seconds(),
                    ..StageResult::on(&base.layers)
                })
            }
            Base::Stage(id) => {
                let base = self.stage(scope, *id).map_err(|Failed| None)?;
                Ok(StageResult {
                    layers: base.layers.clone(),
                    content: base.content,
                    ran: base.ran,
                    made_at: base.made_at,
                    ran_step: base.ran_step,
                    unknown: base.unknown,
                    ..empty
                })
            }
            Base::Directory(name) => self.directory_stage(name, empty).map_err(Some),
        }
    }

    /// A stage that begins with the files of a named context: one layer of all of them.
    fn directory_stage(&self, name: &str, mut stage: StageResult) -> Result<StageResult, Error> {
        let context = self.contexts.named(name);
        let make = || {
            let empty = Rootfs::empty(self.engine);
            let mut draft = Draft::new(empty.view()?, stage.made_at);
            for entry in context.walk(&TreePath::ROOT)? {
                let origin = context.origin(&entry.path);
                draft.put(entry, origin);
            }
            let finished = draft.finish()?;
            let staging = self.engine.store().stage()?;
            self.keep(&staging, &empty, &finished, context, Place::Folder, &Leaks::none(), None)
        };
        let record = make().map_err(|error| Error::image(name, error))?;
        stage.content = link(&stage.content, &record.content_id);
        stage.layers.push(layer_ref(&record));
        Ok(stage)
    }

    fn remember(&self, key: &Key, record: &Record) {
        self.engine.store().put_record(key.digest(), record.encode());
    }

    fn take_cached(&self, info: &StepInfo, record: &Record, result: &mut StageResult) {
        self.story(info.id, Story::Cached(record.created));
        self.progress.cached(info.id, record.created.system_time());
        result.push(info.id, record);
    }

    fn demand_sources<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        steps: &[Step],
    ) {
        for source in steps.iter().flat_map(Step::sources) {
            if let TreeSource::Stage(id) = source {
                self.demand(scope, *id);
            }
        }
    }

    /// The sources that are stages.
    fn wait_for_sources<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        step: &Step,
    ) -> Result<Vec<Option<Arc<StageResult>>>, Failed> {
        let sources = step.sources().into_iter().map(|source| match source {
            TreeSource::Stage(id) => self.stage(scope, *id).map(Some),
            _ => Ok(None),
        });
        sources.collect()
    }
}

/// Of the answers for both keys of a step the one that says more.
fn worst(before: Option<Unusable>, now: Unusable) -> Unusable {
    before.filter(|_| now == Unusable::NoRecord).unwrap_or(now)
}
