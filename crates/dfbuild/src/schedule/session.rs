use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};

use dfbuild_cache::{Key, Record};
use dfbuild_image::{Digest, Timestamp};
use dfbuild_layer::Encoding;
use dfbuild_plan::{BaseRequest, Graph, StageId};

use crate::build::Build;
use crate::contexts::Contexts;
use crate::elsewhere::{Elsewhere, Fetcher};
use crate::ending::Ending;
use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::event::{StepId, StepInfo};
use crate::explanation::{Explanation, Story};
use crate::images::base_layers::BaseLayers;
use crate::images::blobs::{Packing, Times};
use crate::images::layer_ref::LayerRef;
use crate::leaks::{Leak, Leaks};
use crate::options::{Compression, Output, OutputKind, SecretLeak};
use crate::schedule::definition::Definitions;
use crate::schedule::finished::Finished;
use crate::schedule::nodes::Nodes;
use crate::schedule::progress::Progress;
use crate::schedule::slots::Slots;
use crate::schedule::stage_result::StageResult;
use crate::secrets::Secrets;
use crate::sharing::{Imports, UsedSteps};
use crate::snapshots::{Copies, Overlays, Roots, Snapshotter};

/// A layer, and those that it lies on.
pub(super) type Stacked = (LayerRef, Vec<LayerRef>);

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
    pub(super) stages: Stages,
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
    pub(super) packer: Mutex<Option<mpsc::Sender<Stacked>>>,
}

/// The stages that are being built or are done.
#[derive(Default)]
pub(super) struct Stages {
    pub(super) state: Mutex<StagesState>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct StagesState {
    /// `None` while a stage is being built. A failed one is `Err`; why is in `failure`.
    pub(super) results: HashMap<StageId, Option<Result<Arc<StageResult>, ()>>>,
    pub(super) failure: Option<Error>,
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

    /// What looks for this build's secrets in a layer.
    pub(crate) fn leaks(&self) -> Leaks {
        Leaks::of(self.build, self.secrets())
    }

    /// Tells of secrets in a layer, or fails.
    pub(crate) fn report_leaks(&self, leaks: &[Leak], info: &StepInfo) -> Result<(), StepError> {
        let words = leaks.iter().map(|(path, id)| format!("secret {id} is in {path}"));
        let words: Vec<String> = words.collect();
        if words.is_empty() {
            return Ok(());
        }
        if self.build.secret_leak == SecretLeak::Error {
            return Err(StepError::SecretLeak { leaks: words });
        }
        for leak in words {
            let place = format!("line {}: {}", info.line, info.text);
            self.progress.notice(format!("{leak} of the layer that is made at {place}"));
        }
        Ok(())
    }

    /// Notes a step that ran or came from the cache, if the build writes caches.
    pub(super) fn note_used(
        &self,
        place: (StageId, usize),
        keys: &[&Key],
        record: &Record,
        below: &[LayerRef],
    ) {
        if !self.build.cache_to.is_empty() {
            self.used.note(place, keys, record, below);
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
