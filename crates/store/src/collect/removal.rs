use std::collections::BTreeSet;
use std::time::SystemTime;

use dfbuild_image::Digest;

use super::inventory::Inventory;
use super::item::{Item, ItemKind};
use super::policy::Policy;
use crate::error::{Error, IoContext};
use crate::lock_file::{LockFile, Mode};
use crate::staging::Staging;
use crate::store::Store;

/// What was removed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Removed {
    /// The parts that are gone.
    pub items: Vec<Item>,
    /// What that freed, in bytes.
    pub bytes: u64,
    /// Why something is still there that was to go, if anything is: another user may have made it.
    pub refused: Option<Error>,
}

/// Held by the one who collects: several at once would only do the same work, and whoever looks for
/// damage would take for lost what is removed meanwhile.
#[derive(Debug)]
pub struct Collecting(#[expect(dead_code, reason = "held, not read")] LockFile);

/// How many items are moved away at a time: no build waits for longer than that takes.
const BATCH: usize = 64;

impl Store {
    /// The right to collect; `None` if somebody else is at it.
    pub fn collecting(&self) -> Option<Collecting> {
        LockFile::try_take(&self.path("collect.lock"), Mode::Exclusive).ok()?.map(Collecting)
    }

    /// The same, once everybody else is done; `None` where nothing can be written.
    pub fn wait_to_collect(&self) -> Option<Collecting> {
        LockFile::wait(&self.path("collect.lock"), Mode::Exclusive).ok().map(Collecting)
    }

    /// The right that nobody collects, once that is so; `None` where nothing can be written.
    pub(crate) fn wait_for_collecting(&self) -> Option<Collecting> {
        LockFile::wait(&self.path("collect.lock"), Mode::Shared).ok().map(Collecting)
    }

    /// What [`Self::collect`] would remove, at most.
    pub fn collectable<'i>(&self, inventory: &'i Inventory, policy: &Policy) -> Vec<&'i Item> {
        policy.choose(&inventory.items, inventory.total, SystemTime::now())
    }

    /// Removes what nothing keeps, as far as the policy wants. Running builds go on: they wait for some
    /// renames at most, and what they use stays.
    pub fn collect(&self, inventory: &Inventory, policy: &Policy) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        for batch in self.collectable(inventory, policy).chunks(BATCH) {
            let trash = self.trash()?;
            for item in self.move_away(&trash, batch, inventory, &mut removed.refused)? {
                removed.bytes += item.bytes;
                removed.items.push(item.clone());
            }
            // Now nobody waits for the files to be removed.
            drop(trash);
        }
        self.sweep_locks();
        self.note_usage(inventory.total.saturating_sub(removed.bytes));
        Ok(removed)
    }

    /// Moves items to the trash, but for those that somebody uses or has named by now.
    fn move_away<'i>(
        &self,
        trash: &Staging,
        batch: &[&'i Item],
        inventory: &Inventory,
        refused: &mut Option<Error>,
    ) -> Result<Vec<&'i Item>, Error> {
        let _turn = self.collection_lock(Mode::Exclusive).context("lock", self.root())?;
        let leased = self.leased()?;
        let named = if self.tags_state() == inventory.tags {
            BTreeSet::new()
        } else {
            let pins = self.pins()?;
            pins.blobs.into_keys().chain(pins.layers.into_keys()).collect::<BTreeSet<Digest>>()
        };
        let mut moved = Vec::new();
        for item in batch {
            let used = |digest: &Digest| leased.living.contains_key(digest);
            let stays = match item.kind {
                ItemKind::ImageRecords(_) => false,
                ItemKind::LayerCopies(_) => item.digests.iter().any(used),
                _ => item.digests.iter().any(|digest| used(digest) || named.contains(digest)),
            };
            if stays {
                continue;
            }
            match self.move_item(trash, item) {
                Ok(true) => moved.push(*item),
                Ok(false) => {}
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        Ok(moved)
    }

    /// Says whether it was moved.
    fn move_item(&self, trash: &Staging, item: &Item) -> Result<bool, Error> {
        // Held until all is moved: then whoever waited for it finds that the mount is new.
        let mut locks = Vec::new();
        if let (ItemKind::Mount(_), [folder]) = (&item.kind, item.paths.as_slice()) {
            let path = folder.with_extension("used");
            match LockFile::try_take(&path, Mode::Exclusive).context("lock", &path)? {
                None => return Ok(false),
                Some(lock) => locks.push(lock),
            }
            self.discard(trash, &folder.with_extension("lock"))?;
        }
        for path in &item.paths {
            self.discard(trash, path)?;
        }
        for lock in locks {
            lock.remove(&self.disk);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use dfbuild_image::{MediaType, descriptor};

    use super::*;

    /// A record is the digest of its layer.
    fn read(bytes: &[u8]) -> Option<Vec<Digest>> {
        Some(vec![std::str::from_utf8(bytes).ok()?.parse().ok()?])
    }

    /// A layer of so many kilobytes with a record, a folder and a blob, last used some hours ago.
    fn layer(store: &Store, name: &str, kilobytes: usize, hours: u64) -> Digest {
        let _in_use = store.in_use();
        let diff_id = Digest::of(name);
        let staging = store.stage().unwrap();
        let folder = staging.folder("upper").unwrap();
        fs::write(folder.join("file"), vec![7; kilobytes << 10]).unwrap();
        store.put_snapshot("root", &diff_id, &folder).unwrap();
        let blob = store.put_blob(format!("blob of {name}").as_bytes()).unwrap();
        let size = fs::metadata(store.blob_path(&blob)).unwrap().len();
        store.put_layer_index(&diff_id, b"index").unwrap();
        let of = descriptor(MediaType::ImageLayer, blob, size);
        store.put_layer_blob(&diff_id, "plain", &of).unwrap();
        store.put_record(Digest::of(format!("key of {name}")), diff_id.to_string().into_bytes());
        store.commit().unwrap();
        drop(staging);
        age(store, &diff_id, &blob, hours);
        diff_id
    }

    fn age(store: &Store, diff_id: &Digest, blob: &Digest, hours: u64) {
        let ago = SystemTime::now() - Duration::from_secs(hours * 3600);
        let inventory = store.inventory(&read).unwrap();
        let of = |item: &&Item| item.digests.contains(diff_id) || item.digests.contains(blob);
        let folder = store.layer_path(diff_id);
        let known = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let paths = inventory.items.iter().filter(of).flat_map(|item| item.paths.clone());
        for path in paths.chain(known).chain([folder]) {
            fs::File::open(&path).unwrap().set_modified(ago).unwrap();
        }
    }

    fn is_there(store: &Store, diff_id: &Digest) -> [bool; 3] {
        let there = [
            store.snapshot("root", diff_id).is_some(),
            store.any_layer_blob(diff_id).is_some(),
            store.layer_index(diff_id).is_some(),
        ];
        // To look is to use.
        drop(store.in_use());
        there
    }

    fn keep(bytes: u64) -> Policy {
        Policy { keep_bytes: Some(bytes), ..Policy::default() }
    }

    fn nothing_is_left_in(root: &Path) {
        for folder in ["trash", "staging", "leases", "locks"] {
            assert_eq!(fs::read_dir(root.join(folder)).unwrap().count(), 0, "{folder}");
        }
    }

    #[test]
    fn the_oldest_layers_go_with_all_that_belongs_to_them() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let layers: Vec<Digest> =
            (0..4).map(|n| layer(&store, &n.to_string(), 100, 10 - n)).collect();
        store.note_usage(0);
        let inventory = store.inventory(&read).unwrap();
        assert_eq!(inventory.total, store.measure());
        let removed = store.collect(&inventory, &keep(inventory.total - (150 << 10))).unwrap();
        assert_eq!(removed.items.len(), 2);
        for (number, layer) in layers.iter().enumerate() {
            assert_eq!(is_there(&store, layer), [number >= 2; 3], "{number}");
        }
        assert!(store.record(&Digest::of("key of 0")).is_none());
        assert!(store.record(&Digest::of("key of 3")).is_some());
        let total = store.inventory(&read).unwrap().total;
        assert_eq!(total, inventory.total - removed.bytes);
        nothing_is_left_in(root.path());
    }

    #[test]
    fn what_is_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let (store, other) = (Store::open(root.path()).unwrap(), Store::open(root.path()).unwrap());
        let (used, unused) = (layer(&store, "used", 10, 5), layer(&store, "unused", 10, 5));
        let inventory = store.inventory(&read).unwrap();
        // After somebody looked what there is.
        let in_use = other.in_use();
        assert!(other.snapshot("root", &used).is_some());
        store.collect(&inventory, &keep(0)).unwrap();
        drop(in_use);
        assert_eq!(is_there(&other, &used), [true; 3]);
        assert_eq!(is_there(&other, &unused), [false; 3]);
        let inventory = store.inventory(&read).unwrap();
        store.collect(&inventory, &keep(0)).unwrap();
        assert_eq!(is_there(&other, &used), [false; 3]);
    }

    #[test]
    fn a_folder_that_is_being_made_stays() {
        let root = tempfile::tempdir().unwrap();
        let (store, other) = (Store::open(root.path()).unwrap(), Store::open(root.path()).unwrap());
        let staging = other.stage().unwrap();
        let in_use = other.in_use();
        let made = staging.folder("upper").unwrap();
        let made = other.put_snapshot("root", &Digest::of("new"), &made).unwrap();
        let inventory = store.inventory(&read).unwrap();
        store.collect(&inventory, &Policy::default()).unwrap();
        assert!(made.is_dir() && staging.path().is_dir());
        drop(in_use);
    }

    #[test]
    fn what_is_left_is_as_old_as_its_making() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let folder = root.path().join("snapshots/root").join(Digest::of("a").hex());
        fs::create_dir_all(&folder).unwrap();
        // The top folder of a layer, as an image has it.
        fs::File::open(&folder).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let inventory = store.inventory(&read).unwrap();
        let [left] = inventory.items.as_slice() else { panic!("{:?}", inventory.items) };
        assert_eq!(left.kind, ItemKind::Leftover(folder.clone()));
        let made = fs::metadata(root.path().join("snapshots/root")).unwrap().modified().unwrap();
        assert!(
            made.duration_since(left.last_used).unwrap_or_default() < Duration::from_secs(3600)
        );
    }

    #[test]
    fn what_images_need_stays() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let diff_id = layer(&store, "a", 10, 5);
        let blob = store.any_layer_blob(&diff_id).unwrap();
        drop(store.in_use());
        let put = |bytes: &[u8], kind| {
            descriptor(kind, store.put_blob(bytes).unwrap(), bytes.len() as u64)
        };
        let config = serde_json::json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]}});
        let config = put(config.to_string().as_bytes(), MediaType::ImageConfig);
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [blob]});
        let manifest = put(manifest.to_string().as_bytes(), MediaType::ImageManifest);
        let inventory = store.inventory(&read).unwrap();
        // After somebody looked what there is.
        store.tag(&"app".parse().unwrap(), &manifest).unwrap();
        drop(store.in_use());
        store.collect(&inventory, &keep(0)).unwrap();
        assert_eq!(is_there(&store, &diff_id), [true; 3]);

        let inventory = store.inventory(&read).unwrap();
        let removed = store.collect(&inventory, &keep(0)).unwrap();
        assert!(removed.items.iter().all(|item| item.kind == ItemKind::LayerCopies(diff_id)));
        assert_eq!(is_there(&store, &diff_id), [false, true, true]);
        assert!(store.record(&Digest::of("key of a")).is_some());
        assert!(store.layout().image(&manifest, &dfbuild_image::Platform::host()).is_ok());
        drop(store.in_use());

        let all = Policy { all: true, ..Policy::default() };
        store.collect(&store.inventory(&read).unwrap(), &all).unwrap();
        assert!(store.record(&Digest::of("key of a")).is_none());
        store.untag(&"app".parse().unwrap()).unwrap();
        store.collect(&store.inventory(&read).unwrap(), &all).unwrap();
        assert_eq!(is_there(&store, &diff_id), [false; 3]);
        assert_eq!(fs::read_dir(root.path().join("blobs/sha256")).unwrap().count(), 0);
    }

    #[test]
    fn a_cache_mount_goes_when_nobody_uses_it() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let mount = store.mount("id").unwrap();
        fs::create_dir(mount.path()).unwrap();
        fs::write(mount.path().join("file"), "x").unwrap();
        drop(mount.try_lock().unwrap());
        let path = mount.path().to_owned();
        store.collect(&store.inventory(&read).unwrap(), &keep(0)).unwrap();
        assert!(path.exists());
        // It came into use after somebody looked.
        drop(mount);
        let inventory = store.inventory(&read).unwrap();
        let mount = store.mount("id").unwrap();
        store.collect(&inventory, &keep(0)).unwrap();
        assert!(path.exists());
        drop(mount);
        let removed = store.collect(&inventory, &keep(0)).unwrap();
        assert!(removed.items.iter().any(|item| matches!(item.kind, ItemKind::Mount(_))));
        assert_eq!(fs::read_dir(root.path().join("mounts")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_used_again_is_young() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let (old, used) = (layer(&store, "old", 10, 5), layer(&store, "used", 10, 50));
        assert!(store.record(&Digest::of("key of used")).is_some());
        let total = store.inventory(&read).unwrap().total;
        store.collect(&store.inventory(&read).unwrap(), &keep(total - 1)).unwrap();
        assert_eq!(is_there(&store, &used), [true; 3]);
        assert_eq!(is_there(&store, &old), [false; 3]);
    }

    #[test]
    fn what_cannot_be_removed_does_not_keep_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let (one, two) = (layer(&store, "one", 10, 5), layer(&store, "two", 10, 4));
        let inventory = store.inventory(&read).unwrap();
        let key = Digest::of("key of one");
        let folder = root.path().join("records").join(&key.hex()[..2]);
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        let removed = store.collect(&inventory, &Policy::default()).unwrap();
        assert!(matches!(removed.refused, Some(Error::Io { action: "rename", .. })));
        assert_eq!(removed.items.len(), 1);
        fs::remove_file(&folder).unwrap();
        assert_eq!(is_there(&store, &one), [true; 3]);
        assert_eq!(is_there(&store, &two), [false; 3]);
    }
}
