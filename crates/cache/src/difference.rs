use std::collections::{BTreeMap, HashMap, VecDeque};

use dfbuild_image::Digest;

use crate::change::{Change, FilesChange};
use crate::entry_change::entry_changes;
use crate::files::{self, NodeEntry, What, read_node};
use crate::found::{Found, finish};
use crate::selection::{self, Selected, Selection};

/// Gives the bytes of a node or a selection, if they are still known.
pub type Load<'a> = &'a dyn Fn(&Digest) -> Option<Vec<u8>>;

/// How what `old` names differs from what `new` names: two parts of keys, each the digest of a
/// selection or of a node. `prefixes` are the paths of what is selected now, by source, as
/// [`Selection::sources`] has it.
pub fn files_change(
    old: &Digest,
    new: &Digest,
    prefixes: &[Vec<String>],
    load: Load<'_>,
) -> FilesChange {
    let mut difference = Difference { load, found: Vec::new() };
    let (before, now) = (difference.items(old, &[]), difference.items(new, prefixes));
    let total = match &now {
        Some(items) => items.iter().map(|item| count(&item.selected, load)).sum(),
        None => 0,
    };
    match (before, now) {
        (Some(before), Some(now)) => difference.items_change(before, now),
        _ => difference.found.push(Found::new(".", Change::Unknown)),
    }
    finish(difference.found, total)
}

/// What is selected, with the path that it has.
struct Item {
    prefix: String,
    selected: Selected,
}

struct Difference<'a> {
    load: Load<'a>,
    found: Vec<Found>,
}

impl Difference<'_> {
    fn items(&self, digest: &Digest, prefixes: &[Vec<String>]) -> Option<Vec<Item>> {
        let bytes = (self.load)(digest)?;
        if bytes.starts_with(files::MAGIC) {
            let prefix = prefixes.first().and_then(|names| names.first()).cloned();
            let selected = Selected::Directory(*digest);
            return Some(vec![Item { prefix: prefix.unwrap_or_default(), selected }]);
        }
        let selection = Selection::decode(&bytes)?;
        let mut items = Vec::new();
        for (number, source) in selection.sources.into_iter().enumerate() {
            for (at, selected) in source.into_iter().enumerate() {
                let prefix = prefixes.get(number).and_then(|names| names.get(at)).cloned();
                items.push(Item { prefix: prefix.unwrap_or_default(), selected });
            }
        }
        Some(items)
    }

    fn items_change(&mut self, mut before: Vec<Item>, mut now: Vec<Item>) {
        // What is the same needs no partner.
        now.retain(|item| {
            let same = before.iter().position(|other| other.selected == item.selected);
            same.map(|at| before.remove(at)).is_none()
        });
        let folder = |item: &Item| match item.selected {
            Selected::Directory(node) | Selected::WithParents(node) => {
                Some((item.prefix.clone(), node))
            }
            _ => None,
        };
        let (old, new): (Vec<_>, Vec<_>) =
            (before.iter().filter_map(folder).collect(), now.iter().filter_map(folder).collect());
        for at in 0..old.len().max(new.len()) {
            let node = |all: &[(String, Digest)]| all.get(at).map(|(_, node)| *node);
            let prefix = new.get(at).or(old.get(at)).map(|(prefix, _)| prefix.clone());
            self.nodes_change(node(&old), node(&new), &prefix.unwrap_or_default());
        }
        let (old, new) = (self.files(&before), self.files(&now));
        let old = with_paths_of(&new, old);
        self.entries_change(old.collect(), by_path(new));
        self.elsewhere_change(&before, &now);
    }

    /// The files that are selected alone, with their paths if these are known.
    fn files(&self, items: &[Item]) -> Vec<(String, NodeEntry)> {
        let file = |item: &Item| {
            let Selected::File(node) = &item.selected else { return None };
            let entry = read_node(&(self.load)(node)?)?.pop()?;
            Some((item.prefix.clone(), entry))
        };
        items.iter().filter_map(file).collect()
    }

    /// What comes from the network.
    fn elsewhere_change(&mut self, before: &[Item], now: &[Item]) {
        for item in now {
            let change = match &item.selected {
                Selected::Url { name, .. } => (name.clone(), Change::Content),
                Selected::Repository { commit, directory } => {
                    let old = before.iter().find_map(|item| match &item.selected {
                        Selected::Repository { commit, directory: known } if known == directory => {
                            Some(commit.clone())
                        }
                        _ => None,
                    });
                    let change = match old {
                        Some(old) => Change::Commit { old, new: commit.clone() },
                        None => Change::Added,
                    };
                    (directory.clone(), change)
                }
                _ => continue,
            };
            let (path, change) = change;
            self.found.push(Found::new(path, change));
        }
    }

    fn nodes_change(&mut self, old: Option<Digest>, new: Option<Digest>, prefix: &str) {
        if old == new {
            return;
        }
        let read = |digest: Option<Digest>| match digest {
            None => Some(Vec::new()),
            Some(digest) => read_node(&(self.load)(&digest)?),
        };
        let (Some(old), Some(new)) = (read(old), read(new)) else {
            let path = if prefix.is_empty() { "." } else { prefix };
            self.found.push(Found { is_directory: true, ..Found::new(path, Change::Unknown) });
            return;
        };
        let by_path = |entries: Vec<NodeEntry>| -> BTreeMap<String, NodeEntry> {
            entries.into_iter().map(|entry| (join(prefix, &entry), entry)).collect()
        };
        self.entries_change(by_path(old), by_path(new));
    }

    fn entries_change(
        &mut self,
        mut old: BTreeMap<String, NodeEntry>,
        new: BTreeMap<String, NodeEntry>,
    ) {
        for (path, entry) in new {
            match old.remove(&path) {
                Some(before) => self.entry_change(path, &before, &entry),
                None => self.one_sided(path, entry, &Change::Added),
            }
        }
        for (path, entry) in old {
            self.one_sided(path, entry, &Change::Removed);
        }
    }

    /// What is only there before or now. A folder is told of by its files.
    fn one_sided(&mut self, path: String, entry: NodeEntry, change: &Change) {
        let count = self.found.len();
        if let What::Directory(node) = entry.what {
            let node = Some(node);
            match change {
                Change::Added => self.nodes_change(None, node, &path),
                _ => self.nodes_change(node, None, &path),
            }
            if self.found.len() > count {
                return;
            }
        }
        let is_directory = matches!(entry.what, What::Directory(_));
        let changes = vec![change.clone()];
        self.found.push(Found { path, changes, identity: Some(entry), is_directory });
    }

    fn entry_change(&mut self, path: String, old: &NodeEntry, new: &NodeEntry) {
        if let (What::Directory(before), What::Directory(now)) = (&old.what, &new.what) {
            self.nodes_change(Some(*before), Some(*now), &path);
        }
        let changes = entry_changes(old, new);
        if !changes.is_empty() {
            let is_directory = matches!(new.what, What::Directory(_));
            self.found.push(Found { path, changes, identity: None, is_directory });
        }
    }
}

