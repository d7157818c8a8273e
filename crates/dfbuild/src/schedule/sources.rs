use dfbuild_cache::files_digest;
use dfbuild_image::{Digest, TreePath};
use dfbuild_plan::{RunMount, Step, StepKind, TreeSource};

use crate::elsewhere::Fetcher;
use crate::error::StepError;
use crate::images::layers::{LayerRef, Rootfs};
use crate::schedule::keys::{SourceId, is_given};
use crate::schedule::session::Session;
use crate::steps::copy_step::Selection;
use crate::steps::tree::{Tree, not_found, resolve};

/// A tree to copy from.
pub(super) enum Handle<'a> {
    Context(&'a dyn Tree),
    Rootfs(Box<Rootfs<'a>>),
}

impl Handle<'_> {
    pub(super) fn tree(&self) -> &dyn Tree {
        match self {
            Self::Context(context) => *context,
            Self::Rootfs(rootfs) => &**rootfs,
        }
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

impl Session<'_> {
    pub(super) fn handles(
        &self,
        step: &Step,
        stages: &[Option<(Vec<LayerRef>, bool)>],
    ) -> Vec<Handle<'_>> {
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
    pub(super) fn given(&self, source: &TreeSource) -> Handle<'_> {
        match source {
            TreeSource::Context => Handle::Context(self.contexts.main()),
            TreeSource::Named(name) => Handle::Context(self.contexts.named(name)),
            TreeSource::Image(request) => self.handle(&self.bases[request].layers),
            TreeSource::Stage(_) => unreachable!("a stage is not given"),
        }
    }
}

/// The content that a step's sources select. What was known before is not computed again.
pub(super) fn source_ids(
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
pub(super) fn source_digest(
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
