use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use dfbuild_image::{Entry, Kind, TreePath};
use dfbuild_layer::{Contents, Index, View};

use crate::error::StepError;
use crate::steps::changes::{Change, Changes};
use crate::steps::origin::Origin;
use crate::steps::tree::{Place, Tree, resolve, root_entry};

/// A layer in the making: the tree below, and what changes in it. It is written straight from its
/// sources; nothing is mounted.
pub(crate) struct Draft<'a> {
    below: &'a View,
    changes: Changes,
    /// Files of `changes` that others are hard links to.
    link_targets: BTreeSet<TreePath>,
    /// What the builder itself made: those times are its own.
    made: BTreeSet<TreePath>,
    /// The directory that was asked for last, if it is there and no link leads to it: files come one
    /// directory after the other.
    ready: Option<TreePath>,
    /// The time of what the builder makes.
    pub(crate) made_at: i64,
}

/// Owner and mode of directories that are made on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(below: &'a View, made_at: i64) -> Self {
        Self {
            below,
            changes: Changes::default(),
            link_targets: BTreeSet::new(),
            made: BTreeSet::new(),
            ready: None,
            made_at,
        }
    }

    /// What is at `path` now; links are not followed.
    pub(crate) fn get(&self, path: &TreePath) -> Option<Entry> {
        if path.is_root() {
            return Some(root_entry());
        }
        if let Some(change) = self.changes.get(path) {
            return match &change.entry.kind {
                Kind::Whiteout => None,
                Kind::HardLink { target } => {
                    let target = self.get(target)?;
                    Some(Entry { path: path.clone(), ..target })
                }
                _ => Some(change.entry.clone()),
            };
        }
        // What is copied is mostly new, and then it does not matter what hides it.
        let below = self.get_below(path)?;
        let hides = |kind: &Kind| !matches!(kind, Kind::Directory { opaque: false });
        let mut parents = path.ancestors().filter_map(|directory| self.changes.get(&directory));
        (!parents.any(|change| hides(&change.entry.kind))).then_some(below)
    }

    /// What was at `path` before.
    fn get_below(&self, path: &TreePath) -> Option<Entry> {
        let found = self.below.get(path)?;
        let origin = self.below.origin(&found);
        Some(Entry { path: path.clone(), ..origin.entry.clone() })
    }

    /// Where `path` leads now.
    pub(crate) fn resolve(&self, path: &TreePath, follow_last: bool) -> Result<Place, StepError> {
        resolve(&|path| Ok(self.get(path)), path, follow_last)
    }

    /// Puts an entry in the place of what is there. Its parents must be directories.
    pub(crate) fn put(&mut self, entry: Entry, origin: Origin) {
        let path = entry.path.clone();
        self.forget_ready(&path);
        let merges =
            entry.kind.is_directory() && self.get(&path).is_some_and(|old| old.kind.is_directory());
        if !merges {
            self.forget_below(&path);
        }
        // What is linked to itself anew stays as it is.
        if matches!(&entry.kind, Kind::HardLink { target } if *target == path) {
            return;
        }
        self.release_links(&path);
        self.made.remove(&path);
        if let Kind::HardLink { target } = &entry.kind {
            self.link_targets.insert(target.clone());
        }
        self.changes.insert(Change { entry, origin });
    }

    /// Other names of the file at `path` keep it when that name goes: the first of them becomes the
    /// file, the others lead to it.
    fn release_links(&mut self, path: &TreePath) {
        if !self.link_targets.remove(path) {
            return;
        }
        let leads_here = |change: &Change| matches!(&change.entry.kind, Kind::HardLink { target } if target == path);
        let links = self.changes.iter().filter(|change| leads_here(change));
        let links: Vec<TreePath> = links.map(|change| change.entry.path.clone()).collect();
        let Some((first, others)) = links.split_first() else { return };
        let Some(file) = self.changes.remove(path) else { return };
        self.link_targets.insert(first.clone());
        for other in others {
            if let Some(change) = self.changes.get_mut(other) {
                change.entry.kind = Kind::HardLink { target: first.clone() };
            }
        }
        if let Some(change) = self.changes.get_mut(first) {
            change.entry.kind = file.entry.kind;
            change.origin = file.origin;
        }
    }

    /// Takes away what is at `path`.
    pub(crate) fn remove(&mut self, path: &TreePath) {
        self.forget_ready(path);
        self.forget_below(path);
        self.release_links(path);
        self.made.remove(path);
        let whiteout = Change { entry: Entry::whiteout(path.clone()), origin: Origin::None };
        self.changes.insert(whiteout);
    }

    /// Makes the directory `path` inside `root`, which no link leaves, and its missing parents. A
    /// link that leads to nothing is an error: an archive does not write through it.
    pub(crate) fn make_directories_inside(
        &mut self,
        root: &TreePath,
        path: &TreePath,
        making: Making,
    ) -> Result<TreePath, StepError> {
        let mut done = TreePath::ROOT;
        for name in path.names() {
            let next = done.join(name);
            let get = |path: &TreePath| Ok(self.get(&root.join(path.as_bytes())));
            let place = resolve(&get, &next, true)?;
            let to = root.join(place.path.as_bytes());
            match place.entry {
                Some(entry) if entry.kind.is_directory() => {}
                Some(_) => return Err(StepError::Clash(format!("open {to}: not a directory"))),
                None if place.path == next => self.make_missing(&to, making),
                None => {
                    return Err(StepError::Clash(format!("open {to}: no such file or directory")));
                }
            }
            done = place.path;
        }
        Ok(root.join(done.as_bytes()))
    }

    /// What is at `path` changes, and with it where the paths below it lead.
    fn forget_ready(&mut self, path: &TreePath) {
        self.ready.take_if(|ready| ready.starts_with(path));
    }

    fn forget_below(&mut self, path: &TreePath) {
        let inside = self.changes.below(path).map(|change| change.entry.path.clone());
        let inside: Vec<TreePath> = inside.collect();
        for path in inside {
            self.release_links(&path);
            self.changes.remove(&path);
        }
    }

    /// Changes the entry at `path`, keeping its content.
    pub(crate) fn amend(&mut self, path: &TreePath, change: &dyn Fn(&mut Entry)) {
        if path.is_root() {
            return;
        }
        if let Some(Kind::HardLink { target }) = self.changes.get(path).map(|c| &c.entry.kind) {
            let target = target.clone();
            return self.amend(&target, change);
        }
        let Some(mut entry) = self.get(path) else { return };
        change(&mut entry);
        if let Some(existing) = self.changes.get_mut(path) {
            existing.entry = entry;
            return;
        }
        let is_file = matches!(entry.kind, Kind::File { .. });
        let origin = if is_file { Origin::Below } else { Origin::None };
        self.changes.insert(Change { entry, origin });
    }

    /// Makes the directory `path` and its missing parents; what is there keeps what it has. Links
    /// are followed.
    pub(crate) fn make_directories(
        &mut self,
        path: &TreePath,
        making: Making,
    ) -> Result<TreePath, StepError> {
        if self.ready.as_ref() == Some(path) {
            return Ok(path.clone());
        }
        let mut done = TreePath::ROOT;
        for name in path.names().map(<[u8]>::to_vec).collect::<Vec<_>>() {
            let place = self.resolve(&done.join(&name), true)?;
            match place.entry {
                Some(entry) if entry.kind.is_directory() => {}
                Some(_) => {
                    return Err(StepError::Clash(format!("mkdir {}: not a directory", place.path)));
                }
                None => self.make_missing(&place.path, making),
            }
            done = place.path;
        }
        self.ready = (done == *path).then(|| done.clone());
        Ok(done)
    }

    /// Makes `path`, which leads through no links, and its missing parents.
    fn make_missing(&mut self, path: &TreePath, making: Making) {
        let missing: Vec<TreePath> = path
            .ancestors()
            .chain([path.clone()])
            .filter(|directory| self.get(directory).is_none())
            .collect();
        for directory in missing {
            let mut entry =
                Entry::new(directory.clone(), Kind::DIRECTORY, making.mode, self.made_at);
            (entry.uid, entry.gid) = (making.uid, making.gid);
            self.changes.insert(Change { entry, origin: Origin::None });
            self.made.insert(directory);
        }
    }

    /// Notes that the time of `path` is the builder's own.
    pub(crate) fn note_made(&mut self, path: &TreePath) {
        self.made.insert(path.clone());
    }

    /// The layer: what differs from below, with the parents of each change before it.
    pub(crate) fn finish(mut self) -> Result<Finished, StepError> {
        let (count, changes) = self.changes.take();
        let mut kept = Kept::with_capacity(count);
        // The file that stands for a group of hard links whose first name did not change.
        let mut promoted: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        let mut unchanged: BTreeMap<TreePath, Change> = BTreeMap::new();
        for mut change in changes {
            if let Kind::HardLink { target } = &change.entry.kind {
                let target = promoted.get(target).unwrap_or(target).clone();
                if kept.has(&target) {
                    change.entry.kind = Kind::HardLink { target };
                } else if let Some(first) = unchanged.get(&target) {
                    change.entry.kind = first.entry.kind.clone();
                    change.origin = first.origin.clone();
                    promoted.insert(target, change.entry.path.clone());
                }
            }
            if self.is_unchanged(&change.entry) {
                unchanged.insert(change.entry.path.clone(), change);
            } else {
                kept.push(change);
            }
        }
        let mut parents: BTreeMap<TreePath, Change> = BTreeMap::new();
        let mut last = TreePath::ROOT;
        for entry in &kept.entries {
            let parent = entry.path.parent().unwrap_or_default();
            // Those of the files of one directory are the same.
            if std::mem::replace(&mut last, parent) == last {
                continue;
            }
            for directory in entry.path.ancestors() {
                if kept.has(&directory) || parents.contains_key(&directory) {
                    continue;
                }
                // A directory that got another time comes with it, but only beside a change in it.
                let below = || {
                    let entry = self.get_below(&directory)?;
                    Some(Change { entry, origin: Origin::None })
                };
                if let Some(change) = unchanged.remove(&directory).or_else(below) {
                    parents.insert(directory, change);
                }
            }
        }
        drop(unchanged);
        let kept = kept.with(parents);
        let made = self.made.into_iter().filter(|path| kept.has(path)).collect();
        let Kept { entries, mut origins } = kept;
        let index = Index::new(entries)?;
        // In an index the first name of a group of hard links is the file, whichever was it here.
        for (at, entry) in index.entries().iter().enumerate() {
            if let Kind::HardLink { target } = &entry.kind
                && !matches!(origins[at], Origin::None)
                && let Some(first) = index.position(target)
            {
                origins.swap(at, first);
            }
        }
        Ok(Finished { index: Arc::new(index), origins, made })
    }

    /// Whether the tree below already has just this entry.
    fn is_unchanged(&self, entry: &Entry) -> bool {
        match (&entry.kind, self.get_below(&entry.path)) {
            (Kind::Whiteout, below) => below.is_none(),
            (Kind::HardLink { .. }, _) | (_, None) => false,
            // The time of a directory alone is no change (containerd `sameDirent`).
            (Kind::Directory { opaque }, Some(below)) => {
                let same = Entry { kind: entry.kind.clone(), mtime: entry.mtime, ..below.clone() };
                below.kind.is_directory() && !opaque && same == *entry
            }
            (_, Some(below)) => below == *entry,
        }
    }
}

