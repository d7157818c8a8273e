//! Reading a directory that a command changed, as a layer.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dfbuild_image::{Entry, Kind, TreePath};
use rustix::fs::{AtFlags, Dir, FileType, Mode as FileMode, OFlags, Stat};
use rustix::io::Errno;

use crate::contents::open_below;
use crate::in_place::{Baseline, Compared};
use crate::pack::{TarWriter, digest};
use crate::{Error, Index, View, XattrNamespace};

/// How a directory is read that a command changed.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// Where overlayfs keeps its notes, if it does.
    pub xattrs: XattrNamespace,
    /// Every file on disk belongs to 0:0 because only one id is mapped: an entry whose path exists
    /// below with the same type keeps the owner it has there.
    pub single_id: bool,
    /// Paths to leave out, with everything below them.
    pub ignore: Vec<TreePath>,
}

/// What the directory is that is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// The upper directory of an overlay: what was changed and nothing else.
    Upper,
    /// The whole tree, and how it looked before.
    InPlace(&'a Baseline),
}

/// Reads a directory that a command changed over `below`.
pub(crate) fn run(
    directory: &Path,
    mode: Mode<'_>,
    below: &View,
    options: &ScanOptions,
    tar: &mut dyn Write,
) -> Result<Index, Error> {
    let before = match mode {
        Mode::Upper => None,
        Mode::InPlace(before) => Some(before),
    };
    let ignore = options.ignore.iter().collect();
    let mut scan = Scan { upper: directory, before, below, options, ignore, nodes: Vec::new() };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, FileMode::empty())
        .map_err(|errno| Error::io("open", directory)(errno.into()))?;
    // In a whole tree, what is below and not here is gone, as in an opaque directory.
    let opaque = before.is_some();
    let place = Place { path: TreePath::ROOT, opaque, xattr_whiteouts: false, parent: None };
    scan.directory(&root, &place)?;
    let mut nodes = scan.nodes;
    select(&mut nodes);
    write(directory, nodes, tar)
}

/// Something that the directory says of one path.
struct Node {
    entry: Entry,
    /// The number of the directory that holds it; none for the root.
    parent: Option<usize>,
    /// Whether it belongs in the layer.
    wanted: bool,
    /// Device and inode, if it may have other names.
    inode: Option<(u64, u64)>,
}

/// A directory under way.
struct Place {
    path: TreePath,
    /// Whether it or one above it hides what is below it.
    opaque: bool,
    /// Whether whiteouts may be marked by extended attributes in it (Linux 6.7).
    xattr_whiteouts: bool,
    parent: Option<usize>,
}

struct Scan<'a> {
    upper: &'a Path,
    /// How it looked before, if it was not empty.
    before: Option<&'a Baseline>,
    below: &'a View,
    options: &'a ScanOptions,
    ignore: BTreeSet<&'a TreePath>,
    /// In the order of a walk.
    nodes: Vec<Node>,
}

