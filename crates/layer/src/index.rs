use std::collections::BTreeMap;
use std::ops::Range;

use dfbuild_image::{Digest, Entry, Hasher, Kind, TreePath};
use serde::{Deserialize, Serialize};

use crate::tree::Tree;
use crate::{Error, View};

/// The sorted entries of one layer.
///
/// Encoded, an index is
///
/// ```text
/// 8 bytes   "dfblayer"
/// 4 bytes   version, little endian
/// 32 bytes  SHA-256 of what follows
/// rest      postcard of (entries in order, kept contents by path)
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Entry>,
    /// Parents of entries that have no entry of their own, sorted; among them the root.
    implied: Vec<Entry>,
    inline: BTreeMap<TreePath, Vec<u8>>,
}

const MAGIC: &[u8; 8] = b"dfblayer";
const VERSION: u32 = 1;
/// Magic, version and checksum.
const HEADER: usize = 8 + 4 + 32;
/// What an entry takes encoded, without its path, mostly.
const ENCODED: usize = 56;
/// No real user database comes near it, and no index grows out of hand.
const INLINE_LIMIT: u64 = 1 << 20;

impl Index {
    /// Sorts `entries`, in any order, and brings hard links into one form: the first path of a
    /// group is the file, the others link to it and repeat its metadata.
    ///
    /// # Errors
    /// Two entries with one path; an entry below something that is no directory; a link to a
    /// directory, a whiteout or itself.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, Error> {
        if !entries.is_sorted_by(|a, b| a.path <= b.path) {
            entries.sort_by(|a, b| a.path.cmp(&b.path));
        }
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(Error::Duplicate { path: pair[0].path.clone() });
        }
        group_links(&mut entries)?;
        let implied = implied(&entries)?;
        Ok(Self { entries, implied, inline: BTreeMap::new() })
    }

    /// The entries in the order of a walk.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// About how many bytes the layer takes on a disk, on a file system of 4 KiB blocks.
    pub fn allocated(&self) -> u64 {
        const BLOCK: u64 = 4096;
        let sizes = self.entries.iter().map(|entry| match entry.kind {
            Kind::File { size, .. } => size.next_multiple_of(BLOCK),
            Kind::Directory { .. } => BLOCK,
            _ => 0,
        });
        sizes.sum()
    }

    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at `path`.
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.position(path).map(|at| &self.entries[at])
    }

    /// Where the entry at `path` is among [`Index::entries`].
    pub fn position(&self, path: &TreePath) -> Option<usize> {
        find(&self.entries, path)
    }

    /// The entries directly in the directory `path`, in order.
    pub fn children(&self, path: &TreePath) -> impl Iterator<Item = &Entry> {
        let start = self.entries.partition_point(|entry| entry.path <= *path);
        let below = start..self.end_of(path, start..self.entries.len());
        self.names(path, below).filter_map(|(_, child)| match child {
            Child::Entry(at) => Some(&self.entries[at]),
            Child::Implied => None,
        })
    }

    /// The identity of the layer's content: everything but times, and so not of its archive.
    pub fn content_id(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(b"dfbuild layer content 1\0");
        let mut frame = Vec::new();
        for entry in &self.entries {
            frame.clear();
            frame_entry(&mut frame, entry);
            hasher.update(&frame);
        }
        hasher.finish()
    }

    /// The content of `path` if it is one of the small files that the index keeps
    /// ([`Index::keeps`]).
    pub fn inline(&self, path: &TreePath) -> Option<&[u8]> {
        let path = match &self.get(path)?.kind {
            Kind::HardLink { target } => target,
            _ => path,
        };
        self.inline.get(path).map(Vec::as_slice)
    }

    /// Whether an index keeps the content of a regular file of `size` bytes at `path`: `passwd`
    /// and `group` in any directory `etc`, up to 1 MiB, so that names resolve without unpacking.
    pub fn keeps(path: &TreePath, size: u64) -> bool {
        let mut names = path.names().rev();
        size <= INLINE_LIMIT
            && matches!(names.next(), Some(b"passwd" | b"group"))
            && names.next() == Some(b"etc")
    }

    /// Keeps `content` for [`Index::inline`]. Does nothing, and says so by `false`, unless
    /// [`Index::keeps`] it and it is the content of the file at `path`.
    pub fn set_inline(&mut self, path: &TreePath, content: Vec<u8>) -> bool {
        let Some(Entry { kind: Kind::File { size, digest }, .. }) = self.get(path) else {
            return false;
        };
        let kept = Self::keeps(path, *size) && *digest == Digest::of(&content);
        if kept {
            self.inline.insert(path.clone(), content);
        }
        kept
    }

    /// Whether the meaning of the layer depends on those below it: it holds entries without
    /// their parents, or hard links to files that it does not hold.
    pub fn needs_below(&self) -> bool {
        self.implied.iter().any(|entry| !entry.path.is_root())
            || self.entries.iter().any(|entry| match &entry.kind {
                Kind::HardLink { target } => self.target(target).is_none(),
                _ => false,
            })
    }

    /// The layer as it lands on `below`: entries whose parents are symbolic links there move to
    /// where these lead, as they do when [`unpack`](crate::unpack()) places them, and hard links to
    /// files below bring these into the layer. Equal to `self` unless [`Index::needs_below`].
    pub fn settle(self, below: &View) -> Result<Self, Error> {
        if !self.needs_below() {
            return Ok(self);
        }
        let mut tree = Tree::new(below);
        // Whiteouts count for the layers below, not for what is linked from there.
        let (whiteouts, others): (Vec<Entry>, Vec<Entry>) =
            self.entries.into_iter().partition(|entry| entry.kind == Kind::Whiteout);
        for entry in others {
            let path = tree.place(&entry.path)?;
            match &entry.kind {
                Kind::HardLink { target } => {
                    let target = tree.place(target)?;
                    tree.link(path, &target, Some(&entry))?;
                }
                kind => {
                    let opaque = *kind == Kind::Directory { opaque: true };
                    tree.insert(path.clone(), entry);
                    if opaque {
                        tree.opaque(path);
                    }
                }
            }
        }
        for entry in whiteouts {
            let path = tree.place(&entry.path)?;
            tree.whiteout(path);
        }
        for (path, content) in self.inline {
            let path = tree.place(&path)?;
            tree.keep(&path, content);
        }
        tree.into_index()
    }

    /// The index as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let paths: usize = self.entries.iter().map(|entry| entry.path.as_bytes().len()).sum();
        let mut bytes = Vec::with_capacity(HEADER + paths + self.entries.len() * ENCODED);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.resize(HEADER, 0);
        let body = BodyRef { entries: &self.entries, inline: &self.inline };
        let mut bytes =
            postcard::to_extend(&body, bytes).expect("a growing vector takes every value");
        let checksum = Digest::of(&bytes[HEADER..]);
        bytes[HEADER - 32..HEADER].copy_from_slice(checksum.as_bytes());
        bytes
    }

    /// The index from what [`Index::encode`] gave.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let error = |reason| Error::Index { reason };
        let rest = bytes.strip_prefix(MAGIC).ok_or(error("it does not begin as one"))?;
        let (version, rest) = rest.split_first_chunk().ok_or(error("it is cut off"))?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(error("it is of another version"));
        }
        let (checksum, body) = rest.split_first_chunk::<32>().ok_or(error("it is cut off"))?;
        if Digest::of(body).as_bytes() != checksum {
            return Err(error("its checksum does not match"));
        }
        let body: Body =
            postcard::from_bytes(body).map_err(|_| error("its content does not decode"))?;
        let mut index = Self::new(body.entries)?;
        index.inline = body.inline;
        Ok(index)
    }

    /// What a hard link to `path` links to.
    pub(crate) fn target(&self, path: &TreePath) -> Option<&Entry> {
        self.get(path).filter(|entry| entry.kind != Kind::Whiteout)
    }

    /// The parent at `path` that has no entry.
    pub(crate) fn implied(&self, path: &TreePath) -> Option<&Entry> {
        find(&self.implied, path).map(|at| &self.implied[at])
    }

    /// The parents that have no entry, in order.
    pub(crate) fn all_implied(&self) -> &[Entry] {
        &self.implied
    }

    /// The end of the entries at and below `path` within `range`, all of which come at or after it.
    pub(crate) fn end_of(&self, path: &TreePath, range: Range<usize>) -> usize {
        if path.is_root() {
            return range.end;
        }
        // Most directories are small and near: look further and further ahead before halving.
        let mut step = 1;
        let mut low = range.start;
        while low + step < range.end && self.entries[low + step].path.starts_with(path) {
            low += step;
            step *= 2;
        }
        let high = range.end.min(low + step);
        low + self.entries[low..high].partition_point(|entry| entry.path.starts_with(path))
    }

    /// The direct children of `directory` among its entries `below`, in order.
    pub(crate) fn names<'a>(
        &'a self,
        directory: &TreePath,
        below: Range<usize>,
    ) -> impl Iterator<Item = (&'a [u8], Child)> + use<'a> {
        let skip = if directory.is_root() { 0 } else { directory.as_bytes().len() + 1 };
        let mut at = below.start;
        std::iter::from_fn(move || {
            if at >= below.end {
                return None;
            }
            let path = &self.entries[at].path;
            let rest = &path.as_bytes()[skip..];
            let name = rest.split(|&byte| byte == b'/').next().expect("split gives one at least");
            let is_entry = name.len() == rest.len();
            let child = if is_entry { Child::Entry(at) } else { Child::Implied };
            let next_is_inside = self.entries[at + 1..below.end].first().is_some_and(|next| {
                let next = &next.path.as_bytes()[skip..];
                next.starts_with(name) && next.get(name.len()) == Some(&b'/')
            });
            at = if next_is_inside {
                let child_path = TreePath::new(&path.as_bytes()[..skip + name.len()]);
                self.end_of(&child_path, at + 1..below.end)
            } else {
                at + 1
            };
            Some((name, child))
        })
    }
}

