use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dfbuild_image::{Digest, TreePath};
use dfbuild_layer::{Contents, Directory, Index, View, apply, materialise};
use dfbuild_store::Staging;

use crate::error::StepError;
use crate::images::layer_cache::Form;
use crate::images::rootfs::Rootfs;
use crate::steps::tree;

/// The trees that no command uses at the moment. The next step of a stage goes on in the tree of
/// the one before it, so that a root file system is copied once for a stage and not for each step.
#[derive(Debug, Default)]
pub(super) struct Trees {
    idle: Mutex<Vec<Tree>>,
}

/// Each is a whole root file system on the disk, so there are not many: the oldest goes first.
const MOST_IDLE: usize = 4;

impl Trees {
    /// A tree with the files of `rootfs`, for one command alone: one that nobody uses and that lacks
    /// some layers at most, else a new one.
    pub(super) fn take(&self, rootfs: &Rootfs<'_>) -> Result<Tree, StepError> {
        let wanted = rootfs.diff_ids();
        let Some(mut tree) = self.nearest(&wanted) else { return Tree::new(rootfs, wanted) };
        let view = rootfs.view()?;
        let directories = rootfs.directories()?;
        for at in tree.layers.len()..wanted.len() {
            let below = View::new(view.layers()[..at].to_vec());
            tree.put(rootfs, &view.layers()[at], &directories[at], &below)?;
            tree.grow(wanted[at]);
        }
        Ok(tree)
    }

    /// The idle tree that lacks the fewest of these layers and has no others.
    fn nearest(&self, wanted: &[Digest]) -> Option<Tree> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = idle.iter().enumerate().filter(|(_, tree)| wanted.starts_with(&tree.layers));
        let (at, _) = fitting.max_by_key(|(_, tree)| tree.layers.len())?;
        Some(idle.remove(at))
    }

    pub(super) fn give_back(&self, tree: Tree) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(tree);
        let oldest = (idle.len() > MOST_IDLE).then(|| idle.remove(0));
        drop(idle);
        // Removing its files takes a while.
        drop(oldest);
    }
}

/// A directory with the files of some layers. It goes away with the value, or with the process.
#[derive(Debug)]
pub(super) struct Tree {
    _staging: Staging,
    root: PathBuf,
    /// Its layers, the lowest first.
    layers: Vec<Digest>,
}

impl Tree {
    fn new(rootfs: &Rootfs<'_>, layers: Vec<Digest>) -> Result<Self, StepError> {
        let engine = rootfs.engine();
        let staging = engine.store().stage()?;
        let root = staging.folder("tree")?;
        let index = Index::new(tree::Tree::walk(rootfs, &TreePath::ROOT)?)?;
        let contents = engine.ending().watch(rootfs as &dyn Contents);
        let options = engine.unpack_options(Form::Plain);
        materialise(&index, &contents, &root, &View::default(), &options)?;
        Ok(Self { _staging: staging, root, layers })
    }

    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    /// Takes note that the tree has a further layer.
    pub(super) fn grow(&mut self, layer: Digest) {
        self.layers.push(layer);
    }

    /// Makes the changes of a layer, whose files are in `directory`.
    fn put(
        &self,
        rootfs: &Rootfs<'_>,
        layer: &Arc<Index>,
        directory: &Path,
        below: &View,
    ) -> Result<(), StepError> {
        let engine = rootfs.engine();
        let files = Directory::new(directory);
        let contents = engine.ending().watch(&files as &dyn Contents);
        Ok(apply(layer, &contents, &self.root, below, &engine.unpack_options(Form::Plain))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tree_has_one_user_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let engine = crate::Engine::open(root.path()).unwrap();
        let rootfs = Rootfs::empty(&engine);
        let trees = Trees::default();
        let (first, second) = (trees.take(&rootfs).unwrap(), trees.take(&rootfs).unwrap());
        assert_ne!(first.path(), second.path());
        let path = first.path().to_owned();
        trees.give_back(first);
        let again = trees.take(&rootfs).unwrap();
        assert_eq!(again.path(), path);

        // One with another layer does not fit.
        let mut grown = again;
        grown.grow(Digest::of("layer"));
        trees.give_back(grown);
        assert!(trees.nearest(&[]).is_none());
        assert!(trees.nearest(&[Digest::of("other"), Digest::of("layer")]).is_none());
        let wanted = [Digest::of("layer"), Digest::of("more")];
        assert_eq!(trees.nearest(&wanted).unwrap().path(), path);
    }

    #[test]
    fn there_are_not_many() {
        let root = tempfile::tempdir().unwrap();
        let engine = crate::Engine::open(root.path()).unwrap();
        let rootfs = Rootfs::empty(&engine);
        let trees = Trees::default();
        let taken: Vec<Tree> = (0..=MOST_IDLE).map(|_| trees.take(&rootfs).unwrap()).collect();
        let paths: Vec<PathBuf> = taken.iter().map(|tree| tree.path().to_owned()).collect();
        for tree in taken {
            trees.give_back(tree);
        }
        let left: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(left, [vec![false], vec![true; MOST_IDLE]].concat());
        drop(trees);
        assert!(paths.iter().all(|path| !path.exists()));
    }
}
