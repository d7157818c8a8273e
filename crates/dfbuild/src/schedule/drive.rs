//! How a build goes on: stages begin when they are needed, and each is built once.

use std::sync::{Arc, PoisonError, mpsc};
use std::thread;

use dfbuild_image::Platform;
use dfbuild_plan::{CopySource, StageId, StepKind};
use dfbuild_sandbox::emulation;

use crate::build::Built;
use crate::error::{Error, StepError};
use crate::explanation::Explanation;
use crate::images::finish::finish;
use crate::images::layer_ref::LayerRef;
use crate::schedule::session::{Failed, Session, Stacked};
use crate::schedule::stage_result::{StageResult, step_error};
use crate::snapshots::Roots;

impl Session<'_> {
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
