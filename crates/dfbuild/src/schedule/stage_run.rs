use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use dfbuild_cache::{ClockTimes, Key, LayerRecord, Record, files_digest};
use dfbuild_image::{Digest, Platform, Timestamp, TreePath};
use dfbuild_layer::Index;
use dfbuild_plan::{Base, RunMount, Stage, StageId, Step, StepKind, TreeSource};
use dfbuild_sandbox::IdMode;
use dfbuild_store::Staging;

use crate::elsewhere::Fetcher;
use crate::error::{Error, StepError};
use crate::event::StepInfo;
use crate::images::layers::{LayerRef, Rootfs};
use crate::leaks::Leaks;
use crate::schedule::keys::{KeyInput, SourceId, chain, is_given, link, step_key};
use crate::schedule::session::{Failed, Session};
use crate::steps::copy_step::{Selection, copy};
use crate::steps::draft::{Draft, Finished};
use crate::steps::run_step::run_command;
use crate::steps::tree::{Tree, not_found, resolve};
use crate::steps::workdir_step::workdir;

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
    made_at: i64,
}

/// How stages are made, by stage: the key of each step by definition.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    known: Mutex<HashMap<StageId, Arc<Definition>>>,
}

/// The keys of one stage's steps by definition, and what its sources come to where that is known
/// before anything runs.
#[derive(Debug)]
pub(crate) struct Definition {
    keys: Vec<Key>,
    sources: Vec<Vec<SourceId>>,
    /// The key of its end.
    end: Digest,
}

/// A tree to copy from.
enum Handle<'a> {
    Context(&'a dyn Tree),
    Rootfs(Box<Rootfs<'a>>),
}

impl Handle<'_> {
    fn tree(&self) -> &dyn Tree {
        match self {
            Self::Context(context) => *context,
            Self::Rootfs(rootfs) => &**rootfs,
        }
    }
}

