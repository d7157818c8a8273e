use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use dfbuild_image::Digest;

use crate::disk::Change;
use crate::error::{Error, IoContext};
use crate::leases::parse_hex;
use crate::staging::Staging;
use crate::stamps::used;
use crate::store::Store;
use crate::usage::Meter;

/// The snapshots that this process made.
#[derive(Debug, Default)]
pub(crate) struct PendingSnapshots {
    /// The folder by its marker. Until the marker is written only this process uses it.
    folders: HashMap<PathBuf, PathBuf>,
    /// Markers to write when the files are synced.
    pub(crate) unmarked: Vec<PathBuf>,
    /// What the folders take on the disk, as far as it was told, by their markers.
    sizes: HashMap<PathBuf, u64>,
}

impl Store {
    /// The folder of the layer in overlay form, if it is there and complete.
    ///
    /// `flavour` names what the form depends on: the id map and the kind of overlay attributes.
    pub fn snapshot(&self, flavour: &str, diff_id: &Digest) -> Option<PathBuf> {
        self.hold(diff_id);
        let marker = self.marker(flavour, diff_id);
        let made = self.pending().snapshots.folders.get(&marker).cloned();
        if let Some(made) = made.filter(|made| made.is_dir()) {
            return Some(made);
        }
        let folder = Marker::read(&marker)?.folder;
        if let Ok(file) = fs::metadata(&marker) {
            used(&marker, &file);
        }
        Some(folder)
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
        self.put_measured_snapshot(flavour, diff_id, folder, None)
    }

    /// The same where it is known about how many bytes the folder takes on the disk: otherwise every
    /// file in it is asked.
    pub fn put_measured_snapshot(
        &self,
        flavour: &str,
        diff_id: &Digest,
        folder: &Path,
        bytes: Option<u64>,
    ) -> Result<PathBuf, Error> {
        if let Some(there) = self.snapshot(flavour, diff_id) {
            return Ok(there);
        }
        let parent = self.path("snapshots").join(flavour);
        self.disk.create_folder(&parent)?;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = parent.join(format!("{}.{}-{name}", diff_id.hex(), std::process::id()));
        self.disk.rename(folder, &path).context("rename to", &path)?;
        let marker = self.marker(flavour, diff_id);
        let mut pending = self.pending();
        pending.snapshots.folders.insert(marker.clone(), path.clone());
        pending.snapshots.sizes.extend(bytes.map(|bytes| (marker.clone(), bytes)));
        pending.snapshots.unmarked.push(marker);
        Ok(path)
    }

    /// Writes the markers of synced folders. A folder that lost the race stays for this process,
    /// which may have it mounted, and is garbage afterwards.
    pub(crate) fn write_markers(&self, markers: &[PathBuf]) -> Result<(), Error> {
        for marker in markers {
            let folder = self.pending().snapshots.folders.get(marker).cloned();
            // Dropped meanwhile, because it was damaged.
            let Some(folder) = folder else { continue };
            if Marker::read(marker).is_none() {
                let known = self.pending().snapshots.sizes.remove(marker);
                let bytes = known.unwrap_or_else(|| Meter::default().allocated(&folder));
                self.grew(bytes);
                self.write(marker, &Marker { folder, bytes }.to_text())?;
            }
            self.pending().snapshots.unmarked.retain(|unmarked| unmarked != marker);
        }
        Ok(())
    }

    /// Removes the folders of this process that lost the race against another process's. To be called
    /// when nothing has them mounted any more.
    pub(crate) fn remove_lost_snapshots(&self) {
        let mut pending = self.pending();
        let PendingSnapshots { folders, unmarked, .. } = &mut pending.snapshots;
        let done = folders.extract_if(|marker, _| !unmarked.contains(marker));
        let lost: Vec<PathBuf> = done
            .filter(|(marker, folder)| Marker::read(marker).is_some_and(|it| it.folder != *folder))
            .map(|(_, folder)| folder)
            .collect();
        drop(pending);
        for folder in lost {
            self.disk.tell(|| Change::Remove(folder.clone()));
            // What stays is for the next collection.
            let _ = fs::remove_dir_all(&folder);
        }
    }

    /// Takes back what the markers of a layer promise. Its folders stay until nobody can have them
    /// mounted.
    pub(crate) fn unmark_snapshots(&self, diff_id: &Digest) -> Result<(), Error> {
        for flavour in self.flavours()? {
            let marker = flavour.join(format!("{}.ok", diff_id.hex()));
            let mut pending = self.pending();
            pending.snapshots.folders.remove(&marker);
            pending.snapshots.unmarked.retain(|unmarked| *unmarked != marker);
            drop(pending);
            self.disk.remove_file(&marker)?;
        }
        Ok(())
    }

