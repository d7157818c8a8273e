use std::path::{Path, PathBuf};

use dfbuild_image::{Entry, HashingWriter};
use dfbuild_layer::in_place::{Baseline, scan};
use dfbuild_layer::{Directory, materialise};
use dfbuild_sandbox::{Mount, Spec};
use dfbuild_store::Staging;

use crate::error::StepError;
use crate::images::layer_cache::Form;
use crate::images::rootfs::Rootfs;
use crate::leaks::Leaks;
use crate::snapshots::placed::Placed;
use crate::snapshots::trees::{Tree, Trees};
use crate::snapshots::{Changes, Snapshotter, Workspace};
use crate::steps::checkout::with_parents;
use crate::steps::stubs::Stubs;

/// Commands run in copies of the files, and what changed is found by comparing: this takes
/// namespaces and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    trees: Trees,
}

impl Snapshotter for Copies {
    fn prepare<'a>(
        &'a self,
        rootfs: &'a Rootfs<'_>,
        staging: &'a Staging,
    ) -> Result<Box<dyn Workspace + 'a>, StepError> {
        let tree = self.trees.take(rootfs)?;
        let work = staging.folder("work")?;
        Ok(Box::new(Copy { trees: &self.trees, rootfs, staging, tree, work, before: None }))
    }

    fn mount(
        &self,
        rootfs: &Rootfs<'_>,
        source: &Entry,
        target: PathBuf,
        read_only: bool,
        staging: &Staging,
    ) -> Result<Mount, StepError> {
        let source = with_parents(rootfs.engine(), rootfs, source, staging)?;
        Ok(Mount::Bind { source, target, read_only, recursive: false })
    }
}

/// The tree of one command.
struct Copy<'a> {
    trees: &'a Trees,
    rootfs: &'a Rootfs<'a>,
    staging: &'a Staging,
    tree: Tree,
    work: PathBuf,
    /// How it looked when everything was in place.
    before: Option<(Baseline, Placed)>,
}

impl Workspace for Copy<'_> {
    fn place(&mut self, stubs: &Stubs<'_>) -> Result<(), StepError> {
        let placed = Placed::new(stubs, self.tree.path())?;
        let mut baseline = Baseline::take(self.tree.path())?;
        // These are made on behalf of the command.
        for path in placed.lasting() {
            baseline.forget(path);
        }
        self.before = Some((baseline, placed));
        Ok(())
    }

    fn spec(&self) -> Result<Spec, StepError> {
        Ok(Spec::new(self.tree.path(), &self.work))
    }

    fn commit(mut self: Box<Self>, leaks: &Leaks) -> Result<Changes, StepError> {
        let engine = self.rootfs.engine();
        let below = self.rootfs.view()?;
        let (baseline, placed) = self.before.take().expect("it was placed before the command ran");
        let mut archive = HashingWriter::new(engine.ending().watch(leaks.watch()));
        let root = self.tree.path();
        let index = scan(root, &baseline, below, &engine.scan_options(), &mut archive)?;
        let (watch, diff_id, tar_size) = archive.finish();
        let leaks = leaks.found_by(&watch.into_inner(), &index, &Directory::new(root))?;
        self.keep(&index, &diff_id, root)?;
        placed.remove(root, &index)?;
        self.tree.grow(diff_id);
        self.trees.give_back(self.tree);
        Ok(Changes { index, diff_id, tar_size, leaks })
    }

    fn abandon(self: Box<Self>) -> Result<PathBuf, StepError> {
        let root = self.staging.path().join("tree");
        let tree = self.tree.path();
        std::fs::rename(tree, &root).map_err(StepError::io("move", tree))?;
        Ok(root)
    }
}

impl Copy<'_> {
    /// Copies what changed into the store: the tree itself goes on to change.
    fn keep(
        &self,
        index: &dfbuild_layer::Index,
        diff_id: &dfbuild_image::Digest,
        root: &Path,
    ) -> Result<(), StepError> {
        let engine = self.rootfs.engine();
        let folder = self.staging.folder("layer")?;
        let files = Directory::new(root);
        let contents = engine.ending().watch(&files as &dyn dfbuild_layer::Contents);
        let options = engine.unpack_options(Form::Plain);
        materialise(index, &contents, &folder, self.rootfs.view()?, &options)?;
        engine.store().put_snapshot(&engine.flavour(Form::Plain), diff_id, &folder)?;
        Ok(())
    }
}
