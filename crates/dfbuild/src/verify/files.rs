use std::collections::BTreeMap;
use std::io::{self, Read};

use dfbuild_image::{Entry, Kind, TreePath};
use dfbuild_layer::Index;

use super::FileDifference;

/// The entries of two layers that differ, by path.
pub(super) fn differences(
    first: &Index,
    second: &Index,
) -> BTreeMap<TreePath, Vec<FileDifference>> {
    let by_path = |index: &Index| -> BTreeMap<TreePath, Entry> {
        index.entries().iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (first, second) = (by_path(first), by_path(second));
    let mut found = BTreeMap::new();
    for (path, one) in &first {
        let changes = match second.get(path) {
            None => vec![FileDifference::OnlyInFirst],
            Some(other) => changes(one, other),
        };
        if !changes.is_empty() {
            found.insert(path.clone(), changes);
        }
    }
    for path in second.keys().filter(|path| !first.contains_key(path)) {
        found.insert(path.clone(), vec![FileDifference::OnlyInSecond]);
    }
    found
}

/// Whether files differ in more than their times.
pub(super) fn is_more_than_time(changes: &[FileDifference]) -> bool {
    changes.iter().any(|change| !matches!(change, FileDifference::Time { .. }))
}

fn changes(one: &Entry, other: &Entry) -> Vec<FileDifference> {
    let mut found = Vec::new();
    match (&one.kind, &other.kind) {
        (Kind::File { size: first, digest }, Kind::File { size: second, digest: other_digest }) => {
            if first != second {
                found.push(FileDifference::Size { first: *first, second: *second });
            }
            if digest != other_digest {
                found.push(FileDifference::Content { offset: None });
            }
        }
        (one, other) if one == other => {}
        (one, other) if name(one) != name(other) => {
            found
                .push(FileDifference::Kind { first: name(one).into(), second: name(other).into() });
        }
        (one, other) => {
            found.push(FileDifference::Target { first: target(one), second: target(other) });
        }
    }
    if one.mode != other.mode {
        found.push(FileDifference::Mode { first: one.mode, second: other.mode });
    }
    let (first, second) = ((one.uid, one.gid), (other.uid, other.gid));
    if first != second {
        found.push(FileDifference::Owner { first, second });
    }
    if one.capability != other.capability {
        found.push(FileDifference::Capability);
    }
    if one.mtime != other.mtime {
        found.push(FileDifference::Time { first: one.mtime, second: other.mtime });
    }
    found
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Directory { .. } => "directory",
        Kind::File { .. } => "file",
        Kind::Symlink { .. } => "symbolic link",
        Kind::HardLink { .. } => "hard link",
        Kind::CharDevice { .. } => "character device",
        Kind::BlockDevice { .. } => "block device",
        Kind::Fifo => "named pipe",
        Kind::Whiteout => "whiteout",
    }
}

fn target(kind: &Kind) -> String {
    match kind {
        Kind::Symlink { target } => String::from_utf8_lossy(target).into_owned(),
        Kind::HardLink { target } => target.to_string(),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            format!("{major}:{minor}")
        }
        Kind::Directory { opaque: true } => "hides what lies below".to_owned(),
        _ => "shows what lies below".to_owned(),
    }
}

/// The first byte in which two streams differ; the end of one of them counts.
pub(super) fn first_difference(one: impl Read, other: impl Read) -> io::Result<Option<u64>> {
    let mut one = io::BufReader::with_capacity(128 << 10, one).bytes();
    let mut other = io::BufReader::with_capacity(128 << 10, other).bytes();
    let mut at = 0;
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(None),
            (first, second) if first != second => return Ok(Some(at)),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use dfbuild_image::Digest;

    use super::*;

    fn file(path: &str, content: &str) -> Entry {
        let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
        Entry::new(path, kind, 0o644, 7)
    }

    #[test]
    fn each_kind_of_change_is_named() {
        let check = |one: Entry, other: Entry, expect: &[FileDifference]| {
            let indexes = [one, other].map(|entry| Index::new(vec![entry]).unwrap());
            let found = differences(&indexes[0], &indexes[1]);
            assert_eq!(found.into_values().collect::<Vec<_>>(), [expect]);
        };
        let one = || file("a", "one");
        check(one(), file("a", "two"), &[FileDifference::Content { offset: None }]);
        check(
            one(),
            file("a", "three"),
            &[
                FileDifference::Size { first: 3, second: 5 },
                FileDifference::Content { offset: None },
            ],
        );
        let mode = Entry { mode: 0o755, ..one() };
        check(one(), mode, &[FileDifference::Mode { first: 0o644, second: 0o755 }]);
        let owner = Entry { uid: 5, ..one() };
        check(one(), owner, &[FileDifference::Owner { first: (0, 0), second: (5, 0) }]);
        let time = Entry { mtime: 8, ..one() };
        check(one(), time, &[FileDifference::Time { first: 7, second: 8 }]);
        let capability = Entry { capability: Some(vec![1]), ..one() };
        check(one(), capability, &[FileDifference::Capability]);
        let link = |target: &str| {
            Entry::new("a", Kind::Symlink { target: target.as_bytes().to_vec() }, 0o644, 7)
        };
        check(
            link("b"),
            link("b2"),
            &[FileDifference::Target { first: "b".into(), second: "b2".into() }],
        );
        check(
            one(),
            link("b"),
            &[FileDifference::Kind { first: "file".into(), second: "symbolic link".into() }],
        );
    }

    #[test]
    fn what_one_layer_has_alone() {
        let index = |names: &[&str]| {
            Index::new(names.iter().map(|name| file(name, "x")).collect()).unwrap()
        };
        let found = differences(&index(&["a", "b"]), &index(&["b", "c"]));
        let expect = [
            (TreePath::new("a"), vec![FileDifference::OnlyInFirst]),
            (TreePath::new("c"), vec![FileDifference::OnlyInSecond]),
        ];
        assert_eq!(found, BTreeMap::from(expect));
        assert!(differences(&index(&["a"]), &index(&["a"])).is_empty());
    }

    #[test]
    fn the_first_byte_that_differs() {
        let check =
            |one: &str, other: &str| first_difference(one.as_bytes(), other.as_bytes()).unwrap();
        assert_eq!(check("abc", "abc"), None);
        assert_eq!(check("abc", "abd"), Some(2));
        assert_eq!(check("ab", "abc"), Some(2));
        assert_eq!(check("", "x"), Some(0));
    }
}