/// A name in a directory of an index.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Child {
    /// The number of its entry.
    Entry(usize),
    /// It has none, but something below it.
    Implied,
}

#[derive(Serialize)]
struct BodyRef<'a> {
    entries: &'a [Entry],
    inline: &'a BTreeMap<TreePath, Vec<u8>>,
}

#[derive(Deserialize)]
struct Body {
    entries: Vec<Entry>,
    inline: BTreeMap<TreePath, Vec<u8>>,
}

/// A directory that nobody described.
pub(crate) fn implied_directory(path: TreePath) -> Entry {
    Entry::new(path, Kind::DIRECTORY, 0o755, 0)
}

fn find(entries: &[Entry], path: &TreePath) -> Option<usize> {
    entries.binary_search_by(|entry| entry.path.cmp(path)).ok()
}

/// Makes the first path of each group of hard links the file, and the others links to it.
fn group_links(entries: &mut [Entry]) -> Result<(), Error> {
    // From each file that is linked to, to its links.
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..entries.len() {
        let mut end = at;
        let mut hops = 0;
        while let Kind::HardLink { target } = &entries[end].kind {
            let error =
                || Error::LinkTarget { path: entries[at].path.clone(), target: target.clone() };
            // A whiteout is no target, but what it hides may have been.
            let next = find(entries, target).filter(|&at| entries[at].kind != Kind::Whiteout);
            match next {
                None if end == at => break,
                Some(next) if hops < entries.len() => end = next,
                _ => return Err(error()),
            }
            hops += 1;
            if entries[end].kind.is_directory() {
                return Err(error());
            }
        }
        if end != at {
            groups.entry(end).or_default().push(at);
        }
    }
    for (file, mut links) in groups {
        let original = entries[file].clone();
        links.push(file);
        links.sort_unstable();
        let target = entries[links[0]].path.clone();
        for at in links {
            let path = std::mem::take(&mut entries[at].path);
            let kind = if path == target {
                original.kind.clone()
            } else {
                Kind::HardLink { target: target.clone() }
            };
            entries[at] = Entry { path, kind, ..original.clone() };
        }
    }
    Ok(())
}

