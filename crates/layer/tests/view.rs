//! Trees of several layers, by their indexes alone.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::{Error, Index, View};

fn dir(path: &str) -> Entry {
    Entry::new(path, Kind::DIRECTORY, 0o700, 1)
}

fn opaque(path: &str) -> Entry {
    Entry::new(path, Kind::Directory { opaque: true }, 0o700, 1)
}

fn file(path: &str) -> Entry {
    let digest = Digest::of(path);
    Entry::new(path, Kind::File { size: path.len() as u64, digest }, 0o644, 1)
}

fn link(path: &str, target: &str) -> Entry {
    Entry::new(path, Kind::Symlink { target: target.into() }, 0o777, 1)
}

fn hard(path: &str, target: &str) -> Entry {
    Entry::new(path, Kind::HardLink { target: target.into() }, 0o644, 1)
}

fn index(entries: Vec<Entry>) -> Index {
    Index::new(entries).unwrap()
}

fn view(layers: Vec<Vec<Entry>>) -> View {
    View::new(layers.into_iter().map(|entries| Arc::new(index(entries))).collect())
}

/// `path@layer` of everything in `view` but the root.
fn tree(view: &View) -> Vec<String> {
    let walk = view.walk(&TreePath::ROOT).skip(1);
    walk.map(|found| format!("{}@{}", &found.entry.path.to_string()[1..], found.layer)).collect()
}

#[test]
fn layers_merge() {
    let cases: [(Vec<Vec<Entry>>, &[&str]); 9] = [
        (vec![], &[]),
        (vec![vec![dir("a"), file("a/x")], vec![]], &["a@0", "a/x@0"]),
        // A directory entry replaces the entry only.
        (
            vec![vec![dir("a"), file("a/x")], vec![dir("a"), file("a/y")]],
            &["a@1", "a/x@0", "a/y@1"],
        ),
        // Parents may be missing.
        (vec![vec![dir("a"), file("a/x")], vec![file("a/y")]], &["a@0", "a/x@0", "a/y@1"]),
        (vec![vec![file("a/b/x")], vec![dir("a")]], &["a@1", "a/b@0", "a/b/x@0"]),
        (
            vec![
                vec![dir("a"), file("a/x"), file("b"), file("c")],
                vec![Entry::whiteout("a/x"), Entry::whiteout("b"), Entry::whiteout("nothing")],
            ],
            &["a@0", "c@0"],
        ),
        (
            vec![vec![dir("a"), dir("a/b"), file("a/b/x")], vec![opaque("a"), file("a/y")]],
            &["a@1", "a/y@1"],
        ),
        // What is no directory hides all below it, also from a third layer.
        (
            vec![vec![dir("a"), file("a/x")], vec![file("a")], vec![dir("a"), file("a/z")]],
            &["a@2", "a/z@2"],
        ),
        (
            vec![vec![dir("a"), file("a/x")], vec![Entry::whiteout("a")], vec![file("a/z")]],
            &["a@2", "a/z@2"],
        ),
    ];
    for (layers, expect) in cases {
        let view = view(layers);
        assert_eq!(tree(&view), expect);
        for found in view.walk(&TreePath::ROOT) {
            assert_eq!(view.get(&found.entry.path), Some(found));
        }
    }
}

#[test]
fn directories_list_in_order() {
    let view = view(vec![
        vec![dir("d"), file("d/b"), file("d/b-c"), dir("d/a"), file("d/a/deep"), file("d-e")],
        vec![file("d/a b/c"), Entry::whiteout("d/b")],
    ]);
    let names = |path: &str| -> Vec<String> {
        let names = view.read_dir(&path.into()).into_iter();
        names.map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    };
    assert_eq!(names("d"), ["a", "a b", "b-c"]);
    assert_eq!(names(""), ["d", "d-e"]);
    assert_eq!(names("d/b-c"), [""; 0]);
    assert_eq!(names("nothing"), [""; 0]);
}