/// Files by path; one whose path is not known by its name.
fn by_path(files: Vec<(String, NodeEntry)>) -> BTreeMap<String, NodeEntry> {
    let path = |(path, entry): (String, NodeEntry)| {
        (if path.is_empty() { join("", &entry) } else { path }, entry)
    };
    files.into_iter().map(path).collect()
}

/// `old` files by path: of what was copied earlier a key has the names alone, so each gets the path of
/// the file that is called like it now, in order.
fn with_paths_of(
    new: &[(String, NodeEntry)],
    old: Vec<(String, NodeEntry)>,
) -> impl Iterator<Item = (String, NodeEntry)> {
    let mut paths: HashMap<_, VecDeque<String>> = HashMap::new();
    for (path, entry) in new.iter().filter(|(path, _)| !path.is_empty()) {
        paths.entry(entry.name.clone()).or_default().push_back(path.clone());
    }
    old.into_iter().map(move |(_, entry)| {
        let path = paths.get_mut(&entry.name).and_then(VecDeque::pop_front);
        (path.unwrap_or_else(|| join("", &entry)), entry)
    })
}

fn join(prefix: &str, entry: &NodeEntry) -> String {
    let name = String::from_utf8_lossy(entry.name.as_bytes());
    match prefix {
        "" => name.into_owned(),
        _ => format!("{}/{name}", prefix.trim_end_matches('/')),
    }
}

/// How many files are selected, folders apart.
fn count(selected: &Selected, load: Load<'_>) -> u64 {
    match selected {
        Selected::Directory(node) | Selected::WithParents(node) => count_node(node, load),
        _ => 1,
    }
}

fn count_node(node: &Digest, load: Load<'_>) -> u64 {
    let entries = load(node).and_then(|bytes| read_node(&bytes)).unwrap_or_default();
    let counts = entries.iter().map(|entry| match &entry.what {
        What::Directory(node) => count_node(node, load),
        _ => 1,
    });
    counts.sum()
}

