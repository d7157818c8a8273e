use std::collections::{HashMap, HashSet};

use crate::change::{Change, FileChange, FilesChange};
use crate::files::{NodeEntry, What};

/// Files that are told of at most: an explanation is for people.
const MOST: usize = 100;

/// A path that differs.
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) changes: Vec<Change>,
    /// What was added or removed: a file under two names is a renamed one.
    pub(crate) identity: Option<NodeEntry>,
    pub(crate) is_directory: bool,
}

impl Found {
    pub(crate) fn new(path: impl Into<String>, change: Change) -> Self {
        Self { path: path.into(), changes: vec![change], identity: None, is_directory: false }
    }
}

/// Finds what was only renamed, and puts everything in order.
pub(crate) fn finish(all: Vec<Found>, total: u64) -> FilesChange {
    type Identity = (u32, (u32, u32), What);
    let identity = |found: &Found, side: &Change| -> Option<Identity> {
        let entry = found.identity.as_ref().filter(|_| found.changes[0] == *side)?;
        let named = !matches!(entry.what, What::Directory(_) | What::Fifo);
        named.then(|| (entry.mode, entry.owner, entry.what.clone()))
    };
    let mut removed: HashMap<Identity, Vec<usize>> = HashMap::new();
    for (at, found) in all.iter().enumerate() {
        if let Some(identity) = identity(found, &Change::Removed) {
            removed.entry(identity).or_default().push(at);
        }
    }
    let (mut renamed, mut gone) = (HashMap::new(), HashSet::new());
    for (at, found) in all.iter().enumerate() {
        let old = identity(found, &Change::Added).and_then(|it| removed.get_mut(&it)?.pop());
        if let Some(old) = old {
            renamed.insert(at, all[old].path.clone());
            gone.insert(old);
        }
    }
    let mut files: Vec<FileChange> = Vec::new();
    // Files that are there now are counted already.
    let mut uncounted = 0;
    for (at, found) in all.into_iter().enumerate() {
        if gone.contains(&at) {
            continue;
        }
        uncounted += u64::from(found.is_directory || found.changes == [Change::Removed]);
        let changes = match renamed.remove(&at) {
            Some(old) => vec![Change::Renamed { old }],
            None => found.changes,
        };
        files.push(FileChange { path: found.path, changes });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let differ = files.len() as u64;
    files.truncate(MOST);
    FilesChange { differ, total: total + uncounted, files, in_context: false }
}
