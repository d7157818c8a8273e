use dfbuild_image::{Digest, Entry, TreePath};

use crate::{Error, View};

/// The sorted entries of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Sorts `entries`, in any order, and brings hard links into one form: the first path of a
    /// group is the file, the others link to it and repeat its metadata.
    ///
    /// # Errors
    /// Two entries with one path; an entry below something that is no directory.
    pub fn new(_entries: Vec<Entry>) -> Result<Self, Error> {
        unimplemented!()
    }

    /// The entries in the order of a walk.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at `path`.
    pub fn get(&self, _path: &TreePath) -> Option<&Entry> {
        unimplemented!()
    }

    /// The entries directly in the directory `path`, in order.
    pub fn children(&self, _path: &TreePath) -> impl Iterator<Item = &Entry> {
        std::iter::empty()
    }

    /// The identity of the layer's content: everything but times, and so not of its archive.
    pub fn content_id(&self) -> Digest {
        unimplemented!()
    }

    /// The content of `path` if it is one of the small files that the index keeps
    /// ([`Index::keeps`]).
    pub fn inline(&self, _path: &TreePath) -> Option<&[u8]> {
        unimplemented!()
    }

    /// Whether an index keeps the content of a regular file of `size` bytes at `path`: `passwd`
    /// and `group` in any directory `etc`, up to 1 MiB, so that names resolve without unpacking.
    pub fn keeps(_path: &TreePath, _size: u64) -> bool {
        unimplemented!()
    }

    /// Keeps `content` for [`Index::inline`]. Does nothing, and says so by `false`, unless
    /// [`Index::keeps`] it and it is the content of the file at `path`.
    pub fn set_inline(&mut self, _path: &TreePath, _content: Vec<u8>) -> bool {
        unimplemented!()
    }

    /// Whether the meaning of the layer depends on those below it: it holds entries without
    /// their parents, or hard links to files that it does not hold.
    pub fn needs_below(&self) -> bool {
        unimplemented!()
    }

    /// The layer as it lands on `below`: entries whose parents are symbolic links there move to
    /// where these lead, as they do when [`unpack`](crate::unpack) places them, and hard links to
    /// files below become files. Equal to `self` unless [`Index::needs_below`].
    pub fn settle(self, _below: &View) -> Result<Self, Error> {
        unimplemented!()
    }

    /// The index as bytes.
    pub fn encode(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// The index from what [`Index::encode`] gave.
    pub fn decode(_bytes: &[u8]) -> Result<Self, Error> {
        unimplemented!()
    }
}
