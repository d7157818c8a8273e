//! Trees without an overlay: making them, putting layers on them, finding what commands changed.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use common::{is_root, scan_options, scratch, unpack_options, whole};
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::in_place::{Baseline, scan};
use dfbuild_layer::upper::ScanOptions;
use dfbuild_layer::{Directory, Index, UnpackOptions, View, apply, materialise};

/// A root with files, links and directories, and what is in it.
fn base(root: &Path) -> View {
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    for path in ["file", "dir/a", "dir/b", "dir/sub/c"] {
        fs::write(root.join(path), path).unwrap();
    }
    symlink("dir/a", root.join("link")).unwrap();
    fs::hard_link(root.join("dir/a"), root.join("dir/same")).unwrap();
    View::new(vec![Arc::new(whole(root))])
}

/// The names in a layer; `=` marks a link, `-` what is gone.
fn names(layer: &Index) -> Vec<String> {
    let name = |entry: &Entry| {
        let path = &entry.path.to_string()[1..];
        match &entry.kind {
            Kind::HardLink { target } => format!("{path}={}", &target.to_string()[1..]),
            Kind::Whiteout => format!("-{path}"),
            _ => path.to_owned(),
        }
    };
    layer.entries().iter().map(name).collect()
}

/// What a command changes in the base.
fn changes(command: impl FnOnce(&Path)) -> Vec<String> {
    let scratch = scratch();
    let view = base(scratch.path());
    let before = Baseline::take(scratch.path()).unwrap();
    command(scratch.path());
    names(&scan(scratch.path(), &before, &view, &scan_options(), &mut io::sink()).unwrap())
}