    /// Moves the folders that no marker names away, if `wanted` says so of their digest. To be called
    /// under the exclusive lock: whoever is making one holds a lease of it.
    pub(crate) fn clear_unmarked(
        &self,
        trash: &Staging,
        wanted: &dyn Fn(&Digest) -> bool,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut moved = Vec::new();
        for folder in self.unmarked_snapshots()? {
            if digest_of_name(&folder).is_some_and(|digest| wanted(&digest)) {
                self.discard(trash, &folder)?;
                moved.push(folder);
            }
        }
        Ok(moved)
    }

    /// The folders that no marker names.
    pub(crate) fn unmarked_snapshots(&self) -> Result<Vec<PathBuf>, Error> {
        let mut found = Vec::new();
        for flavour in self.flavours()? {
            let entries = list(&flavour)?;
            let markers = entries.iter().filter(|path| is_marker(path));
            let kept: HashSet<PathBuf> =
                markers.filter_map(|path| Marker::read(path)).map(|it| it.folder).collect();
            let others = entries.iter().filter(|path| !is_marker(path) && !kept.contains(*path));
            found.extend(others.cloned());
        }
        Ok(found)
    }

    /// The folders of snapshots, by what they depend on.
    pub(crate) fn flavours(&self) -> Result<Vec<PathBuf>, Error> {
        list(&self.path("snapshots"))
    }

    fn marker(&self, flavour: &str, diff_id: &Digest) -> PathBuf {
        self.path("snapshots").join(flavour).join(format!("{}.ok", diff_id.hex()))
    }
}

/// What says that a folder is complete.
///
/// ```text
/// FOLDER\n   its name, beside the marker
/// BYTES\n    what it takes on the disk
/// ```
#[derive(Debug, Clone)]
pub(crate) struct Marker {
    pub(crate) folder: PathBuf,
    pub(crate) bytes: u64,
}

impl Marker {
    /// The marker, if it and its folder are there.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (name, bytes) = text.strip_suffix('\n')?.split_once('\n')?;
        let folder = path.with_file_name(name);
        let good = !name.is_empty() && folder.is_dir();
        good.then_some(Self { folder, bytes: bytes.parse().ok()? })
    }

    fn to_text(&self) -> Vec<u8> {
        let name = self.folder.file_name().expect("a snapshot has a name");
        [name.as_encoded_bytes(), format!("\n{}\n", self.bytes).as_bytes()].concat()
    }
}

/// Whether the path is that of a marker.
pub(crate) fn is_marker(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("ok"))
}

/// The digest that a marker or a folder of snapshots has in its name.
pub(crate) fn digest_of_name(path: &Path) -> Option<Digest> {
    parse_hex(path.file_name()?.to_str()?.split('.').next()?)
}

/// What is in a folder, in the order of the names.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).context("read", folder)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).context("read", folder));
    let mut paths = paths.collect::<Result<Vec<_>, Error>>()?;
    paths.sort();
    Ok(paths)
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
    fn the_folder_that_lost_goes_when_it_is_not_used_any_more() {
        let root = tempfile::tempdir().unwrap();
        let diff_id = Digest::of("layer");
        let (one, two) = (Store::open(root.path()).unwrap(), Store::open(root.path()).unwrap());
        let using = (one.in_use(), two.in_use());
        let (_first, folder) = staged(&one, "x");
        let won = one.put_snapshot("root", &diff_id, &folder).unwrap();
        let (_second, folder) = staged(&two, "x");
        let lost = two.put_snapshot("root", &diff_id, &folder).unwrap();
        one.commit().unwrap();
        two.commit().unwrap();
        assert_eq!(two.snapshot("root", &diff_id), Some(lost.clone()), "it may be mounted");
        drop(using);
        assert!(won.is_dir() && !lost.exists());
        assert_eq!(two.snapshot("root", &diff_id), Some(won));
    }

    #[test]
    fn what_a_killed_process_did_not_finish_is_swept() {
        let root = tempfile::tempdir().unwrap();
        let (killed, alive) = (Digest::of("killed"), Digest::of("alive"));
        let store = Store::open(root.path()).unwrap();
        let (_staging, folder) = staged(&store, "x");
        let used = store.put_snapshot("root", &alive, &folder).unwrap();
        let left = root.path().join(format!("snapshots/root/{}.7-upper", killed.hex()));
        fs::create_dir(&left).unwrap();
        let lease = root.path().join("leases/7-dead");
        fs::write(&lease, format!("{}\n{}\n", killed.hex(), alive.hex())).unwrap();
        Store::open(root.path()).unwrap();
        assert!(used.exists() && !left.exists() && !lease.exists());
    }
}
