use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dfbuild_image::Digest;

use crate::error::{Error, IoContext};
use crate::files::read_checked;
use crate::stamps::used;
use crate::store::Store;

/// How many runs of a step are remembered.
const HISTORY: usize = 8;

/// Small things under their own digests, which explain records: what steps depended on, and the
/// folders that they read. Nothing else needs them, so they are not synced, and any of them may be
/// removed at any time.
impl Store {
    /// Whether an object is there.
    pub fn has_object(&self, digest: &Digest) -> bool {
        let path = self.object_path(digest);
        let there = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
        if let Some(there) = &there {
            used(&path, there);
        }
        there.is_some()
    }

    /// The bytes of an object. A damaged one is removed and counts as missing.
    pub fn object(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.object_path(digest);
        let bytes = fs::read(&path).ok()?;
        if Digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        // Where it cannot be removed it is found to be damaged again.
        let _ = fs::remove_file(&path);
        None
    }

    /// Keeps an object. It is written in place: whoever reads a part of it sees that by its digest.
    pub fn put_object(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.object_path(digest);
        let length = bytes.len() as u64;
        if let Some(there) = fs::metadata(&path).ok().filter(|there| there.len() == length) {
            used(&path, &there);
            return Ok(());
        }
        self.grew(length);
        let written = match fs::write(&path, bytes) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_parent(&path)?;
                fs::write(&path, bytes)
            }
            written => written,
        };
        written.context("write", &path)
    }

    /// The objects that tell of the runs of a step, the youngest first.
    pub fn history(&self, step: &Digest) -> Vec<Digest> {
        let bytes = read_checked(&self.history_path(step)).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Whether any run of a step is remembered.
    pub fn has_history(&self, step: &Digest) -> bool {
        self.history_path(step).is_file()
    }

    /// Adds the object that tells of another run. Of two processes that do so at the same time the
    /// last one counts.
    pub fn add_history(&self, step: &Digest, object: Digest) -> Result<(), Error> {
        let mut objects = self.history(step);
        objects.retain(|known| *known != object);
        objects.insert(0, object);
        objects.truncate(HISTORY);
        let lines: Vec<String> = objects.iter().map(ToString::to_string).collect();
        let path = self.history_path(step);
        self.write_checked(&path, lines.join("\n").as_bytes())
    }

    fn object_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.path("objects").join(&hex[..2]).join(hex)
    }

    fn history_path(&self, step: &Digest) -> PathBuf {
        let hex = step.hex();
        self.path("history").join(&hex[..2]).join(hex)
    }
}

fn create_parent(path: &Path) -> Result<(), Error> {
    let folder = path.parent().expect("an object is in a folder");
    fs::create_dir_all(folder).context("create", folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_object_is_missing_and_made_again() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let digest = Digest::of("object");
        store.put_object(&digest, b"object").unwrap();
        assert_eq!(store.object(&digest).as_deref(), Some(&b"object"[..]));
        fs::write(store.object_path(&digest), "obj").unwrap();
        store.put_object(&digest, b"object").unwrap();
        assert!(store.has_object(&digest));
        fs::write(store.object_path(&digest), "objekt").unwrap();
        assert_eq!(store.object(&digest), None);
        assert!(!store.has_object(&digest));
    }

    #[test]
    fn the_youngest_runs_are_remembered() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let step = Digest::of("step");
        let runs: Vec<Digest> = (0..10).map(|run| Digest::of([run])).collect();
        for run in runs.iter().chain([&runs[5]]) {
            store.add_history(&step, *run).unwrap();
        }
        assert!(store.has_history(&step) && !store.has_history(&Digest::of("other")));
        let known = store.history(&step);
        assert_eq!((known.len(), known[0], known[1]), (8, runs[5], runs[9]));
    }
}
