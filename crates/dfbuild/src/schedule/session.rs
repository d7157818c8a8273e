use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use dfbuild_image::{Digest, Platform, Timestamp};
use dfbuild_layer::Encoding;
use dfbuild_plan::{BaseRequest, CopySource, Graph, StageId, StepKind};
use dfbuild_sandbox::emulation;

use crate::build::{Build, Built};
use crate::contexts::Contexts;
use crate::elsewhere::{Elsewhere, Fetcher};
use crate::ending::Ending;
use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::event::StepId;
use crate::explanation::{Explanation, Story};
use crate::images::base_layers::BaseLayers;
use crate::images::blobs::{Packing, Times};
use crate::images::finish::finish;
use crate::images::layers::LayerRef;
use crate::options::{Compression, Output, OutputKind};
use crate::schedule::definitions::Definitions;
use crate::schedule::nodes::Nodes;
use crate::schedule::progress::Progress;
use crate::schedule::slots::Slots;
use crate::schedule::stage_run::{StageResult, step_error};
use crate::schedule::step_lock::Finished;
use crate::secrets::Secrets;
use crate::sharing::{Imports, UsedSteps};
use crate::snapshots::{Copies, Overlays, Roots, Snapshotter};

/// A layer, and those that it lies on.
type Stacked = (LayerRef, Vec<LayerRef>);

/// A running build.
pub(crate) struct Session<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) build: &'a Build,
    pub(crate) graph: &'a Graph,
    pub(crate) contexts: Contexts,
    pub(crate) bases: BTreeMap<BaseRequest, BaseLayers>,
    pub(crate) progress: Progress<'a>,
    pub(crate) slots: Slots,
    /// The form of the image in the store: that of the first output.
    pub(crate) packing: Packing,
    stages: Stages,
    pub(crate) definitions: Definitions,
    /// The files that were looked at.
    pub(crate) nodes: Nodes,
    /// The text of the Dockerfile.
    pub(crate) dockerfile: &'a str,
    /// Whether steps run. Else it is only found out which would.
    pub(crate) runs: bool,
    stories: Mutex<BTreeMap<StepId, Story>>,
    /// The notes of what the last build used; asked for once something is missed.
    pub(super) last_notes: OnceLock<Vec<Digest>>,
    /// Texts of the Dockerfile's steps, and the notes of those; asked once.
    pub(super) text_notes: OnceLock<Vec<(String, Vec<Digest>)>>,
    elsewhere: &'a Elsewhere,
    /// What ran and is not promised to others yet.
    pub(super) finished: Finished,
    /// What caches of other machines know.
    pub(crate) imports: &'a Imports,
    /// The steps of this build, for caches that it writes.
    pub(crate) used: UsedSteps,
    overlays: Overlays,
    copies: Copies,
    /// Takes stacks of layers whose topmost is to be compressed while other steps run.
    packer: Mutex<Option<mpsc::Sender<Stacked>>>,
}

/// The stages that are being built or are done.
#[derive(Default)]
struct Stages {
    state: Mutex<StagesState>,
    changed: Condvar,
}

#[derive(Default)]
struct StagesState {
    /// `None` while a stage is being built. A failed one is `Err`; why is in `failure`.
    results: HashMap<StageId, Option<Result<Arc<StageResult>, ()>>>,
    failure: Option<Error>,
}

/// A stage could not be built; why is kept in the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed;

impl<'a> Session<'a> {
    #[expect(clippy::too_many_arguments, reason = "the parts of a build, each made elsewhere")]
    pub(crate) fn new(
        engine: &'a Engine,
        build: &'a Build,
        graph: &'a Graph,
        contexts: Contexts,
        elsewhere: &'a Elsewhere,
        imports: &'a Imports,
        bases: BTreeMap<BaseRequest, BaseLayers>,
        progress: Progress<'a>,
        slots: Slots,
        dockerfile: &'a str,
    ) -> Self {
        let plain = Output::new(OutputKind::Store);
        let packing = packing(build.outputs.first().unwrap_or(&plain), graph);
        Self {
            packing,
            engine,
            build,
            graph,
            contexts,
            bases,
            progress,
            slots,
            stages: Stages::default(),
            definitions: Definitions::default(),
            nodes: Nodes::default(),
            dockerfile,
            runs: true,
            stories: Mutex::default(),
            last_notes: OnceLock::new(),
            text_notes: OnceLock::new(),
            elsewhere,
            finished: Finished::default(),
            imports,
            used: UsedSteps::default(),
            overlays: Overlays,
            copies: Copies::default(),
            packer: Mutex::new(None),
        }
    }

