use std::io::{self, Read};
use std::path::Path;

use dfbuild_image::{Digest, Entry, Hasher, Kind, TreePath};

use crate::archive::{Member, MemberKind, Members, members};
use crate::disk::{BUFFER, Disk, read_some};
use crate::placing::Placing;
use crate::tree::{Linked, Tree};
use crate::{Contents, Error, Index, Limits, View, XattrNamespace};

/// How [`unpack`] and [`materialise`] place files.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// Where to mark opaque directories.
    pub xattrs: XattrNamespace,
    /// Leave out what only an overlay looks at, whiteouts and the marks of opaque directories: whoever
    /// reads the directory asks the index what is there. A file system that is an overlay
    /// itself takes neither.
    pub plain: bool,
    /// Only one id is mapped: owners and capabilities that cannot be set are left.
    pub single_id: bool,
    /// What is too much.
    pub limits: Limits,
}

/// Reads the archive of a layer into its index, without unpacking.
///
/// Reads `tar` to its end, also what follows the archive, so that whoever digests it on the way
/// has seen all. The index says what the archive says, regardless of the layers below: see
/// [`Index::settle`].
///
/// Later members replace earlier ones of the same path. A hard link's own metadata becomes that of
/// its target, as when a file is written through it. `.wh.` members become whiteouts,
/// `.wh..wh..opq` an opaque directory, wherever in the archive they stand. A character device 0:0
/// is a whiteout too, because in overlay form that is what it would be.
pub fn index(tar: &mut dyn Read, limits: &Limits) -> Result<Index, Error> {
    let below = View::default();
    Reader { tree: Tree::new(&below), disk: None, lower: None, limits }.read(tar)
}

/// Unpacks the archive of a layer into the empty directory `dest`, in overlay form: whiteouts are
/// character devices 0:0, opaque directories carry the extended attribute.
///
/// The index is that of [`index()`], settled on `below`. Parents that the archive does not hold are
/// made as `below` has them, else as root's with mode 0755 and time 0. A hard link to a file of a
/// layer below makes a copy of that file, read from `lower`, in this one, as it does in a mounted
/// overlay. Where devices cannot be made, as in a user
/// namespace, an empty file takes their place; the index holds the device all the same.
pub fn unpack(
    tar: &mut dyn Read,
    dest: &Path,
    below: &View,
    lower: &dyn Contents,
    options: &UnpackOptions,
) -> Result<Index, Error> {
    let disk = Disk::open(dest, options)?;
    let tree = Tree::new(below);
    Reader { tree, disk: Some(disk), lower: Some(lower), limits: &options.limits }.read(tar)
}

/// Gives the root directory of a layer that was unpacked into `dest` the metadata of `root`.
///
/// A layer that says nothing of its root shows that of the layers below. Whoever unpacks it before
/// these are known does so afterwards.
pub fn seal_root(dest: &Path, root: &Entry, options: &UnpackOptions) -> Result<(), Error> {
    let root = Entry { path: TreePath::ROOT, kind: Kind::DIRECTORY, ..root.clone() };
    Disk::open(dest, options)?.seal(&root)
}

/// Places the layer of `index`, settled on `below`, in the empty directory `dest`, in overlay form.
/// Where the file system can, files share the blocks of those that `contents` has.
///
/// # Errors
/// [`Error::Changed`] for a file that differs from its entry.
pub fn materialise(
    index: &Index,
    contents: &dyn Contents,
    dest: &Path,
    below: &View,
    options: &UnpackOptions,
) -> Result<(), Error> {
    let placing = Placing::new(index, contents, dest, below, options, None);
    placing.place_all(1)?;
    placing.finish()
}

/// Changes the directory `dest`, which holds the tree of `below`, to what it is with the layer of
/// `index` on top, settled on `below`.
///
/// # Errors
/// [`Error::Changed`] for a file that differs from its entry.
pub fn apply(
    index: &Index,
    contents: &dyn Contents,
    dest: &Path,
    below: &View,
    options: &UnpackOptions,
) -> Result<(), Error> {
    let options = UnpackOptions { plain: true, ..options.clone() };
    let mut disk = Disk::open(dest, &options)?;
    for parent in index.all_implied().iter().filter(|parent| !parent.path.is_root()) {
        disk.clear(parent)?;
    }
    for entry in index.entries().iter().filter(|entry| !entry.path.is_root()) {
        disk.clear(entry)?;
        place(&mut disk, entry, index, contents)?;
    }
    finish(&mut disk, index, below)
}

