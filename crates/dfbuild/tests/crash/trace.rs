//! What is named when, and what is synced by then.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use dfbuild_cache::Record;
use dfbuild_image::Digest;
use dfbuild_store::Change;

/// When things of a store got their names, and when everything was synced.
#[derive(Default)]
pub(crate) struct Trace {
    now: usize,
    named: HashMap<PathBuf, usize>,
    synced: usize,
    /// Files and folders that were synced by themselves.
    pub(crate) files: HashMap<PathBuf, usize>,
    /// How many things were promised that this process made.
    pub(crate) promises: usize,
}

impl Trace {
    /// Takes the next change of the store at `root`.
    ///
    /// # Panics
    /// When it promises what could still be lost.
    pub(crate) fn note(&mut self, root: &Path, change: &Change) {
        self.now += 1;
        match change {
            Change::SyncAll => self.synced = self.now,
            Change::Sync(path) => {
                self.files.insert(path.clone(), self.now);
            }
            Change::Rename { from, to } => {
                if let Ok(name) = to.strip_prefix(root) {
                    self.check_promise(root, from, name);
                }
                self.named.insert(to.clone(), self.now);
            }
            _ => {}
        }
    }

    /// What a file that is about to get its name promises must last by now.
    fn check_promise(&mut self, root: &Path, from: &Path, name: &Path) {
        let promised = if name.starts_with("records") {
            promised_by_record(root, &fs::read(from).unwrap())
        } else if name.extension().is_some_and(|end| end == "ok") {
            let text = fs::read_to_string(from).unwrap();
            vec![root.join(name).with_file_name(text.lines().next().unwrap())]
        } else if name.starts_with("tags") {
            assert!(self.files.contains_key(from), "a tag is synced before it gets its name");
            promised_by_tag(root, &fs::read(from).unwrap())
        } else {
            return;
        };
        assert!(!promised.is_empty(), "{} promises nothing", name.display());
        for path in promised {
            let named = self.named.get(&path).copied();
            // Of an earlier process it lasted before.
            assert!(
                named.is_none_or(|named| named < self.synced),
                "{} is promised by {} and not synced",
                path.display(),
                name.display()
            );
            self.promises += usize::from(named.is_some());
        }
    }
}

/// The body of a file that begins with its own digest.
fn body(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    &bytes[end + 1..]
}

/// What is there of the layer of a record.
fn promised_by_record(root: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let of_step = Record::decode(body(bytes)).map(|record| record.layer.diff_id);
    let diff_id: Digest = of_step.unwrap_or_else(|| {
        let derived: serde_json::Value = serde_json::from_slice(body(bytes)).unwrap();
        derived["diff_id"].as_str().unwrap().parse().unwrap()
    });
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join("layers").join(diff_id.hex())).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("blob.") {
            let blob: serde_json::Value =
                serde_json::from_slice(body(&fs::read(&path).unwrap())).unwrap();
            paths.push(blob_path(root, &blob));
        }
        paths.push(path);
    }
    for flavour in fs::read_dir(root.join("snapshots")).unwrap() {
        let folders = fs::read_dir(flavour.unwrap().path()).unwrap().map(|it| it.unwrap().path());
        let name = diff_id.hex();
        paths.extend(
            folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)),
        );
    }
    paths.retain(|path| path.extension().is_none_or(|end| end != "ok"));
    paths
}

fn promised_by_tag(root: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let tag: serde_json::Value = serde_json::from_slice(body(bytes)).unwrap();
    let manifest = blob_path(root, &tag["descriptor"]);
    let document: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let layers = document["layers"].as_array().unwrap().iter();
    let blobs = layers.chain([&document["config"]]).map(|blob| blob_path(root, blob));
    blobs.chain([manifest]).collect()
}

fn blob_path(root: &Path, descriptor: &serde_json::Value) -> PathBuf {
    let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
    root.join("blobs/sha256").join(digest.hex())
}
