use std::cell::Cell;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use dfbuild_cache::{ClockTimes, LayerRecord, Record, files_change};
use dfbuild_image::Timestamp;
use dfbuild_layer::{Error as LayerError, measure_cpu};
use dfbuild_plan::{StageId, Step, StepKind};
use dfbuild_store::Staging;

use crate::error::{Error, StepError};
use crate::event::{StepId, Usage, Wait};
use crate::images::lineage::Lineage;
use crate::images::meter::{archive_size, content_size};
use crate::images::rootfs::Rootfs;
use crate::leaks::Leaks;
use crate::schedule::keys::SourceId;
use crate::schedule::session::Session;
use crate::schedule::sources::{Handle, Mounted, selected_paths, source_digest};
use crate::schedule::stage_result::{StageResult, layer_of, seen_below};
use crate::steps::copy_step::copy;
use crate::steps::draft::Finished;
use crate::steps::run_step::run_command;
use crate::steps::tree::Tree;
use crate::steps::workdir_step::workdir;

/// How many of the files are named that changed while they were copied.
const NAMED: usize = 3;

/// In which form a layer is kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// As its files: something will look into it.
    Folder,
    /// As it goes into the image: nothing but that is done with the layer of this step.
    Blob(StepId),
}

impl Session<'_> {
    /// Runs a step that is not in the cache.
    pub(super) fn run_step(
        &self,
        id: StageId,
        at: usize,
        step: &Step,
        handles: &[Handle<'_>],
        ids: &[SourceId],
        below: &StageResult,
    ) -> Result<Record, Option<Error>> {
        let info = self.progress.info(id, at);
        let mut waiting = None;
        let _slot = self.slots.take(|| waiting = Some(self.progress.waits(info.id, Wait::Slot)));
        drop(waiting);
        if self.ending().is_near() {
            return Err(None);
        }
        let start = self.progress.started(info.id);
        let created = Timestamp::from(SystemTime::now());
        let usage = Cell::default();
        let work = || {
            let made = self.make(id, at, step, handles, below, &usage);
            if let Err(StepError::Layer(LayerError::Changed { .. } | LayerError::Content { .. })) =
                made
            {
                // That error has the path in the image; what it is in the context is of more use.
                self.check_unchanged(step, handles, ids)?;
            }
            let made = made?;
            self.pack_soon(id, &below.layers, layer_of(info.id, &made));
            // What was read must still be what the key says, or the next build would take it for that.
            self.check_unchanged(step, handles, ids)?;
            Ok(made)
        };
        let (made, own) = measure_cpu(work);
        let made = made.map_err(|source| {
            self.progress.failed(info.id, start, Usage { own, ..usage.get() });
            match source {
                StepError::Cancelled => None,
                source => Some(self.step_failed(info, step, source)),
            }
        })?;
        let usage = Usage { own, layer: Some(made.tar_size), ..usage.get() };
        self.progress.ran(info.id, start, made.diff_id, usage);
        Ok(Record {
            layer: made,
            below: seen_below(step, below),
            created,
            milliseconds: milliseconds(start),
            note: None,
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
                let mut keep = |node, bytes| self.nodes.keep(node, bytes);
                let now = source_digest(step, number, handle.tree(), &self.fetcher(), &mut keep)?;
                handle.tree().forget_walks();
                if let SourceId::Files(before) = id
                    && *before != now
                {
                    let paths = selected_paths(step, number, handle, &self.fetcher());
                    let change = files_change(before, &now, &paths, &|node| self.nodes.get(node));
                    let files = change.files.into_iter().map(|file| file.path).take(NAMED);
                    return Err(StepError::ContextChanged { files: files.collect() });
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
        usage: &Cell<Usage>,
    ) -> Result<LayerRecord, StepError> {
        let info = self.progress.info(id, at);
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
                return run_command(self, run, &rootfs, &mounted, &staging, (info, usage));
            }
            StepKind::Copy(step) => {
                let copied =
                    copy(step, trees[0], &self.fetcher(), &rootfs, &staging, below.made_at)?;
                self.tell_of_strangers(info, step, &rootfs)?;
                let size = Some(content_size(&copied.index));
                usage.set(Usage { copied: size, ..usage.get() });
                copied
            }
            StepKind::Workdir(step) => workdir(step, &rootfs, below.made_at)?,
        };
        let looked_into = self.is_looked_into(id, at);
        let nothing = Rootfs::empty(self.engine);
        let tree = trees.first().copied().unwrap_or(&nothing);
        let leaks = self.leaks();
        let lineage = leaks.are_none().then(|| self.lineage(id, at)).flatten();
        let place = if looked_into { Place::Folder } else { Place::Blob(info.id) };
        let record = self.keep(&staging, &rootfs, &finished, tree, place, &leaks, lineage)?;
        self.report_leaks(&leaks.found(), info)?;
        Ok(record)
    }

    /// What a step is known by through its changes, unless it is to be made as if nothing were known.
    fn lineage(&self, id: StageId, at: usize) -> Option<Lineage> {
        let project = self.contexts.project().hex();
        let place = format!("{id:?} {at}");
        self.build.fast_paths.then(|| Lineage::of(&[&project, &place]))
    }

    #[expect(clippy::too_many_arguments, reason = "a layer, where it is, and what it is made with")]
    pub(super) fn keep(
        &self,
        staging: &Staging,
        rootfs: &Rootfs<'_>,
        finished: &Finished,
        tree: &dyn Tree,
        place: Place,
        leaks: &Leaks,
        lineage: Option<Lineage>,
    ) -> Result<LayerRecord, StepError> {
        let contents = finished.contents(tree, rootfs);
        let contents = leaks.contents(&contents);
        let index = Arc::clone(&finished.index);
        let mut paths = rootfs.kept_clock_times(&index)?;
        paths.extend(finished.made.iter().cloned());
        paths.sort_unstable();
        paths.dedup();
        let clock = ClockTimes::Paths(paths);
        match place {
            Place::Folder => {
                self.engine.keep_as_snapshot(staging, rootfs, index, &contents, clock, lineage)
            }
            Place::Blob(step) => {
                let size = archive_size(&index);
                let task = self.engine.packing(self.packing.encoding, Some(step), size);
                self.engine.keep_as_blob(staging, index, &contents, clock, &task, lineage)
            }
        }
    }

    /// Whether something later in this build needs the files of a step's layer.
    fn is_looked_into(&self, id: StageId, at: usize) -> bool {
        let runs = |steps: &[Step]| steps.iter().any(|step| matches!(step.kind, StepKind::Run(_)));
        !self.graph.targets.contains(&id) || runs(&self.graph.stage(id).steps[at + 1..])
    }
}

fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