/// Makes what `entry` of `index` stands for, unless it is a directory or a whiteout.
pub(crate) fn place(
    disk: &mut Disk<'_>,
    entry: &Entry,
    index: &Index,
    contents: &dyn Contents,
) -> Result<(), Error> {
    match &entry.kind {
        Kind::Directory { .. } | Kind::Whiteout => Ok(()),
        Kind::HardLink { target } => {
            let file = index.target(target).ok_or_else(|| Error::LinkTarget {
                path: entry.path.clone(),
                target: target.clone(),
            })?;
            disk.link(&Entry { kind: file.kind.clone(), ..entry.clone() }, target)
        }
        Kind::File { size, digest } => {
            let error = |source| Error::Content { path: entry.path.clone(), source };
            let changed = || Error::Changed { path: entry.path.clone() };
            if disk.shares_blocks
                && let Some(file) = contents.file(entry).map_err(error)?
            {
                if file.metadata().map_err(error)?.len() != *size {
                    return Err(changed());
                }
                if disk.share(entry, &file)? {
                    contents.advanced(*size);
                    return Ok(());
                }
            }
            let mut content = contents.open(entry).map_err(error)?;
            let content = &mut content;
            // One byte more than it should have shows that it has too many.
            let mut content = content.take(size.saturating_add(1));
            if disk.file(entry, &mut content, None, error)? != (*size, *digest) {
                return Err(changed());
            }
            contents.advanced(*size);
            Ok(())
        }
        _ => disk.special(entry),
    }
}

/// Makes whiteouts, and gives directories their metadata, the deepest first: each is complete when
/// its time is set, and its parents can still be entered whatever mode they get.
pub(crate) fn finish(disk: &mut Disk<'_>, index: &Index, below: &View) -> Result<(), Error> {
    if !disk.is_plain() {
        for entry in index.entries().iter().filter(|entry| entry.kind == Kind::Whiteout) {
            disk.special(entry)?;
        }
    }
    let mut entries = index.entries().iter().rev().filter(|e| e.kind.is_directory()).peekable();
    let mut implied = index.all_implied().iter().rev().peekable();
    loop {
        let next = match (entries.peek(), implied.peek()) {
            (Some(entry), Some(parent)) if entry.path < parent.path => implied.next(),
            (None, _) => implied.next(),
            _ => {
                let Some(entry) = entries.next() else { break };
                disk.seal(entry)?;
                continue;
            }
        };
        let Some(parent) = next else { break };
        let known = below.get(&parent.path).filter(|found| found.entry.kind.is_directory());
        disk.seal(&Entry { kind: Kind::DIRECTORY, ..known.map_or(parent, |f| f.entry).clone() })?;
    }
    Ok(())
}

/// An archive on its way to an index and, if wanted, to a disk.
struct Reader<'a> {
    tree: Tree<'a>,
    disk: Option<Disk<'a>>,
    lower: Option<&'a dyn Contents>,
    limits: &'a Limits,
}

