use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dfbuild_image::{Entry, Kind, TreePath};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::Index;

/// A layer that lies in a directory which nobody changes any more, and which has files in common with one
/// that is to be placed: these become further names of the same files.
#[derive(Debug)]
pub struct Similar<'a> {
    index: &'a Index,
    directory: &'a Path,
    /// Files of several names: another layer may have other names for them.
    linked: HashSet<&'a TreePath>,
}

impl<'a> Similar<'a> {
    /// The layer of `index` in `directory`, on the same file system, placed with the same options.
    pub fn new(index: &'a Index, directory: &'a Path) -> Self {
        Self { index, directory, linked: link_targets(index) }
    }

    /// Whether the file of `entry` is the same there, and has no other name.
    pub(crate) fn has(&self, entry: &Entry) -> bool {
        matches!(entry.kind, Kind::File { .. })
            && self.index.get(&entry.path) == Some(entry)
            && !self.linked.contains(&entry.path)
    }

    pub(crate) fn open(&self) -> Option<OpenDirectories> {
        OpenDirectories::new(self.directory).ok()
    }
}

/// The files of a layer that have several names in it.
pub(crate) fn link_targets(index: &Index) -> HashSet<&TreePath> {
    let targets = index.entries().iter().filter_map(|entry| match &entry.kind {
        Kind::HardLink { target } => Some(target),
        _ => None,
    });
    targets.collect()
}

/// The directories from a root down to the one that was used last.
pub(crate) struct OpenDirectories {
    root: OwnedFd,
    open: Vec<(Vec<u8>, OwnedFd)>,
}

const FLAGS: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl OpenDirectories {
    fn new(root: &Path) -> Result<Self, Errno> {
        Ok(Self { root: rustix::fs::open(root, FLAGS, Mode::empty())?, open: Vec::new() })
    }

    /// The directory `path`, which must be there and through no link.
    pub(crate) fn get(&mut self, path: &TreePath) -> Result<BorrowedFd<'_>, Errno> {
        let shared =
            self.open.iter().zip(path.names()).take_while(|((open, _), name)| open == name).count();
        self.open.truncate(shared);
        for name in path.names().skip(shared) {
            let parent = self.open.last().map_or(&self.root, |(_, descriptor)| descriptor);
            let next = rustix::fs::openat(parent, OsStr::from_bytes(name), FLAGS, Mode::empty())?;
            self.open.push((name.to_vec(), next));
        }
        Ok(self.open.last().map_or(self.root.as_fd(), |(_, descriptor)| descriptor.as_fd()))
    }
}