/// The parents of sorted `entries` that are not among them.
fn implied(entries: &[Entry]) -> Result<Vec<Entry>, Error> {
    let mut implied = Vec::new();
    // The directories that hold the current entry: length of the path and number of the entry.
    let mut open: Vec<(usize, Option<usize>)> = Vec::new();
    if entries.first().is_none_or(|entry| !entry.path.is_root()) {
        implied.push(implied_directory(TreePath::ROOT));
        open.push((0, None));
    }
    let mut last: &[u8] = b"";
    for (at, entry) in entries.iter().enumerate() {
        let path = entry.path.as_bytes();
        let holds = |length: usize| {
            length == 0 || (path.get(length) == Some(&b'/') && path[..length] == last[..length])
        };
        while open.last().is_some_and(|&(length, _)| !holds(length)) {
            open.pop();
        }
        if let Some(&(_, Some(parent))) = open.last() {
            let parent: &Entry = &entries[parent];
            if !parent.kind.is_directory() {
                let (path, ancestor) = (entry.path.clone(), parent.path.clone());
                return Err(Error::NotDirectory { path, ancestor });
            }
        }
        let known = open.last().map_or(0, |&(length, _)| length);
        for slash in (known + 1..path.len()).filter(|&slash| path[slash] == b'/') {
            implied.push(implied_directory(TreePath::new(&path[..slash])));
            open.push((slash, None));
        }
        open.push((path.len(), Some(at)));
        last = path;
    }
    Ok(implied)
}

/// The fields of `entry` that count for its content, each preceded by its length or of fixed
/// length.
fn frame_entry(frame: &mut Vec<u8>, entry: &Entry) {
    fn bytes(frame: &mut Vec<u8>, bytes: &[u8]) {
        frame.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        frame.extend_from_slice(bytes);
    }
    bytes(frame, entry.path.as_bytes());
    for number in [entry.mode, entry.uid, entry.gid] {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    match &entry.capability {
        None => frame.push(0),
        Some(value) => {
            frame.push(1);
            bytes(frame, value);
        }
    }
    match &entry.kind {
        Kind::Directory { opaque } => frame.extend_from_slice(&[b'd', u8::from(*opaque)]),
        Kind::File { size, digest } => {
            frame.push(b'f');
            frame.extend_from_slice(&size.to_le_bytes());
            frame.extend_from_slice(digest.as_bytes());
        }
        Kind::Symlink { target } => {
            frame.push(b'l');
            bytes(frame, target);
        }
        Kind::HardLink { target } => {
            frame.push(b'h');
            bytes(frame, target.as_bytes());
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            let is_char = matches!(entry.kind, Kind::CharDevice { .. });
            frame.push(if is_char { b'c' } else { b'b' });
            frame.extend_from_slice(&major.to_le_bytes());
            frame.extend_from_slice(&minor.to_le_bytes());
        }
        Kind::Fifo => frame.push(b'p'),
        Kind::Whiteout => frame.push(b'w'),
    }
}
