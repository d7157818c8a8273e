//! Properties of random trees and random commands.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Overlay, flat, is_root, scan_options, scratch, unpack_options, whole};
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::in_place::{self, Baseline};
use dfbuild_layer::upper::scan;
use dfbuild_layer::{Contents, Directory, Index, Limits, View};
use dfbuild_layer::{apply, index, materialise, pack, unpack};
use proptest::prelude::*;

/// Contents by digest.
#[derive(Debug)]
struct Blobs(BTreeMap<Digest, Vec<u8>>);

impl Contents for Blobs {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        let Kind::File { digest, .. } = entry.kind else { return Err(io::ErrorKind::Other.into()) };
        Ok(Box::new(self.0[&digest].as_slice()))
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => Just(b"a-b".to_vec()),
        1 => Just("\u{e9}\u{fc}".as_bytes().to_vec()),
        1 => Just(b"x\xff\ny".to_vec()),
        1 => Just(vec![b'l'; 120]),
    ]
}

fn path() -> impl Strategy<Value = TreePath> {
    prop::collection::vec(name(), 1..4).prop_map(|names| TreePath::new(names.join(&b'/')))
}

fn kind() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    prop_oneof![
        3 => Just((Kind::DIRECTORY, vec![])),
        4 => prop::collection::vec(any::<u8>(), 0..2000).prop_map(|content| {
            let size = content.len() as u64;
            (Kind::File { size, digest: Digest::of(&content) }, content)
        }),
        1 => prop::collection::vec(1..=255_u8, 1..200)
            .prop_map(|target| (Kind::Symlink { target }, vec![])),
        1 => path().prop_map(|target| (Kind::HardLink { target }, vec![])),
        1 => Just((Kind::Fifo, vec![])),
        1 => Just((Kind::CharDevice { major: 1, minor: 5 }, vec![])),
        1 => Just((Kind::Whiteout, vec![])),
    ]
}

/// Layers as they may come: of the impossible entries, those that can stay stay.
fn layer() -> impl Strategy<Value = (Index, Blobs)> {
    let ids = prop_oneof![Just(0_u32), 1..100_000_u32, Just(3_000_000)];
    let times = prop_oneof![Just(0_i64), -100_000..2_000_000_000_i64];
    let entry = (path(), kind(), 0..0o1_0000_u32, ids.clone(), ids, times);
    prop::collection::vec(entry, 0..30).prop_map(|raw| {
        let mut entries: BTreeMap<TreePath, Entry> = BTreeMap::new();
        let mut blobs = BTreeMap::new();
        for (path, (kind, content), mode, uid, gid, mtime) in raw {
            let blocked = path.ancestors().any(|ancestor| {
                entries.get(&ancestor).is_some_and(|entry| !entry.kind.is_directory())
            });
            let holds = entries.keys().any(|other| other.starts_with(&path));
            let is_file = |target: &TreePath| {
                entries.get(target).is_some_and(|entry| matches!(entry.kind, Kind::File { .. }))
            };
            let possible = match &kind {
                Kind::HardLink { target } => is_file(target),
                Kind::CharDevice { .. } => is_root(),
                _ => true,
            };
            if blocked || holds || !possible {
                continue;
            }
            if let Kind::File { digest, .. } = kind {
                blobs.insert(digest, content);
            }
            let mut entry = Entry { uid, gid, ..Entry::new(path.clone(), kind, mode, mtime) };
            match entry.kind {
                Kind::Symlink { .. } => entry.mode = 0o777,
                Kind::Whiteout => entry = Entry::whiteout(path.clone()),
                _ => {}
            }
            entries.insert(path, entry);
        }
        (Index::new(entries.into_values().collect()).unwrap(), Blobs(blobs))
    })
}

/// Layers whose whiteouts have something to hide.
fn beneath(layer: &Index) -> View {
    let hidden = layer.entries().iter().filter(|entry| entry.kind == Kind::Whiteout);
    let hidden = hidden.map(|entry| Entry { kind: Kind::Fifo, ..entry.clone() }).collect();
    View::new(vec![Arc::new(Index::new(hidden).unwrap())])
}