impl Scan<'_> {
    fn directory(&mut self, directory: &OwnedFd, place: &Place) -> Result<(), Error> {
        let names = list(directory, self.upper, &place.path)?;
        let mut names: Vec<_> = names.into_iter().map(|name| (name, false)).collect();
        if place.opaque {
            // What is below and not here is gone.
            let hidden = self.below.read_dir(&place.path).into_iter();
            names.extend(hidden.map(|(name, _)| (name, true)));
            // Of equal names the one that is here sorts first.
            names.sort_unstable();
            names.dedup_by(|a, b| a.0 == b.0);
        } else {
            names.sort_unstable();
        }
        for (name, gone) in names {
            let path = place.path.join(&name);
            if self.ignore.contains(&path) {
                continue;
            }
            if gone {
                self.push(Entry::whiteout(path), place, true, None);
            } else {
                self.name(directory.as_fd(), OsStr::from_bytes(&name), path, place)?;
            }
        }
        Ok(())
    }

    fn name(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: TreePath,
        place: &Place,
    ) -> Result<(), Error> {
        let at = path.below(self.upper);
        let error = |errno: Errno| Error::io("read", &at)(errno.into());
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(error)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let compared = self.before.map_or(Compared::Changed, |it| it.compare(&path, &stat));
        if compared == Compared::Same && file_type != FileType::Directory {
            return Ok(());
        }
        let mut entry = entry(path, &stat);
        let open = |flags| {
            let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, FileMode::empty())
        };
        match file_type {
            FileType::Directory => {
                let directory = open(OFlags::DIRECTORY).map_err(error)?;
                return self.subdirectory(&directory, entry, compared, place, at);
            }
            FileType::RegularFile => {
                let mut file: File = open(OFlags::NONBLOCK).map_err(error)?.into();
                if compared == Compared::Doubtful && self.has_same_content(&entry, &mut file)? {
                    return Ok(());
                }
                return self.file(file, entry, &stat, place, &at);
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new()).map_err(error)?;
                entry.kind = Kind::Symlink { target: target.into_bytes() };
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                self.gone(entry.path, place);
                return Ok(());
            }
            FileType::CharacterDevice => {
                let (major, minor) = device(stat.st_rdev);
                entry.kind = Kind::CharDevice { major, minor };
            }
            FileType::BlockDevice => {
                let (major, minor) = device(stat.st_rdev);
                entry.kind = Kind::BlockDevice { major, minor };
            }
            FileType::Fifo => entry.kind = Kind::Fifo,
            // Sockets. What one replaces is gone, though.
            _ => {
                self.gone(entry.path, place);
                return Ok(());
            }
        }
        let wanted = !self.is_unchanged(&mut entry);
        self.push(entry, place, wanted, inode(&stat));
        Ok(())
    }

    fn subdirectory(
        &mut self,
        directory: &OwnedFd,
        mut entry: Entry,
        compared: Compared,
        place: &Place,
        at: PathBuf,
    ) -> Result<(), Error> {
        if self.overlay_xattr(directory, "redirect", &at)?.is_some() {
            return Err(Error::Redirect { path: at });
        }
        let opaque = self.overlay_xattr(directory, "opaque", &at)?;
        entry.capability = xattr(directory, CAPABILITY, &at)?;
        let wanted = !self.is_unchanged(&mut entry) && compared != Compared::Same;
        let path = entry.path.clone();
        let number = self.push(entry, place, wanted, None);
        let place = Place {
            path,
            opaque: place.opaque || opaque.as_deref() == Some(b"y"),
            xattr_whiteouts: opaque.as_deref() == Some(b"x"),
            parent: Some(number),
        };
        self.directory(directory, &place)
    }

    fn file(
        &mut self,
        mut file: File,
        mut entry: Entry,
        stat: &Stat,
        place: &Place,
        at: &Path,
    ) -> Result<(), Error> {
        if place.xattr_whiteouts
            && stat.st_size == 0
            && self.overlay_xattr(&file, "whiteout", at)?.is_some()
        {
            self.gone(entry.path, place);
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        entry.capability = xattr(&file, CAPABILITY, at)?;
        // The digest stands for itself until the content is read.
        entry.kind = Kind::File { size, digest: dfbuild_image::Digest::from_bytes([0; 32]) };
        let mut wanted = !self.is_unchanged(&mut entry);
        if !wanted {
            let below = self.below.get(&entry.path);
            let below = below.and_then(|found| self.below.file(&found));
            let read = digest(&entry.path, &mut file)?;
            wanted = below.is_none_or(|below| below.digest != read);
            entry.kind = Kind::File { size, digest: read };
        }
        self.push(entry, place, wanted, inode(stat));
        Ok(())
    }

    /// Whether a file that looks as before has the content of before. What is not below is none of
    /// the command's, and what is no file there stands in for something that could not be made.
    fn has_same_content(&self, entry: &Entry, file: &mut File) -> Result<bool, Error> {
        let below = self.below.get(&entry.path).and_then(|found| self.below.file(&found));
        let Some(below) = below else { return Ok(true) };
        let same = digest(&entry.path, file)? == below.digest;
        file.rewind().map_err(Error::io("read", entry.path.below(self.upper)))?;
        Ok(same)
    }

    /// Whether `entry`, apart from the content of a file, is what is below.
    fn is_unchanged(&self, entry: &mut Entry) -> bool {
        let Some(found) = self.below.get(&entry.path) else {
            return false;
        };
        let below = found.entry;
        let (same_type, same_kind) = match (&entry.kind, &self.below.origin(&found).entry.kind) {
            (Kind::Directory { .. }, Kind::Directory { .. }) => (true, true),
            (Kind::File { size: a, .. }, Kind::File { size: b, .. }) => (true, a == b),
            (Kind::Symlink { target: a }, Kind::Symlink { target: b }) => (true, a == b),
            (a, b) => (std::mem::discriminant(a) == std::mem::discriminant(b), a == b),
        };
        if same_type && self.options.single_id {
            (entry.uid, entry.gid) = (below.uid, below.gid);
        }
        same_kind
            && (entry.mode, entry.uid, entry.gid) == (below.mode, below.uid, below.gid)
            && entry.capability == below.capability
            && (entry.kind.is_directory() || entry.mtime == below.mtime)
    }

    /// Takes note that `path` is not there any more, if it was.
    fn gone(&mut self, path: TreePath, place: &Place) {
        if self.below.get(&path).is_some() {
            self.push(Entry::whiteout(path), place, true, None);
        }
    }

    fn push(
        &mut self,
        entry: Entry,
        place: &Place,
        wanted: bool,
        inode: Option<(u64, u64)>,
    ) -> usize {
        self.nodes.push(Node { entry, parent: place.parent, wanted, inode });
        self.nodes.len() - 1
    }

    fn overlay_xattr(
        &self,
        file: impl AsFd,
        name: &str,
        at: &Path,
    ) -> Result<Option<Vec<u8>>, Error> {
        if self.before.is_some() {
            return Ok(None);
        }
        let namespace = match self.options.xattrs {
            XattrNamespace::Trusted => "trusted",
            XattrNamespace::User => "user",
        };
        xattr(file, &format!("{namespace}.overlay.{name}"), at)
    }
}

