use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dfbuild_image::{Digest, Entry, Hasher, Kind, TreePath};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::similar::OpenDirectories;
use crate::{Error, UnpackOptions, XattrNamespace};

/// A directory in which a layer takes its overlay form.
///
/// Every name is opened relative to its parent's descriptor and never through a symbolic link, so
/// nothing is ever made outside the root, whatever the archive says.
pub(crate) struct Disk<'o> {
    path: PathBuf,
    root: OwnedFd,
    /// The names and descriptors from the root down to the directory that was used last.
    open: Vec<(Vec<u8>, OwnedFd)>,
    options: &'o UnpackOptions,
    buffer: Vec<u8>,
    /// Whether files may share blocks here, as far as is known.
    pub(crate) shares_blocks: bool,
}

/// One system call for a typical file.
pub(crate) const BUFFER: usize = 128 << 10;

const CAPABILITY: &str = "security.capability";

impl<'o> Disk<'o> {
    pub(crate) fn open(path: &Path, options: &'o UnpackOptions) -> Result<Self, Error> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| Error::io("open", path)(errno.into()))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            open: Vec::new(),
            options,
            buffer: vec![0; BUFFER],
            shares_blocks: true,
        })
    }

    /// Whether nothing is made that only an overlay looks at.
    pub(crate) fn is_plain(&self) -> bool {
        self.options.plain
    }

    /// The directory `path`, which is made if it is missing.
    pub(crate) fn directory(&mut self, path: &TreePath) -> Result<BorrowedFd<'_>, Error> {
        let shared =
            self.open.iter().zip(path.names()).take_while(|((open, _), name)| open == name).count();
        self.open.truncate(shared);
        for name in path.names().skip(shared) {
            let parent = self.open.last().map_or(&self.root, |(_, descriptor)| descriptor);
            let descriptor =
                make_directory(parent.as_fd(), OsStr::from_bytes(name)).map_err(|errno| {
                    Error::io("make the directory", path.below(&self.path))(errno.into())
                })?;
            self.open.push((name.to_vec(), descriptor));
        }
        Ok(self.open.last().map_or(self.root.as_fd(), |(_, descriptor)| descriptor.as_fd()))
    }

    /// Makes room at `path`: removes what is there, unless it is a directory and `entry` is one too
    /// that shows what it holds.
    pub(crate) fn clear(&mut self, entry: &Entry) -> Result<(), Error> {
        if entry.kind == Kind::DIRECTORY {
            let place = entry.path.below(&self.path);
            if fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir()) {
                return Ok(());
            }
        }
        self.remove(&entry.path)
    }

    /// Removes what is at `path`, with everything below it.
    pub(crate) fn remove(&mut self, path: &TreePath) -> Result<(), Error> {
        if let Some(parent) = path.parent() {
            self.directory(&parent)?;
        }
        let place = path.below(&self.path);
        let removed = match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&place),
            Ok(_) => fs::remove_file(&place),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(Error::io("remove", place))
    }

    /// Makes a regular file that shares the blocks of `source` (`FICLONE`: btrfs, XFS, bcachefs).
    /// `false` if that cannot be done here.
    pub(crate) fn share(&mut self, entry: &Entry, source: &File) -> Result<bool, Error> {
        let place = entry.path.below(&self.path);
        let file = self.create(entry)?;
        if rustix::fs::ioctl_ficlone(&file, source).is_err() {
            drop(file);
            self.shares_blocks = false;
            self.remove(&entry.path)?;
            return Ok(false);
        }
        self.describe(file.as_fd(), entry).map_err(Error::describe(entry, place))?;
        Ok(true)
    }

    /// Makes `path` a second name of the same file below another root. `false` if that cannot be: the file
    /// is missing there, or has as many names as it can have.
    pub(crate) fn link_from(
        &mut self,
        there: &mut OpenDirectories,
        path: &TreePath,
    ) -> Result<bool, Error> {
        let Ok(from) = there.get(&path.parent().unwrap_or_default()) else { return Ok(false) };
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::linkat(from, name, parent, name, AtFlags::empty()).is_ok())
    }

    fn create(&mut self, entry: &Entry) -> Result<File, Error> {
        let place = entry.path.below(&self.path);
        let (parent, name) = self.parent(&entry.path)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| Error::io("make", place)(errno.into()))?;
        Ok(file.into())
    }

    /// Writes a regular file of which all is here.
    pub(crate) fn write(&mut self, entry: &Entry, content: &[u8]) -> Result<(), Error> {
        let place = entry.path.below(&self.path);
        let mut file = self.create(entry)?;
        file.write_all(content).map_err(Error::io("write", &place))?;
        self.describe(file.as_fd(), entry).map_err(Error::describe(entry, place))
    }

    /// Writes a regular file and says what was in `content`.
    pub(crate) fn file(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        mut keep: Option<&mut Vec<u8>>,
        read_error: impl Fn(io::Error) -> Error,
    ) -> Result<(u64, Digest), Error> {
        let place = entry.path.below(&self.path);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut file = self.create(entry)?;
        let mut hasher = Hasher::new();
        let mut size = 0;
        loop {
            let count = read_some(content, &mut buffer).map_err(&read_error)?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count]).map_err(Error::io("write", &place))?;
            hasher.update(&buffer[..count]);
            size += count as u64;
            if let Some(keep) = keep.as_deref_mut() {
                keep.extend_from_slice(&buffer[..count]);
            }
        }
        self.buffer = buffer;
        self.describe(file.as_fd(), entry).map_err(Error::describe(entry, place))?;
        Ok((size, hasher.finish()))
    }

    /// Makes anything but a directory, a regular file or a hard link.
    pub(crate) fn special(&mut self, entry: &Entry) -> Result<(), Error> {
        let (single_id, place) = (self.options.single_id, entry.path.below(&self.path));
        let (parent, name) = self.parent(&entry.path)?;
        let mode = make_special(parent, name, entry)
            .map_err(|errno| Error::io("make", &place)(errno.into()))?;
        describe_name(parent, name, entry, mode, single_id)
            .map_err(|errno| Error::describe(entry, place)(errno.into()))
    }

    /// Makes `entry` another name of `target`, and gives it the metadata of `entry`.
    pub(crate) fn link(&mut self, entry: &Entry, target: &TreePath) -> Result<(), Error> {
        let (single_id, place) = (self.options.single_id, entry.path.below(&self.path));
        let error = |errno: Errno| Error::io("link", &place)(errno.into());
        let (parent, target_name) = self.parent(target)?;
        let target_parent = parent.try_clone_to_owned().map_err(Error::io("link", &place))?;
        let (parent, name) = self.parent(&entry.path)?;
        let flags = AtFlags::empty();
        rustix::fs::linkat(target_parent, target_name, parent, name, flags).map_err(error)?;
        describe_name(parent, name, entry, entry.mode, single_id)
            .map_err(|errno| Error::describe(entry, &place)(errno.into()))?;
        if entry.capability.is_some() && matches!(entry.kind, Kind::File { .. }) {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(error)?;
            self.describe(file.as_fd(), entry).map_err(Error::describe(entry, place))?;
        }
        Ok(())
    }

    /// Gives the directory of `entry` its metadata, now that nothing more is made in it.
    pub(crate) fn seal(&mut self, entry: &Entry) -> Result<(), Error> {
        let place = entry.path.below(&self.path);
        let options = self.options;
        let directory = self.directory(&entry.path)?;
        if entry.kind == (Kind::Directory { opaque: true }) && !options.plain {
            let name = match options.xattrs {
                XattrNamespace::Trusted => "trusted.overlay.opaque",
                XattrNamespace::User => "user.overlay.opaque",
            };
            rustix::fs::fsetxattr(directory, name, b"y", XattrFlags::empty())
                .map_err(|errno| Error::io("mark as opaque", &place)(errno.into()))?;
        }
        describe(directory, entry, options.single_id).map_err(Error::describe(entry, place))
    }

    fn describe(&self, file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        describe(file, entry, self.options.single_id)
    }

    fn parent<'p>(&mut self, path: &'p TreePath) -> Result<(BorrowedFd<'_>, &'p OsStr), Error> {
        let parent = path.parent().unwrap_or_default();
        let name = OsStr::from_bytes(path.name().unwrap_or(b"."));
        Ok((self.directory(&parent)?, name))
    }
}

