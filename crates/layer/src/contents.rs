use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dfbuild_image::{Entry, TreePath};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::View;

/// Where the bytes of the files of a layer are. Several threads read at the same time.
pub trait Contents: Sync {
    /// Opens the content of `entry`, a regular file, from its beginning.
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>>;

    /// The file that holds the content of `entry`, where there is one with nothing else in it: a
    /// file system may share its blocks instead of copying them.
    fn file(&self, _entry: &Entry) -> io::Result<Option<File>> {
        Ok(None)
    }

    /// Hears that `bytes` more of what is made of these files are done: of an archive that [`Outline`]
    /// writes, or of the files of a folder.
    ///
    /// [`Outline`]: crate::Outline
    fn advanced(&self, _bytes: u64) {}
}

/// The contents of a layer that lies in a directory, each file at its own path. No symbolic link
/// is followed below that directory.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    /// Opened once: many files are read from there.
    root: Arc<OnceLock<OwnedFd>>,
}

impl Directory {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { path: root.into(), root: Arc::default() }
    }

    /// The file at `path`, which leads through no link.
    pub fn open_file(&self, path: &TreePath) -> io::Result<File> {
        if let Some(root) = self.root.get() {
            return open_in(root.as_fd(), path);
        }
        let root = open_root(&self.path)?;
        open_in(self.root.get_or_init(|| root).as_fd(), path)
    }
}

impl Contents for Directory {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open_file(&entry.path)?))
    }

    fn file(&self, entry: &Entry) -> io::Result<Option<File>> {
        self.open_file(&entry.path).map(Some)
    }
}

/// The contents of a tree of several layers, each unpacked in a directory of its own.
#[derive(Debug)]
pub struct Layers<'a> {
    view: &'a View,
    directories: &'a [PathBuf],
}

impl<'a> Layers<'a> {
    /// The files of `view`; `directories` are its unpacked layers, lowest first.
    pub fn new(view: &'a View, directories: &'a [PathBuf]) -> Self {
        Self { view, directories }
    }

    /// The file at `path`, which leads through no link.
    pub fn open_file(&self, path: &TreePath) -> io::Result<File> {
        let found = self.view.get(path).and_then(|found| self.view.file(&found));
        let place = found.and_then(|file| Some((self.directories.get(file.layer)?, file.path)));
        let (directory, path) = place.ok_or(io::ErrorKind::NotFound)?;
        open_below(directory, path)
    }
}

impl Contents for Layers<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open_file(&entry.path)?))
    }

    fn file(&self, entry: &Entry) -> io::Result<Option<File>> {
        self.open_file(&entry.path).map(Some)
    }
}

/// Opens the file `path` below `root` for reading, without following any link in it.
pub(crate) fn open_below(root: &Path, path: &TreePath) -> io::Result<File> {
    open_in(open_root(root)?.as_fd(), path)
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_in(root: BorrowedFd<'_>, path: &TreePath) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(root, path.to_path(), flags, Mode::empty(), resolve) {
        // Kernels before 5.6 and seccomp filters older than it; paths longer than a page.
        Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => {}
        opened => return Ok(opened?.into()),
    }
    let mut open: Option<OwnedFd> = None;
    let parent = path.parent().unwrap_or_default();
    for name in parent.names() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open.as_ref().map_or(root, AsFd::as_fd);
        open = Some(rustix::fs::openat(directory, OsStr::from_bytes(name), flags, Mode::empty())?);
    }
    let name = OsStr::from_bytes(path.name().unwrap_or(b"."));
    let directory = open.as_ref().map_or(root, AsFd::as_fd);
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?.into())
}
