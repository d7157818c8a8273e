//! Archives in blocks: what is remembered of one saves work for the next, and never shows.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use common::{scratch, unpack_options, whole};
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::{
    BlobWriter, Contents, Earlier, Encoding, Error, Index, Members, Outline, Sealed, Similar, View,
    decode_blocks, diff_id, encode_blocks, materialise, pack,
};
use proptest::prelude::*;

const LEVEL: u32 = 6;

/// A layer: contents by path, and who was asked for.
#[derive(Debug, Default)]
struct Files {
    contents: BTreeMap<TreePath, Vec<u8>>,
    others: Vec<Entry>,
    opened: Mutex<Vec<TreePath>>,
}

impl Files {
    fn put(&mut self, path: &str, content: Vec<u8>) {
        self.contents.insert(path.into(), content);
    }

    fn index(&self) -> Index {
        let files = self.contents.iter().map(|(path, content)| {
            let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
            Entry::new(path.clone(), kind, 0o644, 1)
        });
        Index::new(files.chain(self.others.iter().cloned()).collect()).unwrap()
    }

    fn opened(&self) -> Vec<TreePath> {
        std::mem::take(&mut *self.opened.lock().unwrap())
    }
}

impl Contents for Files {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        self.opened.lock().unwrap().push(entry.path.clone());
        Ok(Box::new(self.contents[&entry.path].as_slice()))
    }
}

/// Something that compresses a little, the same for the same numbers.
fn content(length: usize, seed: usize) -> Vec<u8> {
    let line =
        |n: usize| format!("{:x} {}\n", n.wrapping_mul(seed + 7) % 4099, n % 17).into_bytes();
    (0..).flat_map(line).take(length).collect()
}

/// What the plain way writes.
fn plainly(files: &Files) -> (Vec<u8>, Sealed) {
    let mut writer = BlobWriter::new(Vec::new(), Encoding::Gzip(LEVEL), 1).unwrap();
    pack(&files.index(), files, &mut writer).unwrap();
    writer.finish().unwrap()
}

/// A blob with what is remembered of it, in a file.
struct Made {
    outline: Outline,
    members: Members,
    blob: File,
    bytes: Vec<u8>,
    sealed: Sealed,
}

impl Made {
    fn new((outline, sealed, members): (Outline, Sealed, Members), bytes: Vec<u8>) -> Self {
        let mut blob = tempfile::tempfile().unwrap();
        blob.write_all(&bytes).unwrap();
        Self { outline, members, blob, bytes, sealed }
    }

    fn of(files: &Files, earlier: Option<Earlier<'_>>, threads: usize) -> Self {
        let mut bytes = Vec::new();
        let made = Outline::new_packed(&files.index(), files, LEVEL, earlier, threads, &mut bytes)
            .unwrap();
        Self::new(made.unwrap(), bytes)
    }

    /// In two steps, as for a layer whose files a command waits for.
    fn in_two_steps(files: &Files, earlier: Option<Earlier<'_>>, threads: usize) -> Self {
        let index = files.index();
        let known = earlier.map(|earlier| earlier.outline);
        let outline = Outline::new(&index, files, known, threads).unwrap().unwrap();
        let mut bytes = Vec::new();
        let packed = outline.pack(&index, files, LEVEL, earlier, threads, &mut bytes).unwrap();
        let (sealed, members) = packed.unwrap();
        Self::new((outline, sealed, members), bytes)
    }

    fn earlier(&self) -> Earlier<'_> {
        Earlier { outline: &self.outline, blob: Some((&self.members, &self.blob)) }
    }

    fn check(&self, files: &Files) {
        let (bytes, sealed) = plainly(files);
        assert_eq!(self.sealed, sealed);
        assert!(self.bytes == bytes);
        assert_eq!(self.outline.diff_id(), diff_id(&files.index(), files).unwrap());
    }
}

/// A tree of many small files, some large ones, and members of other kinds with long names.
fn tree(count: usize, large: &[usize]) -> Files {
    let mut files = Files::default();
    for number in 0..count {
        files.put(&format!("d{}/f{number}", number % 7), content(number * 37 % 9000, number));
    }
    for (number, length) in large.iter().enumerate() {
        files.put(&format!("d{number}/large"), content(*length, number));
    }
    let long = TreePath::new("l".repeat(130));
    files.others.push(Entry::new(long.clone(), Kind::Directory { opaque: true }, 0o755, 1));
    files.others.push(Entry::whiteout(long.join(b"gone")));
    files.others.push(Entry::new("link", Kind::HardLink { target: "d0/f0".into() }, 0o644, 1));
    files
}

/// A change of a tree.
#[derive(Debug, Clone)]
enum Change {
    Content(usize, usize),
    Add(String, usize),
    Remove(usize),
    Grow(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 0..20_000_usize).prop_map(|(at, length)| Change::Content(at, length)),
        ("d[0-9]/[a-z]{1,3}", 0..700_000_usize)
            .prop_map(|(name, length)| Change::Add(name, length)),
        any::<usize>().prop_map(Change::Remove),
        any::<usize>().prop_map(Change::Grow),
    ]
}