impl Reader<'_> {
    fn read(mut self, tar: &mut dyn Read) -> Result<Index, Error> {
        let mut members = members(tar);
        let mut entries = 0_u64;
        while let Some(member) = members.advance()? {
            entries += 1;
            if entries > self.limits.entries {
                return Err(Error::Bomb { entries });
            }
            if !self.whiteout(&member)? {
                self.member(member, &mut members)?;
            }
        }
        io::copy(members.into_inner(), &mut io::sink()).map_err(Error::read)?;
        let below = self.tree.below();
        let index = self.tree.into_index()?;
        if let Some(disk) = &mut self.disk {
            finish(disk, &index, below)?;
        }
        Ok(index)
    }

    /// Takes `member` if its name says that it hides something.
    fn whiteout(&mut self, member: &Member) -> Result<bool, Error> {
        let Some(hidden) = member.path.name().and_then(|name| name.strip_prefix(b".wh.")) else {
            return Ok(false);
        };
        let invalid = || Error::malformed(&member.name, "not a valid name for a whiteout");
        match hidden {
            b"" | b"." | b".." => return Err(invalid()),
            b".wh..opq" => {
                let marker = self.tree.place(&member.path)?;
                self.tree.opaque(marker.parent().ok_or_else(invalid)?);
            }
            // Notes of aufs to itself.
            name if name.starts_with(b".wh.") => {}
            name => {
                let parent = member.path.parent().unwrap_or_default();
                let path = self.tree.place(&parent.join(name))?;
                self.hide(&path)?;
            }
        }
        Ok(true)
    }

    fn member(
        &mut self,
        member: Member,
        members: &mut Members<&mut dyn Read>,
    ) -> Result<(), Error> {
        let is_directory = member.kind == MemberKind::Directory;
        if member.path.is_root() && !is_directory {
            // As containerd: what is called like the root can only be the root.
            return Ok(());
        }
        let path = self.tree.place(&member.path)?;
        let mut entry = Entry {
            path: path.clone(),
            kind: Kind::DIRECTORY,
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime: member.mtime,
            capability: member.capability,
        };
        entry.kind = match member.kind {
            MemberKind::HardLink { target } => return self.link(entry, &target),
            MemberKind::File { size } => {
                self.clear(&path, false)?;
                let mut kept = Index::keeps(&path, size).then(Vec::new);
                let (size, digest) = self.content(&entry, members, kept.as_mut())?;
                entry.kind = Kind::File { size, digest };
                self.tree.insert(path.clone(), entry);
                if let Some(content) = kept {
                    self.tree.keep(&path, content);
                }
                return Ok(());
            }
            MemberKind::CharDevice { major: 0, minor: 0 } => {
                self.clear(&path, false)?;
                return self.hide(&path);
            }
            MemberKind::Directory => Kind::DIRECTORY,
            MemberKind::Symlink { target } => {
                // Linux knows no other, so no other comes back from a disk.
                entry.mode = 0o777;
                Kind::Symlink { target }
            }
            MemberKind::CharDevice { major, minor } => Kind::CharDevice { major, minor },
            MemberKind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
            MemberKind::Fifo => Kind::Fifo,
        };
        self.clear(&path, is_directory)?;
        if let Some(disk) = &mut self.disk {
            if is_directory {
                disk.directory(&path)?;
            } else {
                disk.special(&entry)?;
            }
        }
        self.tree.insert(path, entry);
        Ok(())
    }

    fn clear(&mut self, path: &TreePath, directory: bool) -> Result<(), Error> {
        if self.tree.clear(path, directory)
            && let Some(disk) = &mut self.disk
        {
            disk.remove(path)?;
        }
        Ok(())
    }

    fn hide(&mut self, path: &TreePath) -> Result<(), Error> {
        match &mut self.disk {
            Some(disk) if self.tree.whiteout(path.clone()) => disk.remove(path),
            Some(_) => Ok(()),
            None => {
                self.tree.whiteout(path.clone());
                Ok(())
            }
        }
    }

    /// Reads the content of a member and writes it to the disk, if there is one.
    fn content(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        mut keep: Option<&mut Vec<u8>>,
    ) -> Result<(u64, Digest), Error> {
        if let Some(disk) = &mut self.disk {
            return disk.file(entry, content, keep, Error::read);
        }
        let mut buffer = vec![0; BUFFER];
        let (mut size, mut hasher) = (0, Hasher::new());
        loop {
            let count = read_some(content, &mut buffer).map_err(Error::read)?;
            if count == 0 {
                return Ok((size, hasher.finish()));
            }
            size += count as u64;
            hasher.update(&buffer[..count]);
            if let Some(keep) = keep.as_deref_mut() {
                keep.extend_from_slice(&buffer[..count]);
            }
        }
    }

    fn link(&mut self, entry: Entry, target: &TreePath) -> Result<(), Error> {
        let path = entry.path.clone();
        let target = self.tree.place(target)?;
        if target.starts_with(&path) {
            return Err(Error::LinkTarget { path, target });
        }
        self.clear(&path, false)?;
        let linked = self.tree.link(path.clone(), &target, Some(&entry))?;
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        let made = self.tree.get(&path).cloned();
        let entry = Entry { path: path.clone(), ..made.unwrap_or(entry) };
        match linked {
            Linked::Here => disk.link(&entry, &target),
            Linked::Unknown => Err(Error::LinkTarget { path, target }),
            Linked::Below(below) => {
                let copy = Entry { path: target.clone(), ..entry.clone() };
                if let Kind::File { size, digest } = below.kind {
                    let error = |source| Error::Content { path: below.path.clone(), source };
                    let lower = self.lower.expect("whoever has a disk has contents");
                    let mut content = lower.open(&below).map_err(error)?;
                    if disk.file(&copy, &mut content, None, error)? != (size, digest) {
                        return Err(Error::Changed { path: below.path });
                    }
                } else {
                    disk.special(&copy)?;
                }
                disk.link(&entry, &target)
            }
        }
    }
}