/// The entries of a layer and where their bytes are, in order.
struct Kept {
    entries: Vec<Entry>,
    origins: Vec<Origin>,
}

impl Kept {
    fn with_capacity(count: usize) -> Self {
        Self { entries: Vec::with_capacity(count), origins: Vec::with_capacity(count) }
    }

    fn push(&mut self, change: Change) {
        self.entries.push(change.entry);
        self.origins.push(change.origin);
    }

    fn has(&self, path: &TreePath) -> bool {
        self.entries.binary_search_by(|entry| entry.path.cmp(path)).is_ok()
    }

    /// The same with the changes of other paths.
    fn with(self, others: BTreeMap<TreePath, Change>) -> Self {
        if others.is_empty() {
            return self;
        }
        let mut all = Self::with_capacity(self.entries.len() + others.len());
        let mut others = others.into_values().peekable();
        for (entry, origin) in self.entries.into_iter().zip(self.origins) {
            while let Some(other) = others.next_if(|other| other.entry.path < entry.path) {
                all.push(other);
            }
            all.push(Change { entry, origin });
        }
        others.for_each(|other| all.push(other));
        all
    }
}

/// A finished [`Draft`].
pub(crate) struct Finished {
    pub(crate) index: Arc<Index>,
    /// Of each entry.
    origins: Vec<Origin>,
    /// The paths whose times are the builder's own.
    pub(crate) made: Vec<TreePath>,
}