fn apply(files: &mut Files, change: &Change) {
    let at = |at: &usize| files.contents.keys().nth(at % files.contents.len()).cloned().unwrap();
    // The target of the hard link stays.
    let keep = TreePath::from("d0/f0");
    match change {
        Change::Content(n, length) => {
            let path = at(n);
            files.contents.insert(path, content(*length, *n % 1000));
        }
        Change::Add(name, length) => files.put(name, content(*length, 3)),
        Change::Remove(n) => {
            let path = at(n);
            if path != keep {
                files.contents.remove(&path);
            }
        }
        Change::Grow(n) => {
            let path = at(n);
            files.contents.get_mut(&path).unwrap().extend_from_slice(&content(600_000, 5));
        }
    }
}

/// What a layer looks like that was placed with its outline.
fn placed(
    files: &Files,
    dest: &Path,
    earlier: Option<&Outline>,
    similar: Option<&Similar<'_>>,
) -> Outline {
    let (view, options) = (View::default(), unpack_options());
    Outline::new_placed(&files.index(), files, (dest, &view), &options, (earlier, similar), 2)
        .unwrap()
        .unwrap()
}

#[test]
fn a_layer_is_placed_as_the_plain_way_does() {
    let mut files = tree(700, &[2_500_000, 70_000]);
    let [plain, first, second] = [scratch(), scratch(), scratch()];
    let materialised = |files: &Files, dest: &Path| {
        materialise(&files.index(), files, dest, &View::default(), &unpack_options()).unwrap();
        whole(dest)
    };
    let outline = placed(&files, first.path(), None, None);
    assert_eq!(whole(first.path()), materialised(&files, plain.path()));
    assert_eq!(Some(&outline), Outline::new(&files.index(), &files, None, 1).unwrap().as_ref());

    // The next one shares what did not change.
    let index = files.index();
    let similar = Similar::new(&index, first.path());
    files.put("d3/f10", content(5000, 77));
    files.put("new/file", content(10, 1));
    files.contents.remove(&"d1/f8".into());
    files.opened();
    let next = placed(&files, second.path(), Some(&outline), Some(&similar));
    assert!(files.opened().len() < 650);
    let plain = scratch();
    assert_eq!(whole(second.path()), materialised(&files, plain.path()));
    assert_eq!(Some(&next), Outline::new(&files.index(), &files, None, 1).unwrap().as_ref());
    let inode = |root: &Path, path: &str| fs::metadata(root.join(path)).unwrap().ino();
    assert_eq!(inode(first.path(), "d2/f2"), inode(second.path(), "d2/f2"));
    // One with several names of its own keeps them to itself.
    assert_ne!(inode(first.path(), "d0/f0"), inode(second.path(), "d0/f0"));

    // A folder that lost a file, or is gone, costs time only.
    fs::remove_file(first.path().join("d2/f2")).unwrap();
    fs::remove_dir_all(first.path().join("d4")).unwrap();
    let third = scratch();
    placed(&files, third.path(), Some(&outline), Some(&similar));
    assert_eq!(whole(third.path()), whole(second.path()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn the_bytes_are_those_of_the_plain_way(
        count in 1..400_usize,
        large in prop::collection::vec(0..2_500_000_usize, 0..2),
        changes in prop::collection::vec(change(), 1..4),
        threads in 1..4_usize,
    ) {
        let mut files = tree(count, &large);
        let mut made = Made::of(&files, None, threads);
        made.check(&files);
        for change in &changes {
            apply(&mut files, change);
            let next = Made::of(&files, Some(made.earlier()), threads);
            next.check(&files);
            let other = Made::in_two_steps(&files, Some(made.earlier()), threads);
            prop_assert!(other.bytes == next.bytes);
            prop_assert_eq!(&other.outline, &next.outline);
            made = next;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn no_damage_of_what_is_remembered_shows(
        changes in prop::collection::vec(change(), 0..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..30),
        length in prop::option::of(any::<prop::sample::Index>()),
        place in any::<prop::sample::Index>(),
    ) {
        let mut files = tree(300, &[1_500_000]);
        let made = Made::of(&files, None, 2);
        // Notes that were torn or changed are none.
        let mut notes = encode_blocks(&made.outline, Some(&made.members));
        let at = place.index(notes.len());
        prop_assert!(decode_blocks(&notes[..at]).is_none());
        notes[at] ^= flips[0].1;
        prop_assert!(decode_blocks(&notes).is_none());
        // Of the blob they speak of, what is still the same is taken.
        let mut damaged = made.bytes.clone();
        for (at, with) in &flips {
            let at = at.index(damaged.len());
            damaged[at] ^= with;
        }
        if let Some(length) = length {
            damaged.truncate(length.index(damaged.len()));
        }
        let mut blob = tempfile::tempfile().unwrap();
        blob.write_all(&damaged).unwrap();
        for change in &changes {
            apply(&mut files, change);
        }
        let earlier = Earlier { outline: &made.outline, blob: Some((&made.members, &blob)) };
        Made::of(&files, Some(earlier), 2).check(&files);
        Made::in_two_steps(&files, Some(earlier), 2).check(&files);
    }
}

#[test]
fn only_what_changed_is_read_and_compressed() {
    let mut files = tree(2000, &[]);
    let made = Made::of(&files, None, 2);
    // The last file in the order of the archive.
    let last = TreePath::from("d6/f993");
    assert!(files.contents.contains_key(&last));
    files.contents.insert(last.clone(), b"new".to_vec());
    files.opened();
    let next = Made::of(&files, Some(made.earlier()), 2);
    let opened = files.opened();
    assert!(opened.contains(&last) && opened.len() < 400, "{}", opened.len());
    next.check(&files);
}

#[test]
fn damage_of_what_is_remembered_does_not_spread() {
    let mut files = tree(600, &[]);
    let made = Made::of(&files, None, 2);
    let mut damaged = made.bytes.clone();
    for at in (0..damaged.len()).step_by(100_000) {
        damaged[at] ^= 1;
    }
    let mut blob = tempfile::tempfile().unwrap();
    blob.write_all(&damaged).unwrap();
    files.put("d3/more", b"x".to_vec());
    let earlier = Earlier { outline: &made.outline, blob: Some((&made.members, &blob)) };
    Made::of(&files, Some(earlier), 2).check(&files);
    // Nor does one that is cut off.
    blob.set_len(1000).unwrap();
    Made::in_two_steps(&files, Some(earlier), 2).check(&files);
}

#[test]
fn a_file_that_is_not_what_its_entry_says_is_an_error() {
    let mut files = tree(50, &[2_500_000]);
    let index = files.index();
    let made = Made::of(&files, None, 2);
    for (path, at) in [("d3/f3", 0), ("d0/large", 0), ("d0/large", 2_400_000)] {
        let good = files.contents[&path.into()].clone();
        files.contents.get_mut(&path.into()).unwrap()[at] ^= 1;
        for known in [None, Some(&made.outline)] {
            // Up to the first difference nothing is read.
            let first = Index::new(
                index
                    .entries()
                    .iter()
                    .cloned()
                    .chain([Entry::new("a", Kind::Fifo, 0, 0)])
                    .collect(),
            );
            let error = Outline::new(&first.unwrap(), &files, known, 2).unwrap_err();
            assert!(
                matches!(&error, Error::Changed { path: found } if *found == path.into()),
                "{error}"
            );
        }
        files.contents.insert(path.into(), good);
    }
    // Longer or shorter than it was.
    for length in [2, 200] {
        files.put("d3/f3", content(length, 3));
        let error = Outline::new(&index, &files, None, 2).unwrap_err();
        assert!(matches!(&error, Error::Changed { path } if *path == "d3/f3".into()), "{error}");
    }
    files.put("d3/f3", content(3 * 37, 4));
    let packed = made.outline.pack(&index, &files, LEVEL, None, 2, &mut Vec::new());
    assert!(matches!(packed, Err(Error::Changed { path }) if path == "d3/f3".into()));
}

#[test]
fn what_is_remembered_survives_a_round_trip_and_nothing_else() {
    let made = Made::of(&tree(30, &[]), None, 1);
    let mut bytes = encode_blocks(&made.outline, Some(&made.members));
    let (outline, members) = decode_blocks(&bytes).unwrap();
    assert_eq!((&outline, members.as_ref()), (&made.outline, Some(&made.members)));
    assert_eq!(members.unwrap().blob(), made.sealed.blob_digest);
    *bytes.last_mut().unwrap() ^= 1;
    assert!(decode_blocks(&bytes).is_none());
    assert!(decode_blocks(b"").is_none());
}

#[test]
fn one_changed_file_costs_one_block() {
    let mut files = tree(3000, &[]);
    let before = Made::of(&files, None, 2);
    let at = |bytes: &[u8]| bytes.windows(4).filter(|four| *four == [0x1f, 0x8b, 8, 0]).count();
    assert!(at(&before.bytes) > 10);
    files.put("d3/f10", content(5000, 77));
    let after = Made::of(&files, None, 2);
    let same_at_start = before.bytes.iter().zip(&after.bytes).take_while(|(a, b)| a == b).count();
    let ends = before.bytes.iter().rev().zip(after.bytes.iter().rev());
    let same_at_end = ends.take_while(|(a, b)| a == b).count();
    let changed = after.bytes.len() - same_at_start - same_at_end;
    assert!(changed < after.bytes.len() / 8, "{changed} of {}", after.bytes.len());
}