/// The names in a directory: `path` below `root`.
pub(crate) fn list(
    directory: &OwnedFd,
    root: &Path,
    path: &TreePath,
) -> Result<Vec<Vec<u8>>, Error> {
    let error = |errno: Errno| Error::io("list", path.below(root))(errno.into());
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

const CAPABILITY: &str = "security.capability";

/// Wants all names of a file if one is wanted, all but the first as links to it, and the parents of
/// what is wanted.
fn select(nodes: &mut [Node]) {
    let mut groups: HashMap<(u64, u64), Vec<usize>> = HashMap::new();
    for (number, node) in nodes.iter().enumerate() {
        if let Some(inode) = node.inode {
            groups.entry(inode).or_default().push(number);
        }
    }
    for group in groups.into_values().filter(|group| group.len() > 1) {
        if !group.iter().any(|&number| nodes[number].wanted) {
            continue;
        }
        let target = nodes[group[0]].entry.path.clone();
        nodes[group[0]].wanted = true;
        for &number in &group[1..] {
            nodes[number].wanted = true;
            nodes[number].entry.kind = Kind::HardLink { target: target.clone() };
        }
    }
    // Whatever holds something comes before it.
    for number in (0..nodes.len()).rev() {
        if let (true, Some(parent)) = (nodes[number].wanted, nodes[number].parent) {
            nodes[parent].wanted = true;
        }
    }
}

fn write(upper: &Path, nodes: Vec<Node>, tar: &mut dyn Write) -> Result<Index, Error> {
    let mut writer = TarWriter::new(tar);
    let mut kept = Vec::new();
    let mut entries = Vec::new();
    for node in nodes.into_iter().filter(|node| node.wanted) {
        let mut entry = node.entry;
        if let Kind::File { size, .. } = entry.kind {
            let mut content = open_below(upper, &entry.path)
                .map_err(Error::io("open", entry.path.below(upper)))?;
            let mut keep = Index::keeps(&entry.path, size).then(Vec::new);
            let digest = writer.file(&entry, size, &mut content, keep.as_mut())?;
            entry.kind = Kind::File { size, digest };
            kept.extend(keep.map(|content| (entry.path.clone(), content)));
        } else {
            writer.entry(&entry)?;
        }
        entries.push(entry);
    }
    writer.finish()?;
    let mut index = Index::new(entries)?;
    for (path, content) in kept {
        index.set_inline(&path, content);
    }
    Ok(index)
}

/// What `stat` says of `path`, as a directory.
fn entry(path: TreePath, stat: &Stat) -> Entry {
    let mut entry = Entry::new(path, Kind::DIRECTORY, stat.st_mode & 0o7777, stat.st_mtime);
    (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
    entry
}

fn inode(stat: &Stat) -> Option<(u64, u64)> {
    (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino))
}

fn device(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

fn xattr(file: impl AsFd, name: &str, at: &Path) -> Result<Option<Vec<u8>>, Error> {
    let mut value = vec![0; 128];
    loop {
        match rustix::fs::fgetxattr(&file, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            // The kernel's limit for a value is 64 KiB.
            Err(Errno::RANGE) if value.len() < 64 << 10 => value.resize(64 << 10, 0),
            Err(errno) => return Err(Error::io("read the attributes of", at)(errno.into())),
        }
    }
}