impl Finished {
    /// The entries, and where their bytes are.
    pub(crate) fn into_parts(self) -> (Arc<Index>, Vec<Origin>) {
        (self.index, self.origins)
    }

    /// The contents of its files, those of `tree` among them.
    pub(crate) fn contents<'a>(
        &'a self,
        tree: &'a dyn Tree,
        below: &'a dyn Tree,
    ) -> DraftContents<'a> {
        DraftContents { finished: self, tree, below }
    }
}

/// The contents of a [`Finished`] draft.
pub(crate) struct DraftContents<'a> {
    finished: &'a Finished,
    tree: &'a dyn Tree,
    below: &'a dyn Tree,
}

impl DraftContents<'_> {
    fn origin(&self, path: &TreePath) -> Option<&Origin> {
        let at = self.finished.index.position(path)?;
        self.finished.origins.get(at)
    }
}

impl Contents for DraftContents<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        match self.origin(&entry.path) {
            Some(Origin::Tree(path)) => self.tree.open(path),
            Some(Origin::Bytes(bytes)) => Ok(Box::new(&bytes[..])),
            Some(Origin::Below) => self.below.open(&entry.path),
            Some(Origin::Spooled(path)) => Ok(Box::new(File::open(path)?)),
            Some(Origin::None) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file(&self, entry: &Entry) -> io::Result<Option<File>> {
        match self.origin(&entry.path) {
            Some(Origin::Tree(path)) => self.tree.file(path),
            Some(Origin::Below) => self.below.file(&entry.path),
            Some(Origin::Spooled(path)) => File::open(path).map(Some),
            _ => Ok(None),
        }
    }
}