    /// Gets what is in the network.
    pub(crate) fn fetcher(&self) -> Fetcher<'a> {
        Fetcher { engine: self.engine, elsewhere: self.elsewhere }
    }

    pub(crate) fn secrets(&self) -> &'a Secrets {
        self.elsewhere.secrets()
    }

    /// What ends this build.
    pub(crate) fn ending(&self) -> &Ending {
        self.engine.ending()
    }

    /// Builds the target and hands it out.
    pub(crate) fn build(&self) -> Result<Built, Error> {
        thread::scope(|scope| {
            // Until all is handed out: that takes long, and other builds may wait for a step.
            let (_running, ended) = mpsc::channel();
            scope.spawn(move || self.commit_finished(&ended));
            self.engine.teller().heard(&|event| self.progress.tell(event), || self.build_targets())
        })
    }

    fn build_targets(&self) -> Result<Built, Error> {
        let (sender, stacks) = mpsc::channel();
        *self.packer.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let result = thread::scope(|scope| {
            scope.spawn(|| self.pack_layers(stacks));
            // Ends the packer when it has done what was sent before, also when this panics.
            let _end = OnDrop::new(|| {
                drop(self.packer.lock().unwrap_or_else(PoisonError::into_inner).take());
            });
            self.fetch_ahead(scope);
            for target in &self.graph.targets[1..] {
                self.demand(scope, *target);
            }
            let targets = self.graph.targets.iter();
            targets.map(|target| self.stage(scope, *target)).collect::<Result<Vec<_>, Failed>>()
        });
        if let Some(reason) = self.ending().reason() {
            return Err(reason);
        }
        match result {
            Ok(results) => {
                let finished = finish(self, &results);
                finished.map_err(|error| self.ending().reason().unwrap_or(error))
            }
            Err(Failed) => Err(self.take_failure()),
        }
    }

    /// Finds out what a build would run, without running anything.
    pub(crate) fn foresee(&mut self) -> Result<Explanation, Error> {
        self.runs = false;
        let session = &*self;
        let result = thread::scope(|scope| {
            let targets = session.graph.targets.iter();
            targets.map(|target| session.stage(scope, *target)).collect::<Result<Vec<_>, Failed>>()
        });
        match result {
            Ok(_) => Ok(self.explanation()),
            Err(Failed) => Err(self.take_failure()),
        }
    }

    /// Notes what becomes of a step.
    pub(super) fn story(&self, step: StepId, story: Story) {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner).insert(step, story);
    }

    /// What was learned of the steps so far.
    pub(crate) fn explanation(&self) -> Explanation {
        let stories = self.stories.lock().unwrap_or_else(PoisonError::into_inner);
        Explanation::new(&self.progress.infos(), &stories, self.dockerfile)
    }

    /// The form that an output wants.
    pub(crate) fn packing_of(&self, output: &Output) -> Packing {
        packing(output, self.graph)
    }

    /// Begins to fetch the files that steps name, if there are several: the keys of the steps ask for
    /// one after the other.
    fn fetch_ahead<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>) {
        let steps = self.graph.stages.iter().flat_map(|stage| &stage.steps);
        let mut files: Vec<(&str, Option<&str>)> = Vec::new();
        for step in steps {
            let StepKind::Copy(copy) = &step.kind else { continue };
            let checksum = copy.add.as_ref().and_then(|add| add.checksum.as_deref());
            for source in &copy.sources {
                if let CopySource::Url(url) = source
                    && !files.iter().any(|(known, _)| known == url)
                {
                    files.push((url, checksum));
                }
            }
        }
        if files.len() > 1 {
            scope.spawn(move || self.fetcher().fetch_ahead(&files));
        }
    }

    /// Compresses layers as they are made: compression never stands between two steps.
    fn pack_layers(&self, layers: mpsc::Receiver<Stacked>) {
        for (layer, below) in layers {
            if self.ending().is_near() {
                return;
            }
            // Whoever needs the layer finds it, or tries again and tells why it cannot be had.
            let _ = self.engine.finish_layer(&layer, &below, &self.packing);
        }
    }

    /// Has a layer that lies on those of `below` compressed, if it goes into the image.
    pub(crate) fn pack_soon(&self, id: StageId, below: &[LayerRef], layer: LayerRef) {
        let mut targets = self.graph.targets.iter();
        if !targets.any(|target| self.graph.lineage(*target).contains(&id)) {
            return;
        }
        if let Some(packer) = &*self.packer.lock().unwrap_or_else(PoisonError::into_inner) {
            // A packer that is gone has nothing to do any more.
            let _ = packer.send((layer, below.to_vec()));
        }
    }

    /// The result of a stage. Builds it here if nobody has begun, else waits.
    pub(crate) fn stage<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        id: StageId,
    ) -> Result<Arc<StageResult>, Failed> {
        let mut state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match state.results.get(&id) {
                None => break,
                Some(Some(Ok(result))) => return Ok(Arc::clone(result)),
                Some(Some(Err(()))) => return Err(Failed),
                Some(None) => {
                    state = self.stages.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        state.results.insert(id, None);
        drop(state);
        self.build_stage(scope, id)
    }

    /// Begins to build a stage on a thread of its own, unless somebody has begun.
    pub(crate) fn demand<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        id: StageId,
    ) {
        let mut state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.results.contains_key(&id) {
            return;
        }
        state.results.insert(id, None);
        drop(state);
        scope.spawn(move || {
            // Whoever needs it finds its result or its failure.
            let _ = self.build_stage(scope, id);
        });
    }

    fn build_stage<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        id: StageId,
    ) -> Result<Arc<StageResult>, Failed> {
        // A panic must not leave others waiting for a stage that nobody builds any more.
        let mut unwinding = OnDrop::new(|| self.settle(id, Err(())));
        let built = self.run_stage(scope, id);
        unwinding.disarm();
        let result = built.map(Arc::new).map_err(|error| {
            if let Some(error) = error {
                let mut state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.failure.get_or_insert(error);
            }
        });
        self.settle(id, result.clone());
        result.map_err(|()| Failed)
    }

    /// Notes how a stage ended, and wakes whoever waits for it.
    fn settle(&self, id: StageId, result: Result<Arc<StageResult>, ()>) {
        if result.is_err() {
            self.ending().fail();
        }
        let mut state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.results.insert(id, Some(result));
        self.stages.changed.notify_all();
    }

    /// Why the build failed. A wish to end it is the reason of all that failed after it.
    fn take_failure(&self) -> Error {
        let mut state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = self.ending().reason();
        reason.or(state.failure.take()).unwrap_or(Error::Cancelled)
    }

    /// Whether a stage is known to have run something in this build.
    pub(crate) fn has_run(&self, id: StageId) -> bool {
        let state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(state.results.get(&id), Some(Some(Ok(result))) if result.ran)
    }

    /// The stages that are done.
    pub(crate) fn done(&self) -> Vec<(StageId, Arc<StageResult>)> {
        let state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = state.results.iter().filter_map(|(id, result)| match result {
            Some(Ok(result)) => Some((*id, Arc::clone(result))),
            _ => None,
        });
        let mut done: Vec<_> = done.collect();
        done.sort_by_key(|(id, _)| *id);
        done
    }

    /// When the steps of a finished stage were made.
    pub(crate) fn created(&self, id: StageId) -> Vec<Timestamp> {
        let state = self.stages.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.results.get(&id) {
            Some(Some(Ok(result))) => result.created.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether this build has commands to run that are not in the cache, as far as can be told
    /// before it begins. It is an error if they cannot run here: nothing is built then.
    pub(crate) fn check_commands(&self) -> Result<bool, Error> {
        let mut any = false;
        if self.build.require_cache {
            return Ok(false);
        }
        for number in 0..self.graph.stages.len() {
            // What is wrong with a definition comes up again, at its step.
            let Ok(Some((step, platform))) = self.first_command(StageId(number)) else { continue };
            any = true;
            if !emulation::runs(&platform.architecture) {
                let source = StepError::ForeignPlatform { platform, host: Platform::host() };
                return Err(step_error(step, source));
            }
        }
        if any && let Roots::Copies(why) = self.engine.roots()? {
            self.progress.notice(why);
        }
        Ok(any)
    }

    /// What gives commands their root file systems. Where they cannot run, they say why themselves.
    pub(crate) fn snapshotter(&self) -> &dyn Snapshotter {
        match self.engine.roots() {
            Ok(Roots::Copies(_)) => &self.copies,
            _ => &self.overlays,
        }
    }
}

/// How something is compressed.
pub(crate) fn encoding(compression: Compression) -> Encoding {
    match compression {
        Compression::Gzip { level } => Encoding::Gzip(level),
        Compression::Zstd { level } => Encoding::Zstd(level),
        Compression::Uncompressed => Encoding::Plain,
    }
}

fn packing(output: &Output, graph: &Graph) -> Packing {
    let encoding = encoding(output.compression);
    let times = if output.rewrite_timestamp { Times::All } else { Times::Clock };
    let times = graph.epoch.map(times);
    Packing { encoding, times }
}

/// Does something when it is dropped, whatever the way out.
struct OnDrop<F: FnMut()>(F, bool);

impl<F: FnMut()> OnDrop<F> {
    fn new(action: F) -> Self {
        Self(action, true)
    }

    fn disarm(&mut self) {
        self.1 = false;
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if self.1 {
            (self.0)();
        }
    }
}
