use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use dfbuild_context::Context;
use dfbuild_image::{Entry, Kind, TreePath};
use dfbuild_layer::View;

use crate::error::{IgnoreRule, StepError};
use crate::images::rootfs::Rootfs;
use crate::steps::origin::Origin;

/// A tree of files to copy from: a build context, a stage, an image or a git repository.
pub(crate) trait Tree: Sync {
    /// What is at `path`; links are not followed. Never a hard link: one name alone is a file.
    fn get(&self, path: &TreePath) -> Result<Option<Entry>, StepError>;

    /// The names in a directory, sorted.
    fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, StepError>;

    /// Everything below a directory, in walk order. Hard links lead to an earlier entry.
    fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, StepError>;

    /// What the last walk gave, where that is kept: for whoever looks afterwards whether anything changed.
    fn walk_again(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        self.walk(path)
    }

    /// Keeps what a walk gave, if another one would take long.
    fn keep_walk(&self, _path: &TreePath, _entries: Vec<Entry>) {}

    /// Forgets what was kept of walks: nobody asks for it any more.
    fn forget_walks(&self) {}

    /// The content of the file at `path`.
    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + '_>>;

    /// The file that holds the content of the file at `path`, where there is one with nothing else in it.
    fn file(&self, _path: &TreePath) -> io::Result<Option<File>> {
        Ok(None)
    }

    /// Where the bytes of the file at `path` are, for a layer that is made from this tree.
    fn origin(&self, path: &TreePath) -> Origin {
        Origin::Tree(path.clone())
    }

    /// Whether the time of `path` came from a clock or a builder, not from a user's file.
    fn has_clock_time(&self, _path: &TreePath) -> bool {
        false
    }

    /// The ignore rule that hides `path`.
    fn ignored_by(&self, _path: &TreePath) -> Option<IgnoreRule> {
        None
    }

    /// Whether there is a directory at `path`.
    fn is_directory(&self, path: &TreePath) -> bool {
        self.get(path).is_ok_and(|entry| entry.is_some_and(|entry| entry.kind.is_directory()))
    }

    /// The same tree with what ignore rules hide of it, if it has such rules.
    fn without_rules(&self) -> Option<Box<dyn Tree>> {
        None
    }
}

impl Tree for Context {
    fn walk_again(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        Ok(self.walk_again(path)?)
    }

    fn keep_walk(&self, path: &TreePath, entries: Vec<Entry>) {
        self.keep_walk(path, entries);
    }

    fn forget_walks(&self) {
        self.forget_walks();
    }

    fn get(&self, path: &TreePath) -> Result<Option<Entry>, StepError> {
        Ok(self.get(path)?)
    }

    fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, StepError> {
        Ok(self.read_dir(path)?)
    }

    fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        Ok(self.walk(path)?)
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open(path)?))
    }

    fn file(&self, path: &TreePath) -> io::Result<Option<File>> {
        self.open(path).map(Some)
    }

    fn ignored_by(&self, path: &TreePath) -> Option<IgnoreRule> {
        let (file, pattern) = self.ignored_by(path)?;
        Some(IgnoreRule {
            file: file.strip_prefix(".").unwrap_or(file).to_owned(),
            line: pattern.line,
            pattern: String::from_utf8_lossy(&pattern.text).into_owned(),
        })
    }

    fn is_directory(&self, path: &TreePath) -> bool {
        self.is_directory(path)
    }

    fn without_rules(&self) -> Option<Box<dyn Tree>> {
        Some(Box::new(self.without_rules()?))
    }
}

impl Tree for Rootfs<'_> {
    fn get(&self, path: &TreePath) -> Result<Option<Entry>, StepError> {
        Ok(entry_in(self.view()?, path))
    }

    fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, StepError> {
        Ok(names_in(self.view()?, path))
    }

    fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        Ok(walk_in(self.view()?, path))
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open(path)?))
    }

    fn file(&self, path: &TreePath) -> io::Result<Option<File>> {
        self.open(path).map(Some)
    }

    fn has_clock_time(&self, path: &TreePath) -> bool {
        self.has_clock_time(path)
    }
}