/// Reads until `buffer` is full or `read` at its end.
pub(crate) fn read_some(read: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Opens the directory `name` in `parent`, making it if there is none.
fn make_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            // Its own mode comes last; until then only we use it.
            match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                // Another thread was faster.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            rustix::fs::openat(parent, name, flags, Mode::empty())
        }
        opened => opened,
    }
}

/// Makes a name and says which mode it should have.
fn make_special(parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> Result<u32, Errno> {
    let node = |kind, device| rustix::fs::mknodat(parent, name, kind, Mode::RUSR, device);
    match &entry.kind {
        Kind::Symlink { target } => rustix::fs::symlinkat(target.as_slice(), parent, name)?,
        Kind::Fifo => node(FileType::Fifo, 0)?,
        // Allowed in a user namespace since Linux 5.8, unlike all other devices.
        Kind::Whiteout => node(FileType::CharacterDevice, 0)?,
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            let is_char = matches!(entry.kind, Kind::CharDevice { .. });
            let kind = if is_char { FileType::CharacterDevice } else { FileType::BlockDevice };
            match node(kind, rustix::fs::makedev(*major, *minor)) {
                // Not ours to make in a user namespace. The index knows better.
                Err(Errno::PERM) => return node(FileType::RegularFile, 0).map(|()| 0),
                made => made?,
            }
        }
        Kind::Directory { .. } | Kind::File { .. } | Kind::HardLink { .. } => {
            return Err(Errno::INVAL);
        }
    }
    Ok(entry.mode)
}

/// Sets owner, mode and time of a name that was just made. Only whoever unpacks is there, so the
/// name is still what it was made as.
fn describe_name(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    entry: &Entry,
    mode: u32,
    single_id: bool,
) -> Result<(), Errno> {
    if entry.kind == Kind::Whiteout {
        return Ok(());
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let owner = rustix::fs::chownat(
        parent,
        name,
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
        flags,
    );
    tolerate(owner, single_id)?;
    if !matches!(entry.kind, Kind::Symlink { .. }) {
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    rustix::fs::utimensat(parent, name, &times(entry), flags)
}

/// Sets owner, mode, capability and time. A change of the owner takes set-id bits and capabilities
/// away, so these come after it.
fn describe(file: BorrowedFd<'_>, entry: &Entry, single_id: bool) -> io::Result<()> {
    let owner =
        rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
    tolerate(owner, single_id)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    if let Some(value) = &entry.capability {
        let set = rustix::fs::fsetxattr(file, CAPABILITY, value, XattrFlags::empty());
        tolerate(set, single_id)?;
    }
    rustix::fs::futimens(file, &times(entry))?;
    Ok(())
}

/// With a single id there is nobody to give a file to.
fn tolerate(result: Result<(), Errno>, single_id: bool) -> Result<(), Errno> {
    match result {
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) if single_id => Ok(()),
        result => result,
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