/// The entries of `layer` with those directories that it has to have on a disk.
fn with_parents(layer: &Index, below: &View) -> Vec<Entry> {
    let view = View::new(vec![Arc::clone(&below.layers()[0]), Arc::new(layer.clone())]);
    let mut all: BTreeMap<TreePath, Entry> = BTreeMap::new();
    for entry in layer.entries() {
        for parent in entry.path.ancestors() {
            let found = view.get(&parent).unwrap();
            all.insert(parent, found.entry.clone());
        }
        all.insert(entry.path.clone(), entry.clone());
    }
    all.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn indexes_survive_encoding((layer, _) in layer()) {
        let decoded = Index::decode(&layer.encode()).unwrap();
        prop_assert_eq!(decoded.content_id(), layer.content_id());
        prop_assert_eq!(decoded, layer);
    }

    #[test]
    fn archives_read_back((layer, blobs) in layer()) {
        let mut tar = Vec::new();
        pack(&layer, &blobs, &mut tar).unwrap();
        prop_assert_eq!(tar.len() % 512, 0);
        let read = index(&mut tar.as_slice(), &Limits::default()).unwrap();
        prop_assert_eq!(read, layer);
    }

    #[test]
    fn damage_never_panics((layer, blobs) in layer(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut tar = Vec::new();
        pack(&layer, &blobs, &mut tar).unwrap();
        let at = at.index(tar.len());
        tar[at] ^= 1_u8 << bit;
        // The checksum covers headers; repair it, so that the damage gets further.
        let block = at / 512 * 512;
        let sum: u32 = (block..block + 512)
            .map(|at| if (148..156).contains(&(at % 512)) { 32 } else { u32::from(tar[at]) })
            .sum();
        tar[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let _ = index(&mut tar.as_slice(), &Limits::default());
        let dest = scratch();
        let contents = Directory::new("/nonexistent");
        let _ = unpack(&mut tar.as_slice(), dest.path(), &View::default(), &contents, &unpack_options());
    }

    #[test]
    fn layers_come_back_from_disk((layer, blobs) in layer()) {
        if !is_root() {
            println!("SKIPPED: owners take root");
            return Ok(());
        }
        let below = beneath(&layer);
        let dest = scratch();
        let mut tar = Vec::new();
        pack(&layer, &blobs, &mut tar).unwrap();
        let contents = Directory::new("/nonexistent");
        let unpacked =
            unpack(&mut tar.as_slice(), dest.path(), &below, &contents, &unpack_options()).unwrap();
        prop_assert_eq!(&unpacked, &layer);
        let scanned = scan(dest.path(), &below, &scan_options(), &mut io::sink()).unwrap();
        prop_assert_eq!(scanned.entries(), with_parents(&layer, &below));

        let again = scratch();
        materialise(&layer, &blobs, again.path(), &below, &unpack_options()).unwrap();
        let rescanned = scan(again.path(), &below, &scan_options(), &mut io::sink()).unwrap();
        prop_assert_eq!(rescanned, scanned);
    }

    #[test]
    fn views_agree_with_overlayfs(
        first in prop::collection::vec(step(), 1..20),
        second in prop::collection::vec(step(), 1..20),
        third in prop::collection::vec(step(), 1..20),
    ) {
        if !is_root() {
            println!("SKIPPED: mounting overlays takes root");
            return Ok(());
        }
        let scratch = scratch();
        let mut directories: Vec<PathBuf> = vec![scratch.path().join("0")];
        fs::create_dir(&directories[0]).unwrap();
        run(&directories[0], &first);
        let mut layers = vec![Arc::new(whole(&directories[0]))];
        for (number, steps) in [second, third].iter().enumerate() {
            let scratch = scratch.path().join(format!("mount{number}"));
            let below = View::new(layers.clone());
            let Some(overlay) = Overlay::mount(&scratch, &directories) else { return Ok(()) };
            run(&overlay.merged, steps);
            let mut tar = Vec::new();
            let layer = scan(&overlay.upper, &below, &scan_options(), &mut tar).unwrap();
            prop_assert_eq!(&index(&mut tar.as_slice(), &Limits::default()).unwrap(), &layer);
            prop_assert!(!layer.needs_below());
            layers.push(Arc::new(layer));
            let view = View::new(layers.clone());
            let merged = View::new(vec![Arc::new(whole(&overlay.merged))]);
            prop_assert_eq!(flat(&view, &TreePath::ROOT), flat(&merged, &TreePath::ROOT));

            // The layer unpacked stands for the upper directory it came from.
            let dest = scratch.join("unpacked");
            fs::create_dir(&dest).unwrap();
            let contents = Directory::new("/nonexistent");
            unpack(&mut tar.as_slice(), &dest, &below, &contents, &unpack_options()).unwrap();
            directories.push(dest);
        }
        let again = scratch.path().join("again");
        let Some(overlay) = Overlay::mount(&again, &directories) else { return Ok(()) };
        let merged = View::new(vec![Arc::new(whole(&overlay.merged))]);
        prop_assert_eq!(flat(&View::new(layers), &TreePath::ROOT), flat(&merged, &TreePath::ROOT));
    }

    #[test]
    fn commands_change_the_same_with_and_without_overlayfs(
        mut first in prop::collection::vec(step(), 1..30),
        second in prop::collection::vec(step(), 1..20),
    ) {
        if !is_root() {
            println!("SKIPPED: mounting overlays takes root");
            return Ok(());
        }
        // Overlays take the links of their layers apart.
        first.retain(|step| !matches!(step, Step::Link(..)));
        let scratch = scratch();
        let [made, lower, tree, grown] = ["made", "lower", "tree", "grown"].map(|name| {
            let folder = scratch.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        });
        run(&made, &first);
        // Nothing in the base is as young as what a command makes.
        let entries = whole(&made).entries().iter().map(|e| Entry { mtime: 7, ..e.clone() }).collect();
        let base = Index::new(entries).unwrap();
        for dest in [&lower, &tree, &grown] {
            materialise(&base, &Directory::new(&made), dest, &View::default(), &unpack_options()).unwrap();
        }
        let below = View::new(vec![Arc::new(base)]);
        let Some(overlay) = Overlay::mount(scratch.path(), &[lower]) else { return Ok(()) };
        let before = Baseline::take(&tree).unwrap();
        for root in [&overlay.merged, &tree] {
            // An overlay refuses to move a directory of a layer; programs copy it then.
            let moves_directory = |step: &Step| match step {
                Step::Move(from, _) => from.below(root).is_dir(),
                _ => false,
            };
            for step in &second {
                if !moves_directory(step) {
                    run(root, std::slice::from_ref(step));
                }
            }
        }
        let layer = scan(&overlay.upper, &below, &scan_options(), &mut io::sink()).unwrap();
        let mut tar = Vec::new();
        let same = in_place::scan(&tree, &before, &below, &scan_options(), &mut tar).unwrap();
        let timeless = |index: &Index| -> Vec<Entry> {
            index.entries().iter().map(|e| Entry { mtime: 0, ..e.clone() }).collect()
        };
        prop_assert_eq!(timeless(&same), timeless(&layer));
        prop_assert_eq!(same.content_id(), layer.content_id());
        prop_assert_eq!(&index(&mut tar.as_slice(), &Limits::default()).unwrap(), &same);

        // The layer put on the base is the tree that the command left.
        apply(&same, &Directory::new(&tree), &grown, &below, &unpack_options()).unwrap();
        let [left, grown] = [&tree, &grown].map(|root| View::new(vec![Arc::new(whole(root))]));
        prop_assert_eq!(flat(&grown, &TreePath::ROOT), flat(&left, &TreePath::ROOT));
    }
}

/// Something a command does.
#[derive(Debug, Clone)]
enum Step {
    Write(TreePath, u8),
    MakeDirectory(TreePath),
    Remove(TreePath),
    Move(TreePath, TreePath),
    Link(TreePath, TreePath),
    Symlink(TreePath),
    Mode(TreePath, u32),
    Owner(TreePath, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let path =
        || prop::collection::vec("[a-c]", 1..4).prop_map(|names| TreePath::new(names.join("/")));
    prop_oneof![
        4 => (path(), any::<u8>()).prop_map(|(path, byte)| Step::Write(path, byte)),
        4 => path().prop_map(Step::MakeDirectory),
        3 => path().prop_map(Step::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Step::Move(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        1 => path().prop_map(Step::Symlink),
        1 => (path(), 0..0o1000_u32).prop_map(|(path, mode)| Step::Mode(path, mode)),
        1 => (path(), 0..3_u32).prop_map(|(path, id)| Step::Owner(path, id)),
    ]
}

/// Does each step that can be done.
fn run(root: &Path, steps: &[Step]) {
    let at = |path: &TreePath| path.below(root);
    let is_link = |path: &TreePath| at(path).is_symlink();
    for step in steps {
        let _: io::Result<()> = match step {
            Step::Write(path, _) if is_link(path) => Ok(()),
            Step::Write(path, byte) => fs::write(at(path), vec![*byte; usize::from(*byte)]),
            Step::MakeDirectory(path) => fs::create_dir_all(at(path)),
            Step::Remove(path) if at(path).is_dir() && !is_link(path) => {
                fs::remove_dir_all(at(path))
            }
            Step::Remove(path) => fs::remove_file(at(path)),
            Step::Move(from, to) => fs::rename(at(from), at(to)),
            Step::Link(from, to) => fs::hard_link(at(from), at(to)),
            Step::Symlink(path) => symlink("a/b", at(path)),
            Step::Mode(path, _) if is_link(path) => Ok(()),
            Step::Mode(path, mode) => {
                fs::set_permissions(at(path), fs::Permissions::from_mode(*mode))
            }
            Step::Owner(path, id) => lchown(at(path), Some(*id), None),
        };
    }
}