/// The nodes that a node or a selection leads to.
pub fn children(bytes: &[u8]) -> Vec<Digest> {
    if let Some(entries) = read_node(bytes) {
        let node = |entry: NodeEntry| match entry.what {
            What::Directory(node) => Some(node),
            _ => None,
        };
        return entries.into_iter().filter_map(node).collect();
    }
    if !bytes.starts_with(selection::MAGIC) {
        return Vec::new();
    }
    let items = Selection::decode(bytes).unwrap_or_default().sources.into_iter().flatten();
    let node = |item: Selected| match item {
        Selected::Directory(node) | Selected::File(node) | Selected::WithParents(node) => {
            Some(node)
        }
        _ => None,
    };
    items.filter_map(node).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use dfbuild_image::{Entry, Kind, TreePath};

    use super::*;
    use crate::change::FileChange;
    use crate::file_nodes;

    /// `path`, `path/`, `path -> target`, each with ` mode` behind it, and `=content` for files.
    fn entries(lines: &[&str]) -> Vec<Entry> {
        let entry = |line: &&str| {
            let (line, mode) = line
                .split_once(' ')
                .filter(|_| !line.contains("->"))
                .map_or((*line, 0o644), |(line, mode)| {
                    (line, u32::from_str_radix(mode, 8).unwrap())
                });
            if let Some((path, target)) = line.split_once(" -> ") {
                let target = target.as_bytes().to_vec();
                return Entry::new(path, Kind::Symlink { target }, 0o777, 0);
            }
            if let Some(path) = line.strip_suffix('/') {
                return Entry::new(path, Kind::DIRECTORY, mode, 0);
            }
            let (path, content) = line.split_once('=').unwrap_or((line, line));
            let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
            Entry::new(path, kind, mode, 0)
        };
        lines.iter().map(entry).collect()
    }

    fn check(old: &[&str], new: &[&str], expect: &[&str]) {
        let known = RefCell::new(HashMap::new());
        let node = |lines: &[&str]| {
            file_nodes(&TreePath::ROOT, &entries(lines), &mut |digest, bytes| {
                known.borrow_mut().insert(digest, bytes);
            })
        };
        let (before, now) = (node(old), node(new));
        let load = |digest: &Digest| known.borrow().get(digest).cloned();
        let change = files_change(&before, &now, &[], &load);
        let lines = change.files.iter().map(|file| {
            let changes: Vec<String> = file.changes.iter().map(|it| format!("{it:?}")).collect();
            format!("{}: {}", file.path, changes.join(", "))
        });
        let mut lines: Vec<String> = lines.collect();
        lines.push(format!("{} of {}", change.differ, change.total));
        assert_eq!(lines, expect, "{old:?} {new:?}");
    }

    #[test]
    fn each_difference_has_its_word() {
        check(&["a=1", "b"], &["a=2", "b"], &["a: Content", "1 of 2"]);
        check(
            &["a", "d/", "d/x"],
            &["a 755", "d/ 700", "d/x"],
            &[
                r#"a: Mode { old: "0644", new: "0755" }"#,
                r#"d: Mode { old: "0644", new: "0700" }"#,
                "2 of 3",
            ],
        );
        check(&["a", "b"], &["a", "c"], &["b: Removed", "c: Added", "2 of 3"]);
        check(&["a=1"], &["b=1"], &[r#"b: Renamed { old: "a" }"#, "1 of 1"]);
        check(&["d/", "d/a=1"], &["e/", "e/a=1"], &[r#"e/a: Renamed { old: "d/a" }"#, "1 of 1"]);
        check(&["l -> a"], &["l -> b"], &[r#"l: Target { old: "a", new: "b" }"#, "1 of 1"]);
        check(&["a"], &["a -> b"], &[r#"a: Type { old: "file", new: "symlink" }"#, "1 of 1"]);
        check(&["d/"], &[], &["d: Removed", "1 of 1"]);
        check(&["d/", "d/e/", "d/e/x"], &[], &["d/e/x: Removed", "1 of 1"]);
        check(&["x"], &["x"], &["0 of 1"]);
    }

    #[test]
    fn what_is_lost_is_told() {
        let change = files_change(&Digest::of("a"), &Digest::of("b"), &[], &|_| None);
        assert_eq!(change.files[0].changes, [Change::Unknown]);
    }

    #[test]
    fn files_alone_are_paired_by_name() {
        let known = RefCell::new(HashMap::new());
        let select = |lines: &[&str]| {
            let file = |entry: Entry| {
                Selected::File(file_nodes(&TreePath::ROOT, &[entry], &mut |digest, bytes| {
                    known.borrow_mut().insert(digest, bytes);
                }))
            };
            let sources = vec![entries(lines).into_iter().map(file).collect()];
            let bytes = Selection { sources }.encode();
            known.borrow_mut().insert(Digest::of(&bytes), bytes.clone());
            assert_eq!(children(&bytes).len(), lines.len());
            Digest::of(&bytes)
        };
        let (before, now) = (select(&["a=1", "b=1"]), select(&["a=1", "b=2", "c=3"]));
        let load = |digest: &Digest| known.borrow().get(digest).cloned();
        let told = |prefixes: &[Vec<String>]| {
            let change = files_change(&before, &now, prefixes, &load);
            let file = |file: &FileChange| format!("{} {:?}", file.path, file.changes);
            let files: Vec<String> = change.files.iter().map(file).collect();
            (files.join(", "), change.differ, change.total)
        };
        assert_eq!(told(&[]), ("b [Content], c [Added]".to_owned(), 2, 3));
        // Where they lie is only known of those that are there now.
        let prefixes = ["x/a", "y/b", "y/c"].map(str::to_owned).to_vec();
        assert_eq!(told(&[prefixes]), ("y/b [Content], y/c [Added]".to_owned(), 2, 3));
    }
}
