use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use dfbuild_image::Digest;

use crate::error::{Error, IoContext};
use crate::store::Store;

/// The snapshots that this process made.
#[derive(Debug, Default)]
pub(crate) struct PendingSnapshots {
    /// The folder by its marker. Until the marker is written only this process uses it.
    folders: HashMap<PathBuf, PathBuf>,
    /// Markers to write when the files are synced.
    pub(crate) unmarked: Vec<PathBuf>,
}

impl Store {
    /// The folder of the layer in overlay form, if it is there and complete.
    ///
    /// `flavour` names what the form depends on: the id map and the kind of overlay attributes.
    pub fn snapshot(&self, flavour: &str, diff_id: &Digest) -> Option<PathBuf> {
        let marker = self.marker(flavour, diff_id);
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.snapshots.folders.get(&marker).cloned().or_else(|| marked(&marker))
    }

    /// Moves a finished folder of a staging area into the store and returns the folder to use:
    /// another one if another build was faster.
    ///
    /// Each folder has a name of its own, so two builds never replace what the other has mounted;
    /// the marker says which one counts.
    pub fn put_snapshot(
        &self,
        flavour: &str,
        diff_id: &Digest,
        folder: &Path,
    ) -> Result<PathBuf, Error> {
        if let Some(there) = self.snapshot(flavour, diff_id) {
            return Ok(there);
        }
        let parent = self.path("snapshots").join(flavour);
        fs::create_dir_all(&parent).context("create", &parent)?;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = parent.join(format!("{}.{}-{name}", diff_id.hex(), std::process::id()));
        fs::rename(folder, &path).context("rename to", &path)?;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let marker = self.marker(flavour, diff_id);
        pending.snapshots.folders.insert(marker.clone(), path.clone());
        pending.snapshots.unmarked.push(marker);
        Ok(path)
    }

    /// Writes the markers of synced folders. A folder that lost the race stays for this process,
    /// which may have it mounted, and is garbage afterwards.
    pub(crate) fn write_markers(&self, pending: &mut PendingSnapshots) -> Result<(), Error> {
        for marker in &pending.unmarked {
            if marked(marker).is_none() {
                let name = pending.folders[marker].file_name().expect("a snapshot has a name");
                self.write(marker, name.as_encoded_bytes())?;
            }
        }
        pending.unmarked.clear();
        Ok(())
    }

    /// Takes back what the markers of a layer promise. Its folders stay until nobody can have them
    /// mounted.
    pub(crate) fn unmark_snapshots(&self, diff_id: &Digest) -> Result<(), Error> {
        let snapshots = self.path("snapshots");
        let flavours = fs::read_dir(&snapshots).context("read", &snapshots)?;
        for flavour in flavours.flatten().map(|entry| entry.path()) {
            let marker = flavour.join(format!("{}.ok", diff_id.hex()));
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.snapshots.folders.remove(&marker);
            pending.snapshots.unmarked.retain(|unmarked| *unmarked != marker);
            match fs::remove_file(&marker) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).context("remove", &marker);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn marker(&self, flavour: &str, diff_id: &Digest) -> PathBuf {
        self.path("snapshots").join(flavour).join(format!("{}.ok", diff_id.hex()))
    }
}

/// The folder that a marker names, if both are there.
fn marked(marker: &Path) -> Option<PathBuf> {
    let name = fs::read_to_string(marker).ok()?;
    let folder = marker.with_file_name(&name);
    (!name.is_empty() && folder.is_dir()).then_some(folder)
}

/// Removes the folders that no marker names. Only to be called while nobody else has the store
/// open.
pub(crate) fn sweep_unmarked(snapshots: &Path) {
    let list = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    };
    for flavour in list(snapshots) {
        let entries = list(&flavour);
        let kept: HashSet<PathBuf> = entries.iter().filter_map(|path| marked(path)).collect();
        for folder in entries.iter().filter(|path| path.is_dir() && !kept.contains(*path)) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(store: &Store, content: &str) -> (crate::Staging, PathBuf) {
        let staging = store.stage().unwrap();
        let folder = staging.folder("upper").unwrap();
        fs::write(folder.join("file"), content).unwrap();
        (staging, folder)
    }

    #[test]
    fn others_see_a_snapshot_after_commit() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (Store::open(root.path()).unwrap(), Store::open(root.path()).unwrap());
        let diff_id = Digest::of("layer");
        let (_staging, folder) = staged(&one, "x");
        let path = one.put_snapshot("root", &diff_id, &folder).unwrap();
        assert!(path.join("file").exists() && !folder.exists());
        assert_eq!(one.snapshot("root", &diff_id), Some(path.clone()));
        assert_eq!(two.snapshot("root", &diff_id), None);
        one.commit().unwrap();
        assert_eq!(two.snapshot("root", &diff_id), Some(path));
        assert_eq!(one.snapshot("user", &diff_id), None);
    }

    #[test]
    fn unfinished_snapshot_is_swept_when_nobody_has_the_store() {
        let root = tempfile::tempdir().unwrap();
        let diff_id = Digest::of("layer");
        let store = Store::open(root.path()).unwrap();
        let (staging, folder) = staged(&store, "x");
        let path = store.put_snapshot("root", &diff_id, &folder).unwrap();
        let other = Store::open(root.path()).unwrap();
        assert!(path.exists(), "the first store is still open");
        drop((staging, store, other));
        let later = Store::open(root.path()).unwrap();
        assert!(!path.exists() && later.snapshot("root", &diff_id).is_none());
    }
}
