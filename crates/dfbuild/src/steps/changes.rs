use std::mem;

use dfbuild_image::{Entry, TreePath};

use crate::steps::origin::Origin;

/// An entry that was put into a draft.
pub(super) struct Change {
    pub(super) entry: Entry,
    pub(super) origin: Origin,
}

/// The entries of a draft by path, in order.
///
/// They come in order nearly always, and there may be a hundred thousand: so they lie in runs that are
/// filled to the end, where a B-tree that grows in order is half empty, and a run goes when it was read.
#[derive(Default)]
pub(super) struct Changes {
    /// In order, none of them empty.
    runs: Vec<Vec<Change>>,
}

/// Long enough that runs are few, and short enough that an entry in the middle costs little.
const LONGEST: usize = 256;

impl Changes {
    pub(super) fn get(&self, path: &TreePath) -> Option<&Change> {
        let (run, at) = self.place(path).ok()?;
        Some(&self.runs[run][at])
    }

    pub(super) fn get_mut(&mut self, path: &TreePath) -> Option<&mut Change> {
        let (run, at) = self.place(path).ok()?;
        Some(&mut self.runs[run][at])
    }

    /// Puts a change in the place of what is at its path.
    pub(super) fn insert(&mut self, change: Change) {
        let (mut run, mut at) = match self.place(&change.entry.path) {
            Ok((run, at)) => return self.runs[run][at] = change,
            Err(place) => place,
        };
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        if self.runs[run].len() == LONGEST {
            // What comes in order leaves full runs behind.
            let end = if at == LONGEST { LONGEST } else { LONGEST / 2 };
            let rest = self.runs[run].split_off(end);
            self.runs.insert(run + 1, rest);
            if at >= end {
                (run, at) = (run + 1, at - end);
            }
        }
        self.runs[run].insert(at, change);
    }

    pub(super) fn remove(&mut self, path: &TreePath) -> Option<Change> {
        let (run, at) = self.place(path).ok()?;
        let change = self.runs[run].remove(at);
        if self.runs[run].is_empty() {
            self.runs.remove(run);
        }
        Some(change)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.runs.iter().flatten()
    }

    /// What is below `path`, which itself is left out.
    pub(super) fn below(&self, path: &TreePath) -> impl Iterator<Item = &Change> {
        let (run, at) = match self.place(path) {
            Ok((run, at)) => (run, at + 1),
            Err(place) => place,
        };
        let first = self.runs.get(run).map(|run| &run[at..]).unwrap_or_default();
        let rest = self.runs.iter().skip(run + 1).flatten();
        first.iter().chain(rest).take_while(move |change| change.entry.path.starts_with(path))
    }

    /// All changes, in order, each of which is freed when it is done with.
    pub(super) fn take(&mut self) -> (usize, impl Iterator<Item = Change> + use<>) {
        let runs = mem::take(&mut self.runs);
        (runs.iter().map(Vec::len).sum(), runs.into_iter().flatten())
    }

    /// Where the change at `path` is, or where it would be put: the number of its run, and in it.
    fn place(&self, path: &TreePath) -> Result<(usize, usize), (usize, usize)> {
        let Some(last) = self.runs.last() else { return Err((0, 0)) };
        // As most of those that come.
        if last.last().is_some_and(|change| change.entry.path < *path) {
            return Err((self.runs.len() - 1, last.len()));
        }
        let after = self.runs.partition_point(|run| run[0].entry.path <= *path);
        let run = after.saturating_sub(1);
        let found = self.runs[run].binary_search_by(|change| change.entry.path.cmp(path));
        found.map(|at| (run, at)).map_err(|at| (run, at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dfbuild_image::Kind;

    use super::*;

    fn path(number: usize) -> TreePath {
        TreePath::new(format!("d{:02}/f{:02}", number % 997 / 100, number % 97))
    }

    /// A change that is told from others by its time.
    fn change(path: &TreePath, time: i64) -> Change {
        let entry = Entry::new(path.clone(), Kind::DIRECTORY, 0o755, time);
        Change { entry, origin: Origin::None }
    }

    fn shown(change: &Change) -> (TreePath, i64) {
        (change.entry.path.clone(), change.entry.mtime)
    }

    /// Puts what comes in order first, then takes and puts in any order.
    #[test]
    fn it_is_a_sorted_map() {
        let (mut changes, mut map) = (Changes::default(), BTreeMap::new());
        assert!(changes.get(&path(0)).is_none() && changes.remove(&path(0)).is_none());
        let in_order = (0..3 * LONGEST).map(|number| TreePath::new(format!("a{number:04}")));
        let others = (0..6 * LONGEST).map(|number| path(number * 7919));
        for (number, path) in in_order.chain(others).enumerate() {
            let time = i64::try_from(number).unwrap();
            if number % 5 == 4 {
                let removed = changes.remove(&path).as_ref().map(shown);
                assert_eq!(removed, map.remove(&path).map(|time| (path.clone(), time)));
            } else {
                changes.insert(change(&path, time));
                map.insert(path.clone(), time);
            }
            let entry = changes.get_mut(&path).map(|it| it.entry.mtime);
            assert_eq!(entry, map.get(&path).copied());
        }
        assert!(changes.runs.iter().all(|run| (1..=LONGEST).contains(&run.len())));
        for directory in ["", "a", "d00", "d05", "d09", "e"].map(TreePath::from) {
            let below = map.keys().filter(|it| it.starts_with(&directory) && **it != directory);
            assert!(changes.below(&directory).map(|it| &it.entry.path).eq(below), "{directory}");
        }
        let (count, all) = changes.take();
        assert_eq!(count, map.len());
        assert!(all.map(|it| shown(&it)).eq(map));
    }
}