/// [`Tree::get`] of a view.
pub(crate) fn entry_in(view: &View, path: &TreePath) -> Option<Entry> {
    if path.is_root() {
        return Some(root_entry());
    }
    let origin = view.origin(&view.get(path)?);
    Some(Entry { path: path.clone(), ..origin.entry.clone() })
}

/// [`Tree::read_dir`] of a view.
pub(crate) fn names_in(view: &View, path: &TreePath) -> Vec<Vec<u8>> {
    view.read_dir(path).into_iter().map(|(name, _)| name).collect()
}

/// [`Tree::walk`] of a view.
pub(crate) fn walk_in(view: &View, path: &TreePath) -> Vec<Entry> {
    // Of the names of one file, the first in this walk is the file: the layer's own first name may
    // lie outside.
    let mut first: HashMap<(usize, TreePath), TreePath> = HashMap::new();
    let mut entries = Vec::new();
    for found in view.walk(path).filter(|found| found.entry.path != *path) {
        let origin = view.origin(&found);
        let mut entry = Entry { path: found.entry.path.clone(), ..origin.entry.clone() };
        if matches!(entry.kind, Kind::File { .. }) {
            let file = (origin.layer, origin.entry.path.clone());
            let name = first.entry(file).or_insert_with(|| entry.path.clone());
            if *name != entry.path {
                entry.kind = Kind::HardLink { target: name.clone() };
            }
        }
        entries.push(entry);
    }
    entries
}

/// The root of an image, which no layer has an entry for.
pub(crate) fn root_entry() -> Entry {
    Entry::new(TreePath::ROOT, Kind::DIRECTORY, 0o755, 0)
}

/// Where a path leads, and what is there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The path without links in it. What is missing is taken as it is written.
    pub(crate) path: TreePath,
    /// What is there.
    pub(crate) entry: Option<Entry>,
}

/// As many links as Linux follows on one path.
const MOST_LINKS: usize = 255;

/// Follows the links of `path` without leaving the root; the last one only if `follow_last`.
pub(crate) fn resolve(
    get: &dyn Fn(&TreePath) -> Result<Option<Entry>, StepError>,
    path: &TreePath,
    follow_last: bool,
) -> Result<Place, StepError> {
    let mut links = 0;
    let root =
        || -> Result<_, StepError> { Ok(Some(get(&TreePath::ROOT)?.unwrap_or_else(root_entry))) };
    let mut done = TreePath::ROOT;
    let mut entry = root()?;
    let mut rest: Vec<Vec<u8>> = path.names().rev().map(<[u8]>::to_vec).collect();
    while let Some(name) = rest.pop() {
        if name == b".." {
            done.pop();
            entry = if done.is_root() { root()? } else { get(&done)? };
            continue;
        }
        done.push(&name);
        entry = get(&done)?;
        let Some(Kind::Symlink { target }) = entry.as_ref().map(|entry| &entry.kind) else {
            continue;
        };
        if rest.is_empty() && !follow_last {
            break;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(StepError::Loop { path: path.to_string() });
        }
        if target.starts_with(b"/") {
            done = TreePath::ROOT;
        } else {
            done.pop();
        }
        let names = target.split(|&byte| byte == b'/').filter(|name| !matches!(name, [] | [b'.']));
        rest.extend(names.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter().rev());
        entry = root()?;
    }
    Ok(Place { path: done, entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(path: &str, follow_last: bool) -> String {
        let links =
            [("a", "b"), ("b", "/c/../d"), ("up", "../../d"), ("loop", "loop"), ("d/l", "f")];
        let get = |path: &TreePath| {
            let target = links.iter().find(|(from, _)| *path == TreePath::from(*from));
            let kind = target.map_or(Kind::DIRECTORY, |(_, to)| Kind::Symlink {
                target: to.as_bytes().to_vec(),
            });
            Ok(Some(Entry::new(path.clone(), kind, 0o755, 0)))
        };
        resolve(&get, &path.into(), follow_last).map_or("loop".to_owned(), |p| p.path.to_string())
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(led("a/x", true), "/d/x");
        assert_eq!(led("a", true), "/d");
        assert_eq!(led("a", false), "/a");
        assert_eq!(led("up/l", true), "/d/f");
        assert_eq!(led("d/l", false), "/d/l");
        assert_eq!(led("loop/x", true), "loop");
    }
}