#[test]
fn links_resolve_within_the_root() {
    let view = view(vec![
        vec![
            dir("usr"),
            dir("usr/lib"),
            file("usr/lib/x"),
            link("lib", "usr/lib"),
            link("abs", "/usr/lib"),
            link("up", "../../../usr"),
            link("usr/back", "../lib/x"),
            link("loop", "loop"),
            link("dangling", "usr/none/deep"),
            hard("lib2", "lib"),
        ],
        vec![],
    ]);
    for (path, follow, expect, exists) in [
        ("lib/x", true, "usr/lib/x", true),
        ("abs/x", false, "usr/lib/x", true),
        ("up/lib/x", false, "usr/lib/x", true),
        ("usr/back", true, "usr/lib/x", true),
        ("usr/back", false, "usr/back", true),
        ("lib", true, "usr/lib", true),
        ("lib", false, "lib", true),
        ("lib2/x", true, "usr/lib/x", true),
        ("lib/new/file", true, "usr/lib/new/file", false),
        ("dangling", true, "usr/none/deep", false),
        ("dangling/x", true, "usr/none/deep/x", false),
        ("usr/lib/x/below", true, "usr/lib/x/below", false),
        ("", true, "", true),
    ] {
        let resolved = view.resolve(&path.into(), follow).unwrap();
        assert_eq!((&resolved.path, resolved.found.is_some()), (&expect.into(), exists), "{path}");
    }
    assert!(matches!(view.resolve(&"loop".into(), true), Err(Error::Loop { .. })));
    assert!(matches!(view.resolve(&"loop/x".into(), false), Err(Error::Loop { .. })));
    assert!(view.resolve(&"loop".into(), false).is_ok());
}

#[test]
fn hard_links_have_one_form() {
    let mut other = hard("b", "c");
    other.mode = 0o600;
    let mut original = file("c");
    original.uid = 7;
    let index = index(vec![original, other, hard("a", "b")]);
    let kinds: Vec<_> = index.entries().iter().map(|entry| &entry.kind).collect();
    let file = Kind::File { size: 1, digest: Digest::of("c") };
    let link = Kind::HardLink { target: "a".into() };
    assert_eq!(kinds, [&file, &link, &link]);
    assert!(index.entries().iter().all(|entry| (entry.mode, entry.uid) == (0o644, 7)));

    let view = View::new(vec![Arc::new(index)]);
    let content = view.file(&view.get(&"c".into()).unwrap()).unwrap();
    assert_eq!((content.path, content.digest), (&"a".into(), Digest::of("c")));
}

#[test]
fn impossible_indexes_are_refused() {
    let error = |entries| Index::new(entries).unwrap_err();
    assert!(matches!(error(vec![file("a"), dir("a")]), Error::Duplicate { .. }));
    assert!(matches!(error(vec![file("a"), file("a/b")]), Error::NotDirectory { .. }));
    assert!(matches!(error(vec![file("a"), file("a/b/c")]), Error::NotDirectory { .. }));
    assert!(matches!(error(vec![hard("a", "a")]), Error::LinkTarget { .. }));
    assert!(matches!(error(vec![hard("a", "b"), hard("b", "a")]), Error::LinkTarget { .. }));
    assert!(matches!(error(vec![hard("a", "b"), dir("b")]), Error::LinkTarget { .. }));
    assert!(Index::new(vec![file("a"), file("a-b"), file("a b"), dir("b")]).is_ok());
}

#[test]
fn children_are_the_direct_ones() {
    let index =
        index(vec![dir("a"), file("a/b"), file("a/c/d"), dir("a/e"), file("a/e/f"), file("a.")]);
    let children = |path: &str| -> Vec<String> {
        index.children(&path.into()).map(|entry| entry.path.to_string()).collect()
    };
    assert_eq!(children("a"), ["/a/b", "/a/e"]);
    assert_eq!(children(""), ["/a", "/a."]);
    assert_eq!(children("a/b"), [""; 0]);
}

