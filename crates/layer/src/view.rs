use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use dfbuild_image::{Digest, Entry, Kind, TreePath};

use crate::index::{Child, implied_directory};
use crate::{Error, Index};

/// The merged tree of several layers.
///
/// A lookup asks only the layers that have something in the directory in question; which ones do
/// is found out once for each directory and remembered. So neither many layers nor many entries
/// make it slow, and making a view costs nothing.
#[derive(Debug)]
pub struct View {
    layers: Vec<Arc<Index>>,
    /// What the root is if no layer says.
    root: Entry,
    scopes: Mutex<HashMap<TreePath, Arc<[Scope]>>>,
}

/// What one layer has below a directory.
#[derive(Debug, Clone, Copy)]
struct Scope {
    layer: usize,
    start: usize,
    end: usize,
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

/// The most symbolic links on one path, as moby and containerd count.
pub(crate) const MAX_LINKS: usize = 255;

impl View {
    /// The tree of `layers`, lowest first. Each layer must have been settled on those below it
    /// ([`Index::settle`]) if [`Index::needs_below`].
    pub fn new(layers: Vec<Arc<Index>>) -> Self {
        let root = implied_directory(TreePath::ROOT);
        Self { layers, root, scopes: Mutex::default() }
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Arc<Index>] {
        &self.layers
    }

    /// What is at `path`. Symbolic links are not followed, neither the last nor before it.
    pub fn get(&self, path: &TreePath) -> Option<Found<'_>> {
        self.get_below(path, self.layers.len())
    }

    /// The content of `found`, if it is a regular file or a hard link to one.
    pub fn file<'a>(&'a self, found: &Found<'a>) -> Option<Content<'a>> {
        let Found { entry, layer } = self.origin(found);
        match entry.kind {
            Kind::File { size, digest } => Some(Content { size, digest, path: &entry.path, layer }),
            _ => None,
        }
    }

    /// What `found` is another name of, if it is a hard link; `found` itself otherwise.
    pub fn origin<'a>(&'a self, found: &Found<'a>) -> Found<'a> {
        let Kind::HardLink { target } = &found.entry.kind else {
            return *found;
        };
        match self.layers[found.layer].target(target) {
            Some(entry) => Found { entry, layer: found.layer },
            // Only in a layer that was not settled.
            None => self.get_below(target, found.layer).unwrap_or(*found),
        }
    }

