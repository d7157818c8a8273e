use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use dfbuild_image::{Entry, Kind, TreePath};

use crate::index::implied_directory;
use crate::view::{MAX_LINKS, follow};
use crate::{Error, Index, View};

/// A layer that grows member by member, on top of the layers below it.
///
/// This is where the order of an archive gets its meaning: later members replace earlier ones,
/// parents that are symbolic links lead on, whiteouts count for the layers below only, wherever
/// they stand. It follows containerd's `pkg/archive/tar.go`, with one difference: that works on a
/// mounted file system, this on names alone, so no link can lead out of it.
pub(crate) struct Tree<'v> {
    below: &'v View,
    names: BTreeMap<TreePath, usize>,
    /// What the names stand for; hard links share one. The paths in here mean nothing.
    nodes: Vec<Entry>,
    inline: HashMap<usize, Vec<u8>>,
    /// What is here only because of a hard link to it.
    copied: BTreeSet<TreePath>,
    /// The last directory that was asked for, as it was written and where it is.
    last: Option<(TreePath, TreePath)>,
}

/// What a hard link turned out to be.
pub(crate) enum Linked {
    /// Another name of something in this layer.
    Here,
    /// This entry of a layer below, of which there is now a copy here, as when overlayfs links.
    Below(Entry),
    /// The target is unknown.
    Unknown,
}

impl<'v> Tree<'v> {
    pub(crate) fn new(below: &'v View) -> Self {
        Self {
            below,
            names: BTreeMap::new(),
            nodes: Vec::new(),
            inline: HashMap::new(),
            copied: BTreeSet::new(),
            last: None,
        }
    }