#[test]
fn layers_settle_on_what_is_below() {
    let below = view(vec![vec![dir("usr"), dir("usr/lib"), link("lib", "usr/lib"), file("old")]]);
    let layer = index(vec![file("lib/x"), hard("new", "old"), Entry::whiteout("lib/y")]);
    assert!(layer.needs_below());
    let settled = layer.settle(&below).unwrap();
    // Both names are in the layer now, for they are of one file.
    assert_eq!(settled.get(&"new".into()).unwrap().kind, file("old").kind);
    assert_eq!(settled.get(&"old".into()).unwrap().kind, hard("old", "new").kind);
    assert_eq!(settled.get(&"usr/lib/x".into()).unwrap().kind, file("lib/x").kind);
    assert_eq!(settled.get(&"usr/lib/y".into()).unwrap().kind, Kind::Whiteout);
    // A directory of its own is not a parent left out.
    let layer = index(vec![dir("lib"), file("lib/x")]);
    assert_eq!(layer.clone().settle(&below).unwrap(), layer);
}

#[test]
fn users_resolve_without_unpacking() {
    let passwd = b"root:x:0:0::/root:/bin/sh\n".to_vec();
    let kind = Kind::File { size: passwd.len() as u64, digest: Digest::of(&passwd) };
    let mut layer = index(vec![
        Entry::new("etc/passwd", kind, 0o644, 0),
        hard("etc/passwd-", "etc/passwd"),
        file("etc/hosts"),
    ]);
    assert!(layer.set_inline(&"etc/passwd".into(), passwd.clone()));
    assert!(!layer.set_inline(&"etc/passwd".into(), b"other".to_vec()));
    assert!(!layer.set_inline(&"etc/hosts".into(), b"etc/hosts".to_vec()));
    let layer = Index::decode(&layer.encode()).unwrap();
    assert_eq!(layer.inline(&"etc/passwd-".into()), Some(passwd.as_slice()));
    let hide = |entry| View::new(vec![Arc::new(layer.clone()), Arc::new(index(vec![entry]))]);
    assert_eq!(hide(file("x")).inline(&"etc/passwd".into()), Some(passwd.as_slice()));
    assert_eq!(hide(Entry::whiteout("etc")).inline(&"etc/passwd".into()), None);
}

#[test]
fn content_ids_see_all_but_times() {
    let base = || file("a");
    let id = |entry: Entry| index(vec![entry]).content_id();
    let mut later = base();
    later.mtime = 99;
    assert_eq!(id(later), id(base()));
    let changes: [fn(&mut Entry); 6] = [
        |entry| entry.mode = 0o600,
        |entry| entry.uid = 1,
        |entry| entry.gid = 1,
        |entry| entry.capability = Some(vec![]),
        |entry| entry.kind = Kind::Fifo,
        |entry| entry.path = "b".into(),
    ];
    let mut ids = vec![id(base()), index(vec![]).content_id()];
    for change in changes {
        let mut entry = base();
        change(&mut entry);
        ids.push(id(entry));
    }
    for kind in [
        Kind::Whiteout,
        Kind::DIRECTORY,
        Kind::Directory { opaque: true },
        Kind::CharDevice { major: 1, minor: 2 },
        Kind::BlockDevice { major: 1, minor: 2 },
        Kind::Symlink { target: b"b".to_vec() },
        Kind::HardLink { target: "b".into() },
    ] {
        ids.push(id(Entry { kind, ..base() }));
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn damaged_indexes_are_refused() {
    let bytes = index(vec![dir("a"), file("a/b")]).encode();
    assert!(Index::decode(&bytes).is_ok());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        assert!(matches!(Index::decode(&damaged), Err(Error::Index { .. })), "{at}");
        assert!(matches!(Index::decode(&bytes[..at]), Err(Error::Index { .. })), "{at}");
    }
}

/// 100 layers over a base of 100,000 files: a walk and a lookup of each must not be quadratic.
#[test]
fn many_layers_are_quick() {
    let base = (0..100_000).map(|n| file(&format!("usr/share/{}/{n}", n / 100))).collect();
    let mut layers = vec![base];
    layers.extend((0..100).map(|n| vec![dir("usr"), file(&format!("usr/share/{n}/new"))]));
    let view = view(layers);
    let mut count = 0;
    for found in view.walk(&TreePath::ROOT) {
        assert_eq!(view.get(&found.entry.path), Some(found));
        count += 1;
    }
    assert_eq!(count, 100_000 + 1_000 + 100 + 3);
}