    /// Follows the symbolic links in `path`, confined to the root. Names that do not exist stay as
    /// they are, so that a path which is to be made resolves to where it would be.
    ///
    /// # Errors
    /// [`Error::Loop`] after 255 links, as moby and containerd count.
    pub fn resolve(&self, path: &TreePath, follow_last: bool) -> Result<Resolved<'_>, Error> {
        let mut rest: VecDeque<Vec<u8>> = path.names().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        let mut resolved = Resolved { path: TreePath::ROOT, found: self.get(&TreePath::ROOT) };
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                resolved.path.pop();
                resolved.found = self.get(&resolved.path);
                continue;
            }
            let next = resolved.path.join(&name);
            let found = self.get(&next);
            match found.map(|found| &self.origin(&found).entry.kind) {
                Some(Kind::Symlink { target }) if follow_last || !rest.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Error::Loop { path: path.clone() });
                    }
                    if target.starts_with(b"/") {
                        resolved.path = TreePath::ROOT;
                    }
                    follow(target, &mut rest);
                    resolved.found = self.get(&resolved.path);
                }
                _ => resolved = Resolved { path: next, found },
            }
        }
        Ok(resolved)
    }

    /// The names in the directory `path`, sorted; none if it is not a directory.
    pub fn read_dir(&self, path: &TreePath) -> Vec<(Vec<u8>, Found<'_>)> {
        self.list(path).map(|(name, found)| (name.to_vec(), found)).collect()
    }

    /// Everything at and below `path`, in order, without following links. Whiteouts do not show.
    pub fn walk<'a>(&'a self, path: &TreePath) -> impl Iterator<Item = Found<'a>> + use<'a> {
        let mut stack: Vec<Found<'_>> = self.get(path).into_iter().collect();
        std::iter::from_fn(move || {
            let found = stack.pop()?;
            if found.entry.kind.is_directory() {
                let from = stack.len();
                stack.extend(self.list(&found.entry.path).map(|(_, found)| found));
                stack[from..].reverse();
            }
            Some(found)
        })
    }

    /// The content of `path` if its layer's index keeps it ([`Index::keeps`]).
    pub fn inline(&self, path: &TreePath) -> Option<&[u8]> {
        let Found { entry, layer } = self.origin(&self.get(path)?);
        self.layers[layer].inline(&entry.path)
    }

    /// What is at `path` in the first `limit` layers.
    fn get_below(&self, path: &TreePath, limit: usize) -> Option<Found<'_>> {
        let Some(parent) = path.parent() else {
            let mut layers = self.layers[..limit].iter().enumerate().rev();
            let found = layers.find_map(|(layer, index)| {
                let entry = index.entries().first().filter(|entry| entry.path.is_root())?;
                Some(Found { entry, layer })
            });
            return Some(found.unwrap_or(Found { entry: &self.root, layer: 0 }));
        };
        let mut merge = Merge::default();
        for scope in self.scopes(&parent).iter().filter(|scope| scope.layer < limit) {
            let index = &self.layers[scope.layer];
            let entries = &index.entries()[scope.start..scope.end];
            let at = entries.partition_point(|entry| entry.path < *path);
            match entries.get(at) {
                Some(entry) if entry.path == *path => merge.entry(entry, scope.layer),
                Some(entry) if entry.path.starts_with(path) => merge.implied(scope.layer),
                _ => {}
            }
            if merge.done {
                break;
            }
        }
        merge.finish(|layer| self.layers[layer].implied(path))
    }

    /// The names in the directory `path`, sorted.
    fn list<'a>(
        &'a self,
        path: &TreePath,
    ) -> impl Iterator<Item = (&'a [u8], Found<'a>)> + use<'a> {
        let mut names: BTreeMap<&[u8], Merge<'_>> = BTreeMap::new();
        for scope in self.scopes(path).iter() {
            let index = &self.layers[scope.layer];
            for (name, child) in index.names(path, scope.start..scope.end) {
                let merge = names.entry(name).or_default();
                match child {
                    _ if merge.done => {}
                    Child::Entry(at) => merge.entry(&index.entries()[at], scope.layer),
                    Child::Implied => merge.implied(scope.layer),
                }
            }
        }
        let path = path.clone();
        names.into_iter().filter_map(move |(name, merge)| {
            let found = merge.finish(|layer| self.layers[layer].implied(&path.join(name)))?;
            Some((name, found))
        })
    }

    /// The layers that have something visible below `directory`, highest first.
    fn scopes(&self, directory: &TreePath) -> Arc<[Scope]> {
        let known = || self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scopes) = known().get(directory) {
            return Arc::clone(scopes);
        }
        let outer: Arc<[Scope]> = match directory.parent() {
            Some(parent) => self.scopes(&parent),
            None => (0..self.layers.len())
                .rev()
                .map(|layer| Scope { layer, start: 0, end: self.layers[layer].entries().len() })
                .collect(),
        };
        let mut scopes = Vec::new();
        for &Scope { layer, start, end } in outer.iter() {
            let index = &self.layers[layer];
            let entries = index.entries();
            let mut at =
                start + entries[start..end].partition_point(|entry| entry.path < *directory);
            let mut hides = false;
            if let Some(entry) = entries[at..end].first()
                && entry.path == *directory
            {
                hides = entry.kind != Kind::DIRECTORY;
                at += 1;
            }
            let end = index.end_of(directory, at..end);
            if at < end {
                scopes.push(Scope { layer, start: at, end });
            }
            if hides {
                break;
            }
        }
        let scopes: Arc<[Scope]> = scopes.into();
        known().insert(directory.clone(), Arc::clone(&scopes));
        scopes
    }
}

impl Default for View {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// Puts the names of a link's target before the `rest` of a path.
pub(crate) fn follow(target: &[u8], rest: &mut VecDeque<Vec<u8>>) {
    let names = target.split(|&byte| byte == b'/');
    for name in names.filter(|&name| !matches!(name, b"" | b".")).rev() {
        rest.push_front(name.to_vec());
    }
}

/// What the layers, asked from the highest down, say of one path.
#[derive(Default)]
struct Merge<'a> {
    found: Option<Found<'a>>,
    /// The highest layer that has something below the path but no entry for it.
    implied: Option<usize>,
    done: bool,
}

impl<'a> Merge<'a> {
    fn entry(&mut self, entry: &'a Entry, layer: usize) {
        self.done = true;
        let shows = match entry.kind {
            Kind::Whiteout => false,
            Kind::Directory { .. } => true,
            _ => self.implied.is_none(),
        };
        if shows {
            self.found = Some(Found { entry, layer });
        }
    }

    fn implied(&mut self, layer: usize) {
        self.implied.get_or_insert(layer);
    }

    fn finish(self, implied: impl FnOnce(usize) -> Option<&'a Entry>) -> Option<Found<'a>> {
        self.found.or_else(|| {
            let layer = self.implied?;
            Some(Found { entry: implied(layer)?, layer })
        })
    }
}
