use std::sync::Arc;

use dfbuild_cache::file_nodes;
use dfbuild_image::{Digest, TreePath};
use dfbuild_plan::{RunMount, Step, StepKind, TreeSource};

use crate::elsewhere::Fetcher;
use crate::error::StepError;
use crate::images::layer_ref::LayerRef;
use crate::images::rootfs::Rootfs;
use crate::schedule::keys::{SourceId, is_given};
use crate::schedule::nodes::Keep;
use crate::schedule::session::Session;
use crate::schedule::stage_result::StageResult;
use crate::steps::copy_step::Selection;
use crate::steps::missing::not_found;
use crate::steps::tree::{Tree, resolve};

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
        stages: &[Option<Arc<StageResult>>],
    ) -> Vec<Handle<'_>> {
        let sources = step.sources().into_iter().zip(stages);
        let handles = sources.map(|(source, stage)| match (source, stage) {
            (_, Some(stage)) => self.handle(&stage.layers),
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
            TreeSource::Empty => self.handle(&[]),
            TreeSource::Stage(_) => unreachable!("a stage is not given"),
        }
    }
}

/// The content that a step's sources select. What was known before is not computed again, and what
/// cannot be known yet stays the definition of its stage.
pub(super) fn source_ids(
    step: &Step,
    handles: &[Handle<'_>],
    stages: &[Option<Arc<StageResult>>],
    known: &[SourceId],
    fetcher: &Fetcher<'_>,
    keep: Keep<'_>,
) -> Result<Vec<SourceId>, StepError> {
    let sources = step.sources().into_iter().zip(handles).zip(stages).zip(known).enumerate();
    let ids = sources.map(|(number, (((source, handle), stage), known))| {
        if is_given(source) || stage.as_ref().is_some_and(|stage| stage.unknown) {
            return Ok(*known);
        }
        source_digest(step, number, handle.tree(), fetcher, keep).map(SourceId::Files)
    });
    ids.collect()
}

/// The paths of what source `number` of a step selects, as people write them.
pub(super) fn selected_paths(
    step: &Step,
    number: usize,
    handle: &Handle<'_>,
    fetcher: &Fetcher<'_>,
) -> Vec<Vec<String>> {
    let tree = handle.tree();
    let paths = match &step.kind {
        StepKind::Copy(copy) => {
            // Looked up before; whatever fails now leaves the names out.
            Selection::find(copy, tree, fetcher).map(|found| found.paths()).unwrap_or_default()
        }
        StepKind::Run(run) => {
            let mut mounts = run.mounts.iter().filter(|mount| mount.from.is_some());
            let source = mounts.nth(number).map(|mount| TreePath::new(&mount.source));
            let folder = |path: TreePath| match tree.get(&path) {
                // A file is known as the only one of its folder.
                Ok(Some(entry)) if !entry.kind.is_directory() => path.parent().unwrap_or_default(),
                _ => path,
            };
            vec![source.map(folder).into_iter().collect()]
        }
        StepKind::Workdir(_) => Vec::new(),
    };
    let shown = |path: &TreePath| {
        let text = path.to_string();
        // Files of a context are named from it, those of an image from its root.
        match handle {
            Handle::Context(_) => text.trim_start_matches('/').to_owned(),
            Handle::Rootfs(_) => text,
        }
    };
    paths.iter().map(|source| source.iter().map(shown).collect()).collect()
}

/// The content that source `number` of a step selects.
pub(super) fn source_digest(
    step: &Step,
    number: usize,
    tree: &dyn Tree,
    fetcher: &Fetcher<'_>,
    keep: Keep<'_>,
) -> Result<Digest, StepError> {
    let _span = tracing::info_span!("hashing the sources of", what = step.text.as_str());
    match &step.kind {
        StepKind::Copy(copy) => Selection::find(copy, tree, fetcher)?.digest(copy, tree, keep),
        StepKind::Run(run) => {
            let mount = run.mounts.iter().filter(|mount| mount.from.is_some()).nth(number);
            mount_digest(mount.expect("each source has its mount"), tree, keep)
        }
        StepKind::Workdir(_) => unreachable!("a working directory has no sources"),
    }
}

pub(crate) fn mount_digest(
    mount: &RunMount,
    tree: &dyn Tree,
    keep: Keep<'_>,
) -> Result<Digest, StepError> {
    let place = resolve(&|path| tree.get(path), &TreePath::new(&mount.source), true)?;
    let Some(entry) = place.entry else {
        return Err(not_found(tree, place.path.to_string(), &place.path));
    };
    if entry.kind.is_directory() {
        Ok(file_nodes(&place.path, &tree.walk(&place.path)?, keep))
    } else {
        let parent = place.path.parent().unwrap_or_default();
        Ok(file_nodes(&parent, &[entry], keep))
    }
}
