//! Whether all built the same thing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// What builders put into an image that nobody asked for: places for mounts.
const MOUNT_POINTS: [&str; 10] = [
    "dev",
    "proc",
    "sys",
    "etc",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/hostname",
    "etc/mtab",
    "run",
    ".dockerenv",
];

/// What is in a folder, by path: kind, mode and content. Times and owners are left out.
pub(crate) fn tree(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut walk = WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let name = path.to_string_lossy().into_owned();
        if MOUNT_POINTS.contains(&name.as_str()) {
            if entry.file_type().is_dir() && name != "etc" {
                walk.skip_current_dir();
            }
            continue;
        }
        found.insert(name, describe(entry.path(), entry.file_type())?);
    }
    Ok(found)
}

fn describe(path: &Path, kind: fs::FileType) -> io::Result<String> {
    if kind.is_symlink() {
        return Ok(format!("link to {}", fs::read_link(path)?.display()));
    }
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if kind.is_file() {
        let digest = Sha256::digest(fs::read(path)?);
        return Ok(format!("file {mode:o} {digest:02x?}"));
    }
    let name = match kind {
        kind if kind.is_dir() => "directory",
        kind if kind.is_fifo() => "fifo",
        _ => "device",
    };
    Ok(format!("{name} {mode:o}"))
}

/// The first few differences of two trees.
pub(crate) fn differences(
    one: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
) -> Vec<String> {
    let missing = |name: &str| format!("{name} is missing");
    let mut all: Vec<String> = one
        .iter()
        .filter_map(|(name, value)| match other.get(name) {
            Some(found) if found == value => None,
            Some(found) => Some(format!("{name}: {value} and {found}")),
            None => Some(missing(name)),
        })
        .collect();
    all.extend(other.keys().filter(|name| !one.contains_key(*name)).map(|name| missing(name)));
    all.truncate(5);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_differs_and_nothing_else() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&one, &two] {
            fs::write(folder.path().join("same"), "x").unwrap();
            fs::create_dir(folder.path().join("proc")).unwrap();
        }
        fs::write(one.path().join("proc/ignored"), "x").unwrap();
        let trees = || (tree(one.path()).unwrap(), tree(two.path()).unwrap());
        let (a, b) = trees();
        assert_eq!(differences(&a, &b), [] as [String; 0]);
        fs::write(one.path().join("same"), "y").unwrap();
        fs::write(two.path().join("more"), "").unwrap();
        let (a, b) = trees();
        let found = differences(&a, &b);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("same: ") && found[1] == "more is missing");
    }
}
