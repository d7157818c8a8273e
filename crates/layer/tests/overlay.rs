//! The overlay form of layers: placing it, and reading what commands leave in it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod common;

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Arc;

use common::{Overlay, flat, is_root, namespace, scan_options, scratch, unpack_options, whole};
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::upper::{ScanOptions, scan};
use dfbuild_layer::{Directory, Error, Index, Layers, Limits, UnpackOptions, View, XattrNamespace};
use dfbuild_layer::{index, materialise, pack, unpack};

/// A base to change: files, links, directories.
fn base(root: &Path) {
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    fs::create_dir_all(root.join("other/deep")).unwrap();
    for path in ["file", "dir/a", "dir/b", "dir/sub/c", "other/deep/d"] {
        fs::write(root.join(path), path).unwrap();
    }
    symlink("dir/a", root.join("link")).unwrap();
    fs::hard_link(root.join("dir/a"), root.join("dir/same")).unwrap();
    fs::set_permissions(root.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
}

/// What the layer of a command holds, as names of tar members; `=` marks a link.
fn layer_of(command: impl FnOnce(&Path)) -> Option<Vec<String>> {
    if !is_root() {
        println!("SKIPPED: mounting an overlay takes root");
        return None;
    }
    let scratch = scratch();
    let lower = scratch.path().join("lower");
    base(&lower);
    let below = View::new(vec![Arc::new(whole(&lower))]);
    let overlay = Overlay::mount(scratch.path(), &[lower])?;
    command(&overlay.merged);
    let mut tar = Vec::new();
    let layer = scan(&overlay.upper, &below, &scan_options(), &mut tar).unwrap();
    // The archive is that of the index, and reads back to it.
    let mut packed = Vec::new();
    pack(&layer, &Directory::new(&overlay.upper), &mut packed).unwrap();
    assert!(packed == tar);
    assert_eq!(index(&mut tar.as_slice(), &Limits::default()).unwrap(), layer);
    // On the base it makes the tree that the command saw.
    let view = View::new(vec![Arc::clone(&below.layers()[0]), Arc::new(layer.clone())]);
    let merged = View::new(vec![Arc::new(whole(&overlay.merged))]);
    assert_eq!(flat(&view, &TreePath::ROOT), flat(&merged, &TreePath::ROOT));
    let name = |entry: &Entry| {
        let path = entry.path.to_string()[1..].to_owned();
        match &entry.kind {
            Kind::Directory { opaque: false } => path + "/",
            Kind::Directory { opaque: true } => path + "/!",
            Kind::HardLink { target } => format!("{path}={}", &target.to_string()[1..]),
            Kind::Whiteout => format!("-{path}"),
            _ => path,
        }
    };
    Some(layer.entries().iter().map(name).collect())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn commands_leave_their_changes_and_nothing_else() {
    type Command = fn(&Path);
    let cases: [(&str, Command, &[&str]); 19] = [
        ("nothing", |_| {}, &[]),
        ("new file", |root| fs::write(root.join("new"), "x").unwrap(), &["new"]),
        (
            "new file in a directory",
            |root| fs::write(root.join("dir/sub/new"), "x").unwrap(),
            &["dir/", "dir/sub/", "dir/sub/new"],
        ),
        ("removed file", |root| fs::remove_file(root.join("dir/a")).unwrap(), &["dir/", "-dir/a"]),
        ("removed directory", |root| fs::remove_dir_all(root.join("dir")).unwrap(), &["-dir"]),
        (
            "there and gone",
            |root| {
                fs::write(root.join("dir/new"), "x").unwrap();
                fs::remove_file(root.join("dir/new")).unwrap();
            },
            &[],
        ),
        (
            "same mode again",
            |root| {
                mode(&root.join("file"), 0o600);
                mode(&root.join("file"), 0o640);
                mode(&root.join("dir"), 0o700);
                mode(&root.join("dir"), 0o755);
            },
            &[],
        ),
        ("mode of a file", |root| mode(&root.join("file"), 0o4755), &["file"]),
        ("mode of a directory", |root| mode(&root.join("dir"), 0o700), &["dir/"]),
        (
            "owner of a link",
            |root| std::os::unix::fs::lchown(root.join("link"), Some(3), Some(4)).unwrap(),
            &["link"],
        ),
        ("owner", |root| chown(root.join("dir/b"), Some(1), None).unwrap(), &["dir/", "dir/b"]),
        (
            "directory replaced by a file",
            |root| {
                fs::remove_dir_all(root.join("dir")).unwrap();
                fs::write(root.join("dir"), "x").unwrap();
            },
            &["dir"],
        ),
        (
            "file replaced by a directory",
            |root| {
                fs::remove_file(root.join("file")).unwrap();
                fs::create_dir(root.join("file")).unwrap();
                fs::write(root.join("file/x"), "x").unwrap();
            },
            &["file/", "file/x"],
        ),
        (
            "directory made anew",
            |root| {
                fs::remove_dir_all(root.join("dir")).unwrap();
                fs::create_dir_all(root.join("dir/sub")).unwrap();
                fs::write(root.join("dir/a"), "new").unwrap();
                fs::write(root.join("dir/x"), "x").unwrap();
            },
            &["dir/", "dir/a", "-dir/b", "-dir/same", "dir/sub/", "-dir/sub/c", "dir/x"],
        ),
        (
            "directory moved over",
            |root| {
                fs::create_dir(root.join("fresh")).unwrap();
                fs::rename(root.join("fresh"), root.join("new")).unwrap();
            },
            &["new/"],
        ),
        (
            "one of two links",
            |root| fs::write(root.join("dir/same"), "x").unwrap(),
            &["dir/", "dir/same"],
        ),
        (
            "new links",
            |root| {
                fs::hard_link(root.join("file"), root.join("dir/x")).unwrap();
                fs::write(root.join("y"), "y").unwrap();
                fs::hard_link(root.join("y"), root.join("z")).unwrap();
            },
            // The old name comes along: otherwise the new one would not be a link to it.
            &["dir/", "dir/x", "file=dir/x", "y", "z=y"],
        ),
        (
            "a socket in place of a file",
            |root| {
                fs::remove_file(root.join("file")).unwrap();
                drop(std::os::unix::net::UnixListener::bind(root.join("file")).unwrap());
                drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
                fs::remove_file(root.join("file")).unwrap();
                fs::remove_file(root.join("socket")).unwrap();
            },
            &["-file"],
        ),
        (
            "a name like a whiteout's",
            |root| fs::create_dir(root.join("dir/new")).unwrap(),
            &["dir/", "dir/new/"],
        ),
    ];
    for (name, command, expect) in cases {
        let Some(layer) = layer_of(command) else { return };
        assert_eq!(layer, expect, "{name}");
    }
}

#[test]
fn sockets_and_ignored_paths_stay_behind() {
    let upper = scratch();
    let _socket = std::os::unix::net::UnixListener::bind(upper.path().join("socket")).unwrap();
    fs::create_dir_all(upper.path().join("run/deep")).unwrap();
    fs::write(upper.path().join("run/deep/file"), "x").unwrap();
    fs::write(upper.path().join("keep"), "x").unwrap();
    let below = Index::new(vec![Entry::new("socket", Kind::Fifo, 0o644, 0)]).unwrap();
    let below = View::new(vec![Arc::new(below)]);
    let options = ScanOptions { ignore: vec!["run/deep".into()], ..scan_options() };
    let layer = scan(upper.path(), &below, &options, &mut io::sink()).unwrap();
    let paths: Vec<_> = layer.entries().iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["/keep", "/run", "/socket"]);
    assert_eq!(layer.entries()[2].kind, Kind::Whiteout);
}

#[test]
fn a_single_id_keeps_the_owners_below() {
    let upper = scratch();
    fs::write(upper.path().join("old"), "changed").unwrap();
    fs::write(upper.path().join("new"), "x").unwrap();
    fs::write(upper.path().join("was-link"), "x").unwrap();
    let owned = |path: &str, kind| Entry { uid: 7, gid: 8, ..Entry::new(path, kind, 0o644, 0) };
    let file = Kind::File { size: 0, digest: Digest::of("") };
    let below =
        vec![owned("old", file), owned("was-link", Kind::Symlink { target: b"x".to_vec() })];
    let below = View::new(vec![Arc::new(Index::new(below).unwrap())]);
    let options = ScanOptions { single_id: true, ..scan_options() };
    let layer = scan(upper.path(), &below, &options, &mut io::sink()).unwrap();
    let own =
        (fs::metadata(upper.path()).unwrap().uid(), fs::metadata(upper.path()).unwrap().gid());
    let owners: Vec<_> = layer.entries().iter().map(|entry| (entry.uid, entry.gid)).collect();
    assert_eq!(owners, [own, (7, 8), own]);
}

#[test]
fn redirected_directories_are_an_error() {
    let upper = scratch();
    fs::create_dir(upper.path().join("dir")).unwrap();
    let directory = fs::File::open(upper.path().join("dir")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::fsetxattr(&directory, "user.overlay.redirect", b"/x", flags).is_err() {
        println!("SKIPPED: no user attributes here");
        return;
    }
    let options = ScanOptions { xattrs: XattrNamespace::User, ..ScanOptions::default() };
    let result = scan(upper.path(), &View::default(), &options, &mut io::sink());
    assert!(matches!(result, Err(Error::Redirect { .. })));
}

fn text(path: &str, content: &str) -> Entry {
    let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
    Entry::new(path, kind, 0o644, 1_000_000_000)
}

struct Text(&'static str);

impl dfbuild_layer::Contents for Text {
    fn open(&self, _: &Entry) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(self.0.as_bytes()))
    }
}

#[test]
fn overlay_form() {
    let scratch = scratch();
    let below = Index::new(vec![Entry::new("lower", Kind::DIRECTORY, 0o2750, 1234)]).unwrap();
    let below = View::new(vec![Arc::new(below)]);
    let mut entries = vec![
        Entry::new("opaque", Kind::Directory { opaque: true }, 0o500, -7),
        text("opaque/file", "x"),
        Entry { mode: 0o6711, ..text("lower/file", "x") },
        text("implied/deep/file", "x"),
        Entry::whiteout("gone/deep"),
        Entry::new("link", Kind::Symlink { target: b"/etc".to_vec() }, 0o777, 5),
        Entry::new("other", Kind::HardLink { target: "lower/file".into() }, 0o644, 0),
        Entry::new("null", Kind::CharDevice { major: 1, minor: 3 }, 0o666, 5),
        Entry::new("fifo", Kind::Fifo, 0o600, 5),
    ];
    if is_root() {
        let capability = vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        entries.push(Entry { capability: Some(capability), uid: 5, ..text("capable", "x") });
    } else {
        println!("SKIPPED: owners, capabilities and devices take root");
    }
    let layer = Index::new(entries).unwrap();
    let dest = scratch.path();
    materialise(&layer, &Text("x"), dest, &below, &unpack_options()).unwrap();

    let stat = |path: &str| fs::symlink_metadata(dest.join(path)).unwrap();
    let at = |path: &str| (stat(path).mode() & 0o7777, stat(path).mtime());
    assert_eq!(at("opaque"), (0o500, -7));
    assert_eq!(at("lower"), (0o2750, 1234));
    assert_eq!(at("implied/deep"), (0o755, 0));
    assert_eq!(at("lower/file"), (0o6711, 1_000_000_000));
    assert_eq!(stat("lower/file").ino(), stat("other").ino());
    assert!(stat("gone/deep").file_type().is_char_device() && stat("gone/deep").rdev() == 0);
    assert_eq!(at("link").1, 5);
    assert!(stat("fifo").file_type().is_fifo());
    assert_eq!(stat("null").file_type().is_char_device(), is_root());
    let directory = fs::File::open(dest.join("opaque")).unwrap();
    let name = match namespace() {
        XattrNamespace::Trusted => "trusted.overlay.opaque",
        XattrNamespace::User => "user.overlay.opaque",
    };
    let mut value = [0; 4];
    assert_eq!(rustix::fs::fgetxattr(&directory, name, &mut value[..]), Ok(1));
    assert_eq!(value[0], b'y');
    if is_root() {
        // All of it, opaque and below included, scans back.
        let mut scanned = scan(dest, &below, &scan_options(), &mut io::sink()).unwrap();
        assert_eq!(scanned.get(&"capable".into()), layer.get(&"capable".into()));
        scanned = scanned.settle(&below).unwrap();
        assert_eq!(scanned.get(&"other".into()).unwrap().mode, 0o6711);
    }
    // Twice into one place is not possible: nothing is overwritten.
    assert!(materialise(&layer, &Text("x"), dest, &below, &unpack_options()).is_err());
    assert!(matches!(
        materialise(&layer, &Text("y"), common::scratch().path(), &below, &unpack_options()),
        Err(Error::Changed { .. })
    ));
}

#[test]
fn links_to_lower_layers_are_copies() {
    let scratch = scratch();
    let lower = scratch.path().join("lower");
    fs::create_dir(&lower).unwrap();
    fs::create_dir(lower.join("real")).unwrap();
    fs::write(lower.join("real/file"), "lower content").unwrap();
    symlink("real", lower.join("alias")).unwrap();
    let below = View::new(vec![Arc::new(whole(&lower))]);

    let tar = tarball(&[
        ("alias/new", tar::EntryType::Regular, "", "new"),
        ("link", tar::EntryType::Link, "alias/file", ""),
        ("alias/.wh.file", tar::EntryType::Regular, "", ""),
    ]);
    let dest = scratch.path().join("dest");
    fs::create_dir(&dest).unwrap();
    let directories = [lower.clone()];
    let contents = Layers::new(&below, &directories);
    let layer = unpack(&mut tar.as_slice(), &dest, &below, &contents, &unpack_options()).unwrap();

    assert_eq!(fs::read(dest.join("link")).unwrap(), b"lower content");
    // Hidden after it was linked to.
    assert!(fs::metadata(dest.join("real/file")).unwrap().file_type().is_char_device());
    assert_eq!(fs::read(dest.join("real/new")).unwrap(), b"new");
    assert!(fs::symlink_metadata(dest.join("alias")).is_err());
    let unsettled = index(&mut tar.as_slice(), &Limits::default()).unwrap();
    assert!(unsettled.get(&"alias/new".into()).is_some());
    assert_eq!(unsettled.settle(&below).unwrap(), layer);
    let both = tarball(&[("link", tar::EntryType::Link, "alias/file", "")]);
    let dest = scratch.path().join("both");
    fs::create_dir(&dest).unwrap();
    let layer = unpack(&mut both.as_slice(), &dest, &below, &contents, &unpack_options()).unwrap();
    let stat = |path: &str| fs::metadata(dest.join(path)).unwrap();
    assert_eq!(stat("link").ino(), stat("real/file").ino());
    let kind = Kind::HardLink { target: "link".into() };
    assert_eq!(layer.get(&"real/file".into()).unwrap().kind, kind);
    let missing = tarball(&[("link", tar::EntryType::Link, "nothing", "")]);
    let result = unpack(&mut missing.as_slice(), &dest, &below, &contents, &unpack_options());
    assert!(matches!(result, Err(Error::LinkTarget { .. })));
}

/// An archive of members (name, type, link, content), names taken as they are.
fn tarball(members: &[(&str, tar::EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, link, content) in members {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Later members against earlier ones: what is left, `path kind` each.
#[test]
fn members_replace_each_other_in_order() {
    use tar::EntryType::{Directory as Dir, Link, Regular as Reg, Symlink as Sym};
    type Members = &'static [(&'static str, tar::EntryType, &'static str, &'static str)];
    let cases: [(Members, &str); 15] = [
        (&[("a", Reg, "", "1"), ("a", Reg, "", "22")], "a:2"),
        (&[("a/", Dir, "", ""), ("a/b", Reg, "", "1"), ("a/", Dir, "", "")], "a/ a/b:1"),
        (&[("a/", Dir, "", ""), ("a/b", Reg, "", "1"), ("a", Reg, "", "1")], "a:1"),
        (&[("a/b", Reg, "", "1"), ("a", Sym, "x", "")], "a->x"),
        (&[("a", Sym, "b", ""), ("a/c", Reg, "", "1")], "a->b b/c:1"),
        (&[("a", Sym, "/b/../c", ""), ("a/d", Reg, "", "1")], "a->/b/../c c/d:1"),
        (&[("a", Sym, "../../..", ""), ("a/d", Reg, "", "1")], "a->../../.. d:1"),
        (&[("a", Sym, "b", ""), ("a", Dir, "", ""), ("a/c", Reg, "", "1")], "a/! a/c:1"),
        (&[("a", Reg, "", "1"), ("b", Link, "a", ""), ("a", Reg, "", "22")], "a:2 b:1"),
        (&[("b", Reg, "", "1"), ("a", Link, "/x/../b", "")], "a:1 b=a"),
        (&[("../../a", Reg, "", "1"), ("/b", Reg, "", "1")], "a:1 b:1"),
        (&[(".wh.a", Reg, "", ""), ("a/b", Reg, "", "1")], "a/! a/b:1"),
        (&[("a/b", Reg, "", "1"), (".wh.a", Reg, "", "")], "a/! a/b:1"),
        (&[("a/b", Reg, "", "1"), ("a/.wh..wh..opq", Reg, "", "")], "a/! a/b:1"),
        (&[("a/.wh.b", Reg, "", ""), (".wh..wh.aufs", Reg, "", "")], "a/b-"),
    ];
    for (members, expect) in cases {
        let tar = tarball(members);
        let read = index(&mut tar.as_slice(), &Limits::default()).unwrap();
        let name = |entry: &Entry| {
            let path = &entry.path.to_string()[1..];
            match &entry.kind {
                Kind::Directory { opaque } => format!("{path}/{}", if *opaque { "!" } else { "" }),
                Kind::File { size, .. } => format!("{path}:{size}"),
                Kind::Symlink { target } => format!("{path}->{}", String::from_utf8_lossy(target)),
                Kind::HardLink { target } => format!("{path}={}", &target.to_string()[1..]),
                _ => format!("{path}-"),
            }
        };
        let names: Vec<_> = read.entries().iter().map(name).collect();
        assert_eq!(names.join(" "), expect);

        let dest = scratch();
        let below = View::default();
        let options = unpack_options();
        let contents = Directory::new("/nonexistent");
        let unpacked = unpack(&mut tar.as_slice(), dest.path(), &below, &contents, &options);
        assert_eq!(unpacked.unwrap(), read, "{expect}");
        // On a view that has what is whited out, the same comes back from the disk.
        let hidden = read.entries().iter().filter(|entry| entry.kind == Kind::Whiteout);
        let hidden = hidden.map(|entry| Entry { kind: Kind::Fifo, ..entry.clone() }).collect();
        let below = View::new(vec![Arc::new(Index::new(hidden).unwrap())]);
        let scanned = scan(dest.path(), &below, &scan_options(), &mut io::sink()).unwrap();
        for entry in read.entries() {
            let mut entry = entry.clone();
            if entry.kind.is_directory() {
                entry.kind = Kind::DIRECTORY;
            }
            if is_root() {
                assert_eq!(scanned.get(&entry.path), Some(&entry), "{expect}");
            }
        }
    }
}

#[test]
fn impossible_archives_are_refused() {
    use tar::EntryType::{Directory as Dir, Link, Regular as Reg};
    for members in [
        &[("a", Reg, "", "1"), ("a/b", Reg, "", "1")][..],
        &[("a", Link, "a", "")],
        &[("a/", Dir, "", ""), ("b", Link, "a", "")],
        &[("a/b", Reg, "", ""), ("a", Link, "a/b", "")],
        &[(".wh.", Reg, "", "")],
        &[("a/.wh..", Reg, "", "")],
        &[("a/.wh...", Reg, "", "")],
        &[("a", tar::EntryType::new(b'V'), "", "")],
    ] {
        let tar = tarball(members);
        assert!(index(&mut tar.as_slice(), &Limits::default()).is_err(), "{members:?}");
    }
}

#[test]
fn limits_are_kept_while_unpacking() {
    let tar = tarball(&[("a", tar::EntryType::Regular, "", "1"); 4]);
    let limits = Limits { entries: 3, ..Limits::default() };
    let options = UnpackOptions { limits, ..unpack_options() };
    let contents = Directory::new("/nonexistent");
    let dest = scratch();
    let result = unpack(&mut tar.as_slice(), dest.path(), &View::default(), &contents, &options);
    assert!(matches!(result, Err(Error::Bomb { entries: 4 })));
}