/// What a step made, before it is kept.
struct Made {
    record: LayerRecord,
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
            let use_cache = self.uses_cache(stage);
            let by_definition = &definition.keys[at];
            if use_cache
                && !result.ran
                && !self.sources_ran(step)
                && !self.reads_any(step, &demanded_stages)
                && let Some(record) = self.lookup(by_definition, &seen_below(step, &result))
            {
                self.take_cached(info, &record, &mut result);
                continue;
            }
            if !demanded {
                // This step needs its sources, and those after it very likely theirs.
                self.demand_sources(scope, &stage.steps[at..]);
                demanded = true;
            }
            let sources = self.wait_for_sources(scope, step).map_err(|Failed| None)?;
            result.ran |= sources.iter().flatten().any(|(_, ran)| *ran);
            let handles: Vec<Handle<'_>> = self.handles(step, &sources);
            let failed = |source| Some(step_error(info, source));
            let ids = source_ids(step, &handles, &definition.sources[at], &self.fetcher())
                .map_err(failed)?;
            let key = step_key(step, &self.key_input(stage, false, result.content, &ids));
            if use_cache && let Some(record) = self.lookup(&key, &seen_below(step, &result)) {
                self.remember(by_definition, &record);
                self.take_cached(info, &record, &mut result);
                continue;
            }
            let record = self.run_step(id, at, step, &handles, &ids, &result, key)?;
            self.remember(by_definition, &record);
            self.remember(&record.key, &record);
            result.ran = true;
            result.push(&record);
            self.pack_soon(id, &result.layers);
            self.commit_sometimes()?;
        }
        Ok(result)
    }

    fn begin_stage<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        stage: &Stage,
    ) -> Result<StageResult, Option<Error>> {
        let empty = StageResult {
            layers: Vec::new(),
            content: chain([]),
            ran: false,
            created: Vec::new(),
            made_at: Timestamp::NO_CLOCK.seconds(),
        };
        match &stage.base {
            Base::Scratch => Ok(empty),
            Base::Image(request) => {
                let base = &self.bases[request];
                Ok(StageResult {
                    layers: base.layers.clone(),
                    content: chain(base.layers.iter().map(|layer| &layer.content_id)),
                    made_at: base.config.created.unwrap_or(Timestamp::NO_CLOCK).seconds(),
                    ..empty
                })
            }
            Base::Stage(id) => {
                let base = self.stage(scope, *id).map_err(|Failed| None)?;
                Ok(StageResult {
                    layers: base.layers.clone(),
                    content: base.content,
                    ran: base.ran,
                    made_at: base.made_at,
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
            self.keep(&staging, &empty, &finished, context, true, &Leaks::none())
        };
        let record = make().map_err(|error| Error::image(name, error))?;
        stage.content = link(&stage.content, &record.content_id);
        stage.layers.push(layer_ref(&record));
        Ok(stage)
    }

    /// The stages that steps read from, and those which they were built from.
    fn stages_of(&self, steps: &[Step]) -> BTreeSet<StageId> {
        let sources = steps.iter().flat_map(Step::sources);
        let mut rest: Vec<StageId> = sources
            .filter_map(|source| match source {
                TreeSource::Stage(id) => Some(*id),
                _ => None,
            })
            .collect();
        let mut found = BTreeSet::new();
        while let Some(id) = rest.pop() {
            if found.insert(id) {
                rest.extend(self.graph.stage(id).needs());
            }
        }
        found
    }

    fn reads_any(&self, step: &Step, stages: &BTreeSet<StageId>) -> bool {
        self.stages_of(std::slice::from_ref(step)).iter().any(|id| stages.contains(id))
    }

    /// The first step that cannot come from the cache without looking at its sources. Whether
    /// those before it can is only known when what they are built upon is.
    fn first_unknown(&self, stage: &Stage, definition: &Definition) -> usize {
        let known = |(step, key): (&Step, &Key)| {
            self.uses_cache(stage)
                && !self.sources_ran(step)
                && self.engine.store().record(&key.digest()).is_some()
        };
        let steps = stage.steps.iter().zip(&definition.keys);
        steps.take_while(|pair| known(*pair)).count()
    }

    /// The first command of a stage that is not known to be in the cache, and what it runs on.
    pub(crate) fn first_command(
        &self,
        id: StageId,
    ) -> Result<Option<(&StepInfo, Platform)>, Error> {
        let stage = self.graph.stage(id);
        if !stage.runs_commands() {
            return Ok(None);
        }
        let first = self.first_unknown(stage, &*self.definition(id)?);
        let mut rest = stage.steps.iter().enumerate().skip(first);
        let found = rest.find(|(_, step)| matches!(step.kind, StepKind::Run(_)));
        Ok(found.map(|(at, _)| (self.progress.info(id, at), stage.config.platform())))
    }

    /// Whether the results of earlier builds count for a stage.
    fn uses_cache(&self, stage: &Stage) -> bool {
        let filtered = |name: &String| {
            name.is_empty()
                || stage.name.as_deref() == Some(name.to_lowercase().as_str())
                || *name == stage.index.to_string()
        };
        !self.build.no_cache && !self.build.no_cache_filter.iter().any(filtered)
    }

    /// Whether a stage that the step copies from ran, or will, in this build: then only its new
    /// content decides.
    fn sources_ran(&self, step: &Step) -> bool {
        step.sources().iter().any(|source| match source {
            TreeSource::Stage(id) => self.has_run(*id) || self.must_run(*id),
            _ => false,
        })
    }

    fn must_run(&self, id: StageId) -> bool {
        let stage = self.graph.stage(id);
        let itself = !self.uses_cache(stage) && !stage.steps.is_empty();
        itself || stage.needs().into_iter().any(|needed| self.must_run(needed))
    }

    /// The record under a key, if it was made on the same content and its layer can be had.
    fn lookup(&self, key: &Key, below: &Digest) -> Option<Record> {
        let record = Record::decode(&self.engine.store().record(&key.digest())?)?;
        let good = record.below == *below && self.engine.has_layer(&record.layer.diff_id);
        good.then_some(record)
    }

    fn remember(&self, key: &Key, record: &Record) {
        self.engine.store().put_record(key.digest(), record.encode());
    }

    fn take_cached(&self, info: &StepInfo, record: &Record, result: &mut StageResult) {
        self.progress.cached(info.id, record.created.system_time());
        result.push(record);
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

    /// For each source that is a stage: its layers, and whether it ran.
    #[expect(clippy::type_complexity, reason = "used in one place")]
    fn wait_for_sources<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        step: &Step,
    ) -> Result<Vec<Option<(Vec<LayerRef>, bool)>>, Failed> {
        let sources = step.sources().into_iter().map(|source| match source {
            TreeSource::Stage(id) => {
                let stage = self.stage(scope, *id)?;
                Ok(Some((stage.layers.clone(), stage.ran)))
            }
            _ => Ok(None),
        });
        sources.collect()
    }

    fn handles(&self, step: &Step, stages: &[Option<(Vec<LayerRef>, bool)>]) -> Vec<Handle<'_>> {
        let sources = step.sources().into_iter().zip(stages);
        let handles = sources.map(|(source, stage)| match (source, stage) {
            (_, Some((layers, _))) => self.handle(layers),
            (source, None) => self.given(source),
        });
        handles.collect()
    }

    fn handle(&self, layers: &[LayerRef]) -> Handle<'_> {
        Handle::Rootfs(Box::new(Rootfs::new(self.engine, layers.to_vec())))
    }

    /// A tree that is there before anything runs.
    fn given(&self, source: &TreeSource) -> Handle<'_> {
        match source {
            TreeSource::Context => Handle::Context(self.contexts.main()),
            TreeSource::Named(name) => Handle::Context(self.contexts.named(name)),
            TreeSource::Image(request) => self.handle(&self.bases[request].layers),
            TreeSource::Stage(_) => unreachable!("a stage is not given"),
        }
    }

    /// The keys of a stage by definition.
    fn definition(&self, id: StageId) -> Result<Arc<Definition>, Error> {
        let known = |session: &Self| {
            let known = session.definitions.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&id).cloned()
        };
        if let Some(definition) = known(self) {
            return Ok(definition);
        }
        let stage = self.graph.stage(id);
        let mut parent = match &stage.base {
            Base::Scratch => chain([]),
            Base::Image(request) => {
                chain(self.bases[request].layers.iter().map(|layer| &layer.content_id))
            }
            Base::Stage(base) => self.definition(*base)?.end,
            Base::Directory(name) => {
                let context = self.contexts.named(name);
                let walked =
                    context.walk(&TreePath::ROOT).map_err(|error| Error::image(name, error))?;
                files_digest(&TreePath::ROOT, &walked)
            }
        };
        let (mut keys, mut all_sources) = (Vec::new(), Vec::new());
        for (at, step) in stage.steps.iter().enumerate() {
            let mut sources = Vec::new();
            for (number, source) in step.sources().into_iter().enumerate() {
                sources.push(match source {
                    TreeSource::Stage(other) => SourceId::Definition(self.definition(*other)?.end),
                    given => {
                        let handle = self.given(given);
                        let digest = source_digest(step, number, handle.tree(), &self.fetcher());
                        let info = self.progress.info(id, at);
                        SourceId::Files(digest.map_err(|error| step_error(info, error))?)
                    }
                });
            }
            let key = step_key(step, &self.key_input(stage, true, parent, &sources));
            parent = key.digest();
            keys.push(key);
            all_sources.push(sources);
        }
        let definition = Arc::new(Definition { keys, sources: all_sources, end: parent });
        let mut known = self.definitions.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry(id).or_insert(definition)))
    }

    fn key_input<'k>(
        &'k self,
        stage: &'k Stage,
        by_definition: bool,
        parent: Digest,
        sources: &'k [SourceId],
    ) -> KeyInput<'k> {
        KeyInput {
            by_definition,
            parent,
            sources,
            platform: &stage.platform,
            build: self.build,
            single_id: self.engine.id_mode() == IdMode::Single,
        }
    }

    /// Runs a step that is not in the cache.
    #[expect(clippy::too_many_arguments, reason = "a step, where it is, and what it reads")]
    fn run_step(
        &self,
        id: StageId,
        at: usize,
        step: &Step,
        handles: &[Handle<'_>],
        ids: &[SourceId],
        below: &StageResult,
        key: Key,
    ) -> Result<Record, Option<Error>> {
        let info = self.progress.info(id, at);
        let _slot = self.slots.take();
        if self.ending().is_near() {
            return Err(None);
        }
        let start = self.progress.started(info.id);
        let created = Timestamp::from(SystemTime::now());
        let made = self.make(id, at, step, handles, below).map_err(|source| {
            self.progress.failed(info.id, start);
            match source {
                StepError::Cancelled => None,
                source => Some(step_error(info, source)),
            }
        })?;
        // What was read must still be what the key says, or the next build would take it for that.
        self.check_unchanged(step, handles, ids).map_err(|source| {
            self.progress.failed(info.id, start);
            Some(step_error(info, source))
        })?;
        self.progress.ran(info.id, start, made.record.diff_id);
        Ok(Record {
            layer: made.record,
            below: seen_below(step, below),
            created,
            milliseconds: milliseconds(start),
            key,
        })
    }

    /// Whether the folders that a step read from are as they were when its key was made.
    fn check_unchanged(
        &self,
        step: &Step,
        handles: &[Handle<'_>],
        ids: &[SourceId],
    ) -> Result<(), StepError> {
        for (number, (handle, id)) in handles.iter().zip(ids).enumerate() {
            if matches!(handle, Handle::Context(_)) {
                let now = source_digest(step, number, handle.tree(), &self.fetcher())?;
                if SourceId::Files(now) != *id {
                    return Err(StepError::ContextChanged);
                }
            }
        }
        Ok(())
    }

    fn make(
        &self,
        id: StageId,
        at: usize,
        step: &Step,
        handles: &[Handle<'_>],
        below: &StageResult,
    ) -> Result<Made, StepError> {
        let rootfs = Rootfs::new(self.engine, below.layers.clone());
        let staging = self.engine.store().stage()?;
        let trees: Vec<&dyn Tree> = handles.iter().map(Handle::tree).collect();
        let finished = match &step.kind {
            StepKind::Run(run) => {
                let mounted: Vec<Mounted<'_>> = handles
                    .iter()
                    .map(|handle| match handle {
                        Handle::Context(context) => Mounted::Context(*context),
                        Handle::Rootfs(rootfs) => Mounted::Rootfs(rootfs),
                    })
                    .collect();
                let info = self.progress.info(id, at);
                let record = run_command(self, run, &rootfs, &mounted, &staging, info)?;
                return Ok(Made { record });
            }
            StepKind::Copy(step) => {
                copy(step, trees[0], &self.fetcher(), &rootfs, &staging, below.made_at)?
            }
            StepKind::Workdir(step) => workdir(step, &rootfs, below.made_at)?,
        };
        let looked_into = self.is_looked_into(id, at);
        let nothing = Rootfs::empty(self.engine);
        let tree = trees.first().copied().unwrap_or(&nothing);
        let leaks = Leaks::of(self);
        let record = self.keep(&staging, &rootfs, &finished, tree, looked_into, &leaks)?;
        self.report_leaks(&leaks.found(), self.progress.info(id, at))?;
        Ok(Made { record })
    }

    fn keep(
        &self,
        staging: &Staging,
        rootfs: &Rootfs<'_>,
        finished: &Finished,
        tree: &dyn Tree,
        looked_into: bool,
        leaks: &Leaks,
    ) -> Result<LayerRecord, StepError> {
        let contents = finished.contents(tree, rootfs);
        let contents = leaks.contents(&contents);
        let index: Index = finished.index.clone();
        let mut paths = rootfs.kept_clock_times(&index)?;
        paths.extend(finished.made.iter().cloned());
        paths.sort_unstable();
        paths.dedup();
        let clock = ClockTimes::Paths(paths);
        if looked_into {
            self.engine.keep_as_snapshot(staging, rootfs, index, &contents, clock)
        } else {
            self.engine.keep_as_blob(staging, index, &contents, clock, self.packing.encoding)
        }
    }

    /// Whether something later in this build needs the files of a step's layer.
    fn is_looked_into(&self, id: StageId, at: usize) -> bool {
        let runs = |steps: &[Step]| steps.iter().any(|step| matches!(step.kind, StepKind::Run(_)));
        !self.graph.targets.contains(&id) || runs(&self.graph.stage(id).steps[at + 1..])
    }
}

/// A tree that is mounted into a command.
#[derive(Clone, Copy)]
pub(crate) enum Mounted<'a> {
    /// A build context.
    Context(&'a dyn Tree),
    /// A stage or image.
    Rootfs(&'a Rootfs<'a>),
}

impl<'a> Mounted<'a> {
    pub(crate) fn tree(&self) -> &'a dyn Tree {
        match self {
            Self::Context(context) => *context,
            Self::Rootfs(rootfs) => *rootfs,
        }
    }
}

impl StageResult {
    fn push(&mut self, record: &Record) {
        self.content = link(&self.content, &record.layer.content_id);
        self.layers.push(layer_ref(&record.layer));
        self.created.push(record.created);
    }
}

fn layer_ref(record: &LayerRecord) -> LayerRef {
    LayerRef {
        diff_id: record.diff_id,
        content_id: record.content_id,
        clock: Some(record.clock.clone()),
        blob: None,
    }
}

/// The content that a step is made on; a linked copy does not see any.
fn seen_below(step: &Step, below: &StageResult) -> Digest {
    match &step.kind {
        StepKind::Copy(copy) if copy.link && copy.chmod.is_none() => chain([]),
        _ => below.content,
    }
}

/// The content that a step's sources select. What was known before is not computed again.
fn source_ids(
    step: &Step,
    handles: &[Handle<'_>],
    known: &[SourceId],
    fetcher: &Fetcher<'_>,
) -> Result<Vec<SourceId>, StepError> {
    let sources = step.sources().into_iter().zip(handles).zip(known).enumerate();
    let ids = sources.map(|(number, ((source, handle), known))| {
        if is_given(source) {
            return Ok(*known);
        }
        source_digest(step, number, handle.tree(), fetcher).map(SourceId::Files)
    });
    ids.collect()
}

/// The content that source `number` of a step selects.
fn source_digest(
    step: &Step,
    number: usize,
    tree: &dyn Tree,
    fetcher: &Fetcher<'_>,
) -> Result<Digest, StepError> {
    match &step.kind {
        StepKind::Copy(copy) => Selection::find(copy, tree, fetcher)?.digest(copy, tree),
        StepKind::Run(run) => {
            let mount = run.mounts.iter().filter(|mount| mount.from.is_some()).nth(number);
            mount_digest(mount.expect("each source has its mount"), tree)
        }
        StepKind::Workdir(_) => unreachable!("a working directory has no sources"),
    }
}

pub(crate) fn mount_digest(mount: &RunMount, tree: &dyn Tree) -> Result<Digest, StepError> {
    let place = resolve(&|path| tree.get(path), &TreePath::new(&mount.source), true)?;
    let Some(entry) = place.entry else {
        return Err(not_found(tree, place.path.to_string(), &place.path));
    };
    if entry.kind.is_directory() {
        Ok(files_digest(&place.path, &tree.walk(&place.path)?))
    } else {
        let parent = place.path.parent().unwrap_or_default();
        Ok(files_digest(&parent, &[entry]))
    }
}

pub(crate) fn step_error(info: &StepInfo, source: StepError) -> Error {
    Error::Step { step: Box::new(info.clone()), source: Box::new(source) }
}

fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
