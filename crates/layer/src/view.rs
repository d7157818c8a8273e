use std::sync::Arc;

use dfbuild_image::{Digest, Entry, TreePath};

use crate::{Error, Index};

/// The merged tree of several layers.
#[derive(Debug, Default)]
pub struct View {
    layers: Vec<Arc<Index>>,
}

/// An entry of a [`View`], and the layer it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The entry. A directory that no layer has an entry for, but which holds entries, is root's
    /// with mode 0755 and time 0.
    pub entry: &'a Entry,
    /// The number of the layer, 0 for the lowest.
    pub layer: usize,
}

/// The content of a regular file of a [`View`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    /// Length in bytes.
    pub size: u64,
    /// Digest.
    pub digest: Digest,
    /// Where the content lies in its layer; the target, if the entry is a hard link.
    pub path: &'a TreePath,
    /// The layer that holds it.
    pub layer: usize,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The path without symbolic links.
    pub path: TreePath,
    /// What is there.
    pub found: Option<Found<'a>>,
}

impl View {
    /// The tree of `layers`, lowest first. Each layer must have been settled on those below it
    /// ([`Index::settle`]) if [`Index::needs_below`].
    pub fn new(layers: Vec<Arc<Index>>) -> Self {
        Self { layers }
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Arc<Index>] {
        &self.layers
    }

    /// What is at `path`. Symbolic links are not followed, neither the last nor before it.
    pub fn get(&self, _path: &TreePath) -> Option<Found<'_>> {
        unimplemented!()
    }

    /// The content of `found`, if it is a regular file or a hard link to one.
    pub fn file(&self, _found: &Found<'_>) -> Option<Content<'_>> {
        unimplemented!()
    }

    /// What `found` is another name of, if it is a hard link; `found` itself otherwise.
    pub fn origin<'a>(&'a self, _found: &Found<'a>) -> Found<'a> {
        unimplemented!()
    }

    /// Follows the symbolic links in `path`, confined to the root. Names that do not exist stay as
    /// they are, so that a path which is to be made resolves to where it would be.
    ///
    /// # Errors
    /// [`Error::Loop`] after 255 links, as moby and containerd count.
    pub fn resolve(&self, _path: &TreePath, _follow_last: bool) -> Result<Resolved<'_>, Error> {
        unimplemented!()
    }

    /// The names in the directory `path`, sorted; none if it is not a directory.
    pub fn read_dir(&self, _path: &TreePath) -> Vec<(Vec<u8>, Found<'_>)> {
        unimplemented!()
    }

    /// Everything at and below `path`, in order, without following links. Whiteouts do not show.
    pub fn walk<'a>(&'a self, _path: &TreePath) -> impl Iterator<Item = Found<'a>> {
        std::iter::empty()
    }

    /// The content of `path` if its layer's index keeps it ([`Index::keeps`]).
    pub fn inline(&self, _path: &TreePath) -> Option<&[u8]> {
        unimplemented!()
    }
}
