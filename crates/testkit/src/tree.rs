use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What may differ between two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differ {
    /// Nothing.
    Nothing,
    /// The owners: an ordinary user cannot give files away.
    Owners,
}

/// Compares two trees by names, types, modes, owners, sizes, times, links, devices, hard links and
/// content. One line for each difference.
///
/// # Panics
/// When a file cannot be read.
pub fn differences(left: &Path, right: &Path, may: Differ) -> Vec<String> {
    let (left_names, right_names) = (names(left), names(right));
    let mut found: Vec<String> = Vec::new();
    for (name, metadata) in &left_names {
        match right_names.get(name) {
            None => found.push(format!("{}: only in {}", name.display(), left.display())),
            Some(other) => {
                let (a, b) = (describe(left, name, metadata), describe(right, name, other));
                let owners = |of: &Metadata| (of.uid(), of.gid());
                if a != b {
                    found.push(format!("{}: {a} and {b}", name.display()));
                } else if may == Differ::Nothing && owners(metadata) != owners(other) {
                    let (a, b) = (owners(metadata), owners(other));
                    found.push(format!("{}: owners {a:?} and {b:?}", name.display()));
                } else if metadata.is_file() && read(left, name) != read(right, name) {
                    found.push(format!("{}: contents differ", name.display()));
                }
            }
        }
    }
    let only = right_names.keys().filter(|name| !left_names.contains_key(*name));
    found.extend(only.map(|name| format!("{}: only in {}", name.display(), right.display())));
    found
}

/// The files below a folder whose names end in `.extension`, sorted.
///
/// # Panics
/// When a folder cannot be read.
pub fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let names = names(folder).into_iter().filter(|(_, metadata)| !metadata.is_dir());
    let ends = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    names.map(|(name, _)| folder.join(name)).filter(ends).collect()
}

fn names(root: &Path) -> BTreeMap<PathBuf, Metadata> {
    let mut all = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let entries = fs::read_dir(&path);
        for entry in entries.unwrap_or_else(|error| panic!("read {}: {error}", path.display())) {
            let entry = entry.expect("a folder of the test can be read");
            let metadata = entry.metadata().expect("a file of the test can be looked at");
            let name = folder.join(entry.file_name());
            if metadata.is_dir() {
                folders.push(name.clone());
            }
            all.insert(name, metadata);
        }
    }
    all
}

/// All but owners and content, as one text to compare and to show.
fn describe(root: &Path, name: &Path, metadata: &Metadata) -> String {
    let kind = metadata.file_type();
    let what = if kind.is_dir() {
        "folder".to_owned()
    } else if kind.is_symlink() {
        let target = fs::read_link(root.join(name)).expect("a link of the test can be read");
        format!("link to {}", target.display())
    } else if kind.is_file() {
        format!("file of {} bytes with {} links", metadata.len(), metadata.nlink())
    } else if kind.is_block_device() || kind.is_char_device() {
        format!("device {:x}", metadata.rdev())
    } else {
        format!("{kind:?}")
    };
    format!("{what}, mode {:o}, time {}", metadata.mode() & 0o7777, metadata.mtime())
}

fn read(root: &Path, name: &Path) -> Vec<u8> {
    let path = root.join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}
