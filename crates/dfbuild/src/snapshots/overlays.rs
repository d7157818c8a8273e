use std::path::{Path, PathBuf};

use dfbuild_image::{Entry, HashingWriter};
use dfbuild_layer::Directory;
use dfbuild_layer::upper::scan;
use dfbuild_sandbox::{Mount, Spec};
use dfbuild_store::Staging;

use crate::error::StepError;
use crate::images::layer_cache::Form;
use crate::images::rootfs::Rootfs;
use crate::leaks::Leaks;
use crate::snapshots::{Changes, Snapshotter, Workspace};
use crate::steps::stubs::Stubs;

/// Commands run over overlays: nothing is copied, and the upper directory is what changed.
#[derive(Debug, Default)]
pub(crate) struct Overlays;

impl Snapshotter for Overlays {
    fn prepare<'a>(
        &'a self,
        rootfs: &'a Rootfs<'_>,
        staging: &'a Staging,
    ) -> Result<Box<dyn Workspace + 'a>, StepError> {
        let (upper, work) = (staging.folder("upper")?, staging.folder("work")?);
        let lower = rootfs.overlay_directories()?;
        Ok(Box::new(Upper { rootfs, staging, lower, upper, work }))
    }

    fn mount(
        &self,
        rootfs: &Rootfs<'_>,
        source: &Entry,
        target: PathBuf,
        read_only: bool,
        staging: &Staging,
    ) -> Result<Mount, StepError> {
        let upper = if read_only {
            None
        } else {
            Some((staging.folder("mount")?, staging.folder("work")?))
        };
        let mut lower = rootfs.overlay_directories()?;
        if lower.is_empty() {
            lower.push(staging.folder("empty")?);
        }
        let source_subpath = source.path.below(Path::new("/"));
        Ok(Mount::Overlay { lower, upper, target, source_subpath, read_only })
    }
}

/// An overlay of one command.
struct Upper<'a> {
    rootfs: &'a Rootfs<'a>,
    staging: &'a Staging,
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
}

impl Workspace for Upper<'_> {
    fn place(&mut self, stubs: &Stubs<'_>) -> Result<(), StepError> {
        let layer = self.staging.folder("stubs")?;
        if stubs.write(&layer, &self.upper)? || self.lower.is_empty() {
            self.lower.push(layer);
        }
        Ok(())
    }

    fn spec(&self) -> Result<Spec, StepError> {
        Ok(Spec { lower: self.lower.clone(), ..Spec::new(&self.upper, &self.work) })
    }

    fn commit(self: Box<Self>, leaks: &Leaks) -> Result<Changes, StepError> {
        let engine = self.rootfs.engine();
        let mut archive = HashingWriter::new(engine.ending().watch(leaks.watch()));
        let below = self.rootfs.view()?;
        let index = scan(&self.upper, below, &engine.scan_options(), &mut archive)?;
        let (watch, diff_id, tar_size) = archive.finish();
        let leaks = leaks.found_by(&watch.into_inner(), &index, &Directory::new(&self.upper))?;
        engine.store().put_snapshot(&engine.flavour(Form::Overlay), &diff_id, &self.upper)?;
        Ok(Changes { index, diff_id, tar_size, leaks })
    }

    fn abandon(self: Box<Self>) -> Result<PathBuf, StepError> {
        Ok(self.upper)
    }
}