#[test]
fn commands_leave_their_changes_and_nothing_else() {
    let none: [&str; 0] = [];
    assert_eq!(changes(|_| {}), none);
    assert_eq!(changes(|root| fs::write(root.join("new"), "x").unwrap()), ["new"]);
    assert_eq!(changes(|root| fs::remove_dir_all(root.join("dir")).unwrap()), ["-dir"]);
    let same_length = |root: &Path| {
        let time = fs::metadata(root.join("file")).unwrap().modified().unwrap();
        fs::write(root.join("file"), "elif").unwrap();
        fs::File::options()
            .append(true)
            .open(root.join("file"))
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    assert_eq!(changes(same_length), ["file"]);
    let mode_and_back = |root: &Path| {
        for mode in [0o600, 0o644] {
            fs::set_permissions(root.join("file"), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(root.join("dir/new"), "x").unwrap();
        fs::remove_file(root.join("dir/new")).unwrap();
    };
    assert_eq!(changes(mode_and_back), none);
    let replaced = |root: &Path| {
        fs::remove_dir_all(root.join("dir")).unwrap();
        fs::create_dir_all(root.join("dir/sub")).unwrap();
        fs::write(root.join("dir/a"), "new").unwrap();
        fs::remove_file(root.join("link")).unwrap();
        fs::create_dir(root.join("link")).unwrap();
    };
    let expect = ["dir", "dir/a", "-dir/b", "-dir/same", "dir/sub", "-dir/sub/c", "link"];
    assert_eq!(changes(replaced), expect);
}

/// An overlay would take them apart.
#[test]
fn hard_links_stay_what_they_are() {
    let written = |root: &Path| fs::write(root.join("dir/same"), "changed").unwrap();
    assert_eq!(changes(written), ["dir", "dir/a", "dir/same=dir/a"]);
    let removed = |root: &Path| fs::remove_file(root.join("dir/same")).unwrap();
    assert_eq!(changes(removed), ["dir", "-dir/same"]);
    let linked = |root: &Path| fs::hard_link(root.join("dir/a"), root.join("more")).unwrap();
    assert_eq!(changes(linked), ["dir", "dir/a", "dir/same=dir/a", "more=dir/a"]);
}

#[test]
fn what_was_there_before_and_is_in_no_layer() {
    let scratch = scratch();
    let root = scratch.path();
    let view = base(root);
    fs::create_dir_all(root.join("stub/inner")).unwrap();
    fs::write(root.join("stub/file"), "").unwrap();
    fs::create_dir(root.join("lasting")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let mut before = Baseline::take(root).unwrap();
    before.forget(&"lasting".into());
    let scan = || scan(root, &before, &view, &scan_options(), &mut io::sink()).unwrap();
    assert_eq!(names(&scan()), ["lasting"]);
    fs::write(root.join("stub/inner/new"), "x").unwrap();
    assert_eq!(names(&scan()), ["lasting", "stub", "stub/inner", "stub/inner/new"]);
}

#[test]
fn what_could_not_be_made_is_no_change() {
    let scratch = scratch();
    let root = scratch.path();
    // Where devices cannot be made an empty file stands in for one, and owners are not kept.
    fs::write(root.join("device"), "").unwrap();
    fs::write(root.join("owned"), "x").unwrap();
    let file = Kind::File { size: 1, digest: Digest::of("x") };
    let below = vec![
        Entry::new("device", Kind::CharDevice { major: 1, minor: 3 }, 0o666, 0),
        Entry { uid: 7, capability: Some(vec![1]), ..Entry::new("owned", file, 0o755, 0) },
    ];
    let view = View::new(vec![Arc::new(Index::new(below).unwrap())]);
    let before = Baseline::take(root).unwrap();
    let options = ScanOptions { single_id: true, ..scan_options() };
    let layer = scan(root, &before, &view, &options, &mut io::sink()).unwrap();
    assert!(layer.is_empty(), "{layer:?}");
    fs::set_permissions(root.join("owned"), fs::Permissions::from_mode(0o700)).unwrap();
    let layer = scan(root, &before, &view, &options, &mut io::sink()).unwrap();
    assert_eq!((layer.entries().len(), layer.entries()[0].uid), (1, 7));
}

#[test]
fn a_plain_directory_has_no_notes_for_an_overlay() {
    let dest = scratch();
    let entries = vec![
        Entry::whiteout("gone"),
        Entry::new("opaque", Kind::Directory { opaque: true }, 0o755, 7),
    ];
    let below = Index::new(vec![Entry::new("gone", Kind::Fifo, 0o644, 0)]).unwrap();
    let below = View::new(vec![Arc::new(below)]);
    let options = UnpackOptions { plain: true, ..unpack_options() };
    let index = Index::new(entries).unwrap();
    let nothing = Directory::new("/nonexistent");
    materialise(&index, &nothing, dest.path(), &below, &options).unwrap();
    assert!(dest.path().join("gone").symlink_metadata().is_err());
    let opaque = fs::File::open(dest.path().join("opaque")).unwrap();
    let mut names = [0_u8; 256];
    let length = rustix::fs::flistxattr(&opaque, &mut names[..]).unwrap_or(0);
    assert!(!names[..length].windows(7).any(|window| window == b"overlay"));
    assert_eq!(opaque.metadata().unwrap().mtime(), 7);
}

#[test]
fn a_layer_is_put_on_a_tree() {
    if !is_root() {
        println!("SKIPPED: owners take root");
        return;
    }
    let (tree, files) = (scratch(), scratch());
    let below = base(tree.path());
    let text = |path: &str, content: &str| {
        fs::create_dir_all(files.path().join(path).parent().unwrap()).unwrap();
        fs::write(files.path().join(path), content).unwrap();
        let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
        Entry { uid: 3, ..Entry::new(path, kind, 0o640, 1_000_000_000) }
    };
    let entries = vec![
        Entry::new("dir", Kind::Directory { opaque: true }, 0o700, 5),
        text("dir/a", "new"),
        // A parent that is not in the layer, and hides what is no directory.
        text("link/below", "x"),
        Entry::whiteout("file"),
        Entry::new("other", Kind::HardLink { target: "dir/a".into() }, 0o640, 1_000_000_000),
    ];
    let layer = Index::new(entries).unwrap();
    let contents = Directory::new(files.path());
    apply(&layer, &contents, tree.path(), &below, &unpack_options()).unwrap();
    let view = View::new(vec![Arc::clone(&below.layers()[0]), Arc::new(layer)]);
    let found = View::new(vec![Arc::new(whole(tree.path()))]);
    let all = |view: &View| -> Vec<Entry> {
        let walk = view.walk(&TreePath::ROOT).filter(|found| !found.entry.path.is_root());
        let entry = |kind: &Kind, entry: &Entry| Entry {
            kind: if kind.is_directory() { Kind::DIRECTORY } else { kind.clone() },
            ..entry.clone()
        };
        walk.map(|found| entry(&view.origin(&found).entry.kind, found.entry)).collect()
    };
    assert_eq!(all(&found), all(&view));
    let inode = |name: &str| fs::metadata(tree.path().join(name)).unwrap().ino();
    assert_eq!(inode("other"), inode("dir/a"));
}