    /// The layers below.
    pub(crate) fn below(&self) -> &'v View {
        self.below
    }

    /// Where `path` lies once the links among its parents are followed.
    pub(crate) fn place(&mut self, path: &TreePath) -> Result<TreePath, Error> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Ok(TreePath::ROOT);
        };
        if let Some((written, place)) = &self.last
            && *written == parent
        {
            return Ok(place.join(name));
        }
        let place = self.directory(&parent, path)?;
        let path = place.join(name);
        self.last = Some((parent, place));
        Ok(path)
    }

    /// Follows `path`, all of whose names have to be directories or may become ones.
    fn directory(&mut self, path: &TreePath, member: &TreePath) -> Result<TreePath, Error> {
        let mut rest: VecDeque<Vec<u8>> = path.names().map(<[u8]>::to_vec).collect();
        let mut at = TreePath::ROOT;
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let target = match self.look(&next) {
                None | Some(Kind::Directory { .. }) => {
                    at = next;
                    continue;
                }
                Some(Kind::Whiteout) => {
                    self.reveal(&next);
                    at = next;
                    continue;
                }
                Some(Kind::Symlink { target }) => target,
                Some(_) => {
                    let path = member.clone();
                    return Err(Error::NotDirectory { path, ancestor: next });
                }
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(Error::Loop { path: member.clone() });
            }
            if target.starts_with(b"/") {
                at = TreePath::ROOT;
            }
            follow(target, &mut rest);
        }
        Ok(at)
    }

    /// What is at `path`, in this layer or below it.
    fn look(&self, path: &TreePath) -> Option<&Kind> {
        match self.names.get(path) {
            Some(&node) => Some(&self.nodes[node].kind),
            None => self.look_below(path).map(|entry| &entry.kind),
        }
    }

    /// What the layers below show at `path`, unless this one hides it.
    fn look_below(&self, path: &TreePath) -> Option<&Entry> {
        if self.below.layers().is_empty() {
            return None;
        }
        let shows = |ancestor: &TreePath| {
            self.names.get(ancestor).is_none_or(|&node| self.nodes[node].kind == Kind::DIRECTORY)
        };
        if !shows(&TreePath::ROOT) || !path.ancestors().all(|ancestor| shows(&ancestor)) {
            return None;
        }
        self.below.get(path).map(|found| self.below.origin(&found).entry)
    }

    /// Makes room for a member at `path`: forgets what this layer has there. A directory stays if
    /// the new member is one too. Returns whether there was something that a disk would hold.
    pub(crate) fn clear(&mut self, path: &TreePath, directory: bool) -> bool {
        let own = self.names.get(path).map(|&node| &self.nodes[node].kind);
        match own {
            Some(Kind::Directory { .. }) | None if directory => return false,
            Some(Kind::Whiteout) => return false,
            _ => {}
        }
        let below = self.names.range(path.clone()..);
        let gone: Vec<TreePath> = below
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(path))
            .cloned()
            .collect();
        if directory {
            // It hid what lies below and, as a directory, goes on to.
            self.reveal(path);
        }
        for name in gone.iter().filter(|name| !directory || *name != path) {
            self.names.remove(name);
        }
        self.last = None;
        !gone.is_empty()
    }

    /// Puts `entry` at `path`, for which there is room.
    pub(crate) fn insert(&mut self, path: TreePath, mut entry: Entry) {
        self.clear(&path, entry.kind.is_directory());
        if !matches!(entry.kind, Kind::File { .. }) {
            self.last = None;
        }
        match self.names.get(&path) {
            Some(&node) => {
                let hides = self.nodes[node].kind != Kind::DIRECTORY;
                if let Kind::Directory { opaque } = &mut entry.kind {
                    *opaque |= hides;
                }
                // The old node may have other names, which keep it.
                if self.nodes[node].kind.is_directory() {
                    self.nodes[node] = entry;
                    return;
                }
                self.add(path, entry);
            }
            None => self.add(path, entry),
        }
    }

    fn add(&mut self, path: TreePath, entry: Entry) {
        self.copied.remove(&path);
        self.names.insert(path, self.nodes.len());
        self.nodes.push(entry);
    }

    /// Makes `path` another name of `target`. The owner, mode and time of `entry` become those of
    /// both, as with any later member that writes to the same file.
    pub(crate) fn link(
        &mut self,
        path: TreePath,
        target: &TreePath,
        entry: Option<&Entry>,
    ) -> Result<Linked, Error> {
        let error =
            |path: &TreePath| Error::LinkTarget { path: path.clone(), target: target.clone() };
        if target.starts_with(&path) {
            return Err(error(&path));
        }
        if let Some(&node) = self.names.get(target) {
            if matches!(self.nodes[node].kind, Kind::Directory { .. } | Kind::Whiteout) {
                return Err(error(&path));
            }
            self.clear(&path, false);
            if let Some(entry) = entry {
                update(&mut self.nodes[node], entry);
            }
            self.copied.remove(&path);
            self.names.insert(path, node);
            return Ok(Linked::Here);
        }
        if let Some(below) = self.look_below(target).cloned() {
            if below.kind.is_directory() {
                return Err(error(&path));
            }
            let mut copy = below.clone();
            if let Some(entry) = entry {
                update(&mut copy, entry);
            }
            self.insert(path.clone(), copy);
            let node = self.names[&path];
            self.names.insert(target.clone(), node);
            self.copied.insert(target.clone());
            return Ok(Linked::Below(below));
        }
        match entry {
            Some(entry) if self.below.layers().is_empty() => {
                let kind = Kind::HardLink { target: target.clone() };
                self.insert(path, Entry { kind, ..entry.clone() });
                Ok(Linked::Unknown)
            }
            _ => Err(error(&path)),
        }
    }

    /// Hides `path` of the layers below. What this layer has there stays, unless it came from
    /// below. Returns whether that was so.
    pub(crate) fn whiteout(&mut self, path: TreePath) -> bool {
        self.last = None;
        let copied = self.copied.remove(&path);
        if copied {
            self.names.remove(&path);
        }
        match self.names.get(&path) {
            Some(&node) => {
                if let Kind::Directory { opaque } = &mut self.nodes[node].kind {
                    *opaque = true;
                }
            }
            None if self.holds(&path) => self.opaque(path),
            None => self.add(path, Entry::whiteout(TreePath::ROOT)),
        }
        copied
    }

    /// Hides what the layers below have in the directory `path`.
    pub(crate) fn opaque(&mut self, path: TreePath) {
        self.last = None;
        let known = self.names.get(&path).map(|&node| &mut self.nodes[node].kind);
        match known {
            Some(Kind::Directory { opaque }) => *opaque = true,
            Some(Kind::Whiteout) => self.reveal(&path),
            Some(_) => {}
            None => {
                let below = self.look_below(&path).filter(|entry| entry.kind.is_directory());
                let mut entry = below.cloned().unwrap_or_else(|| implied_directory(path.clone()));
                entry.kind = Kind::Directory { opaque: true };
                self.add(path, entry);
            }
        }
    }

    /// Keeps the content of the file at `path` in the index.
    pub(crate) fn keep(&mut self, path: &TreePath, content: Vec<u8>) {
        if let Some(&node) = self.names.get(path) {
            self.inline.insert(node, content);
        }
    }

    /// What this layer has at `path`.
    pub(crate) fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.names.get(path).map(|&node| &self.nodes[node])
    }

    pub(crate) fn into_index(self) -> Result<Index, Error> {
        let mut first: HashMap<usize, TreePath> = HashMap::new();
        let mut entries = Vec::with_capacity(self.names.len());
        for (path, node) in self.names {
            let mut entry = self.nodes[node].clone();
            entry.path = path.clone();
            if let Some(target) = first.get(&node) {
                entry.kind = Kind::HardLink { target: target.clone() };
            } else {
                first.insert(node, path);
            }
            entries.push(entry);
        }
        let mut index = Index::new(entries)?;
        for (node, content) in self.inline {
            if let Some(path) = first.get(&node) {
                index.set_inline(path, content);
            }
        }
        Ok(index)
    }

    /// Whether this layer has something below `path`.
    fn holds(&self, path: &TreePath) -> bool {
        self.names.range(path.clone()..).next().is_some_and(|(name, _)| name.starts_with(path))
    }

    /// Makes what is at `path` an opaque directory.
    fn reveal(&mut self, path: &TreePath) {
        let mut entry = implied_directory(TreePath::ROOT);
        entry.kind = Kind::Directory { opaque: true };
        self.add(path.clone(), entry);
    }
}

fn update(node: &mut Entry, entry: &Entry) {
    (node.mode, node.uid, node.gid, node.mtime) = (entry.mode, entry.uid, entry.gid, entry.mtime);
    if entry.capability.is_some() {
        node.capability.clone_from(&entry.capability);
    }
}
