use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dfbuild_image::{Descriptor, Digest, Reference, digest_of};

use super::RecordReader;
use super::item::{Item, ItemKind, Keeper};
use super::pins::{Pins, TagsState};
use crate::error::Error;
use crate::files::read_checked;
use crate::leases::Leased;
use crate::lock_file::{LockFile, Mode};
use crate::snapshots::{Marker, digest_of_name, is_marker, list};
use crate::store::Store;
use crate::usage::Meter;

/// Everything in a store, as it was when somebody looked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inventory {
    /// Its parts.
    pub items: Vec<Item>,
    /// What all of the store takes on the disk, folders and locks included, in bytes.
    pub total: u64,
    pub(super) tags: TagsState,
}

/// Folders of which each entry is a whole: what only saves work, what a failed step left, what builds
/// wrote.
const BY_ENTRY: [(&str, OfPath); 3] =
    [("scratch", ItemKind::Scratch), ("failed", ItemKind::Scratch), ("logs", ItemKind::Log)];

/// What explains misses, with folders of two digits between.
const BY_DIGITS: [(&str, OfPath); 2] = [("objects", ItemKind::Note), ("history", ItemKind::Note)];

type OfPath = fn(PathBuf) -> ItemKind;

impl Store {
    /// Looks at everything. Nothing is locked meanwhile, so what is used, made and removed at the same
    /// time may be in it or not.
    pub fn inventory(&self, read_record: RecordReader<'_>) -> Result<Inventory, Error> {
        let tags = self.tags_state();
        let pins = self.pins()?;
        let leased = self.leased()?;
        let mut survey = Survey {
            store: self,
            pins,
            leased,
            meter: Meter::default(),
            items: BTreeMap::new(),
            owners: HashMap::new(),
        };
        survey.layers()?;
        survey.records(read_record)?;
        survey.snapshots()?;
        survey.blobs()?;
        survey.mounts()?;
        survey.expendable();
        let items = survey.finish();
        Ok(Inventory { items, total: self.measure_quickly(), tags })
    }
}

/// A look at everything.
struct Survey<'a> {
    store: &'a Store,
    pins: Pins,
    leased: Leased,
    meter: Meter,
    items: BTreeMap<ItemKind, Item>,
    /// The layer of each blob that is one.
    owners: HashMap<Digest, Digest>,
}

impl Survey<'_> {
    fn item(&mut self, kind: ItemKind) -> &mut Item {
        self.items.entry(kind.clone()).or_insert_with(|| Item::new(kind))
    }

    fn add(&mut self, kind: ItemKind, path: PathBuf, file: &Metadata) {
        let bytes = self.meter.count(file);
        self.item(kind).add(path, bytes, last_used(file));
    }

    /// The folders of what is known of layers. Which of their blobs an image needs is known then.
    fn layers(&mut self) -> Result<(), Error> {
        for folder in list(&self.store.path("layers"))? {
            let Some(diff_id) = digest_of_name(&folder) else { continue };
            let Ok(known) = list(&folder) else { continue };
            let mut bytes = 0;
            let mut used = SystemTime::UNIX_EPOCH;
            for file in known.iter().chain([&folder]) {
                let Ok(metadata) = fs::symlink_metadata(file) else { continue };
                bytes += self.meter.count(&metadata);
                used = used.max(last_used(&metadata));
            }
            for file in known {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if !name.starts_with("blob.") {
                    continue;
                }
                let descriptor: Option<Descriptor> =
                    read_checked(&file).and_then(|bytes| serde_json::from_slice(&bytes).ok());
                if let Some(blob) = descriptor.as_ref().and_then(digest_of) {
                    self.owners.insert(blob, diff_id);
                }
            }
            let kind = self.whole(&diff_id);
            self.item(kind).add(folder, bytes, used);
        }
        Ok(())
    }

    /// The item that goes last of a layer.
    fn whole(&self, diff_id: &Digest) -> ItemKind {
        if self.pins.layers.contains_key(diff_id) {
            ItemKind::ImageLayer(*diff_id)
        } else {
            ItemKind::Layer(*diff_id)
        }
    }

    fn records(&mut self, read: RecordReader<'_>) -> Result<(), Error> {
        for folder in list(&self.store.path("records"))? {
            for path in list(&folder)? {
                let Ok(file) = fs::symlink_metadata(&path) else { continue };
                let promised = read_checked(&path).and_then(|bytes| read(&bytes));
                let kind = match promised.as_deref() {
                    // A record that means nothing is a miss.
                    None | Some([]) => ItemKind::Leftover(path.clone()),
                    Some([layer, ..]) if self.pins.layers.contains_key(layer) => {
                        ItemKind::ImageRecords(*layer)
                    }
                    Some([layer, ..]) => ItemKind::Layer(*layer),
                };
                self.add(kind.clone(), path.clone(), &file);
                let item = self.item(kind);
                item.records += 1;
                item.digests.extend(digest_of_name(&path));
            }
        }
        Ok(())
    }

    fn snapshots(&mut self) -> Result<(), Error> {
        for flavour in self.store.flavours()? {
            for path in list(&flavour)?.into_iter().filter(|path| is_marker(path)) {
                let (Some(name), Ok(file)) = (digest_of_name(&path), fs::symlink_metadata(&path))
                else {
                    continue;
                };
                let Some(marker) = Marker::read(&path) else {
                    self.add(ItemKind::Leftover(path.clone()), path, &file);
                    continue;
                };
                let kind = if self.pins.layers.contains_key(&name) {
                    ItemKind::LayerCopies(name)
                } else {
                    ItemKind::Layer(name)
                };
                let used = last_used(&file);
                self.add(kind.clone(), path, &file);
                self.item(kind).add(marker.folder, marker.bytes, used);
            }
        }
        for folder in self.store.unmarked_snapshots()? {
            let held = digest_of_name(&folder).and_then(|name| self.leased.living.get(&name));
            let keeper = held.map(|pid| Keeper::Process(*pid));
            let bytes = self.meter.allocated(&folder);
            let used = fs::symlink_metadata(&folder).map_or(SystemTime::now(), |it| changed(&it));
            let item = self.item(ItemKind::Leftover(folder.clone()));
            item.add(folder.clone(), bytes, used);
            item.kept_by.extend(keeper);
            item.digests.extend(digest_of_name(&folder));
        }
        Ok(())
    }

    fn blobs(&mut self) -> Result<(), Error> {
        for path in list(&self.store.path("blobs/sha256"))? {
            let (Some(blob), Ok(file)) = (digest_of_name(&path), fs::symlink_metadata(&path))
            else {
                continue;
            };
            let kind = self.kind_of_blob(&blob);
            self.add(kind.clone(), path, &file);
            self.item(kind).digests.push(blob);
        }
        // Where a blob is to be had goes with it.
        for path in list(&self.store.path("origins")).unwrap_or_default() {
            let (Some(blob), Ok(file)) = (digest_of_name(&path), fs::symlink_metadata(&path))
            else {
                continue;
            };
            let kind = self.kind_of_blob(&blob);
            self.add(kind, path, &file);
        }
        Ok(())
    }

    fn kind_of_blob(&self, blob: &Digest) -> ItemKind {
        match self.owners.get(blob) {
            Some(diff_id) if self.pins.blobs.contains_key(blob) => ItemKind::ImageLayer(*diff_id),
            Some(diff_id) if self.pins.layers.contains_key(diff_id) => {
                ItemKind::LayerCopies(*diff_id)
            }
            Some(diff_id) => ItemKind::Layer(*diff_id),
            None => ItemKind::Blob(*blob),
        }
    }

    fn mounts(&mut self) -> Result<(), Error> {
        for path in list(&self.store.path("mounts"))? {
            let (Some(id), Ok(file)) = (digest_of_name(&path), fs::symlink_metadata(&path)) else {
                continue;
            };
            let kind = ItemKind::Mount(id);
            if file.is_dir() {
                let bytes = self.meter.allocated(&path);
                self.item(kind.clone()).add(path.clone(), bytes, SystemTime::UNIX_EPOCH);
                let used = LockFile::try_take(&path.with_extension("used"), Mode::Exclusive);
                if matches!(used, Ok(None)) {
                    // Who it is only the kernel knows.
                    self.item(kind).kept_by.push(Keeper::Process(0));
                }
            } else {
                // The folder goes first, its locks with it.
                let (bytes, used) = (self.meter.count(&file), last_used(&file));
                let item = self.item(kind);
                item.bytes += bytes;
                item.last_used = item.last_used.max(used);
            }
        }
        Ok(())
    }

    fn expendable(&mut self) {
        let mut files: Vec<(PathBuf, OfPath)> = Vec::new();
        let entries = |folder: &Path| list(folder).unwrap_or_default();
        for (folder, kind) in BY_ENTRY {
            files.extend(entries(&self.store.path(folder)).into_iter().map(|path| (path, kind)));
        }
        for (folder, kind) in BY_DIGITS {
            for entry in entries(&self.store.path(folder)) {
                if entry.is_dir() {
                    files.extend(entries(&entry).into_iter().map(|path| (path, kind)));
                } else {
                    files.push((entry, kind));
                }
            }
        }
        for (path, kind) in files {
            let Ok(file) = fs::symlink_metadata(&path) else { continue };
            let bytes = self.meter.allocated(&path);
            let name = path.strip_prefix(self.store.root()).unwrap_or(&path).to_owned();
            self.item(kind(name)).add(path, bytes, last_used(&file));
        }
        self.trash();
    }

    /// What killed collections left.
    fn trash(&mut self) {
        for path in list(&self.store.path("trash")).unwrap_or_default() {
            let Ok(file) = fs::symlink_metadata(&path) else { continue };
            let locked = fs::File::open(&path).is_ok_and(|file| file.try_lock().is_err());
            if !locked {
                let bytes = self.meter.allocated(&path);
                let kind = ItemKind::Leftover(path.clone());
                self.item(kind).add(path, bytes, changed(&file));
            }
        }
    }

    /// Says for each item what keeps it.
    fn finish(self) -> Vec<Item> {
        let Self { store, pins, leased, items, owners, .. } = self;
        let mut blobs_of: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for (blob, layer) in owners {
            blobs_of.entry(layer).or_default().push(blob);
        }
        let tagged = |names: Option<&Vec<Reference>>| {
            names.into_iter().flatten().cloned().map(Keeper::Tag).collect::<Vec<_>>()
        };
        let mut items: Vec<Item> = items.into_values().collect();
        for item in &mut items {
            match &item.kind {
                ItemKind::ImageLayer(layer) => item.kept_by.extend(tagged(pins.layers.get(layer))),
                ItemKind::Blob(blob) => {
                    item.kept_by.extend(tagged(pins.blobs.get(blob)));
                }
                _ => {}
            }
            if let ItemKind::Layer(layer)
            | ItemKind::ImageLayer(layer)
            | ItemKind::LayerCopies(layer)
            | ItemKind::ImageRecords(layer) = item.kind
            {
                item.digests.push(layer);
                item.digests.extend(blobs_of.get(&layer).into_iter().flatten());
            }
            item.digests.sort_unstable();
            item.digests.dedup();
            // A record is only read; what it leads to is what is used.
            let used = item.digests.iter().filter_map(|digest| leased.living.get(digest));
            if !matches!(item.kind, ItemKind::ImageRecords(_)) {
                item.kept_by.extend(used.map(|pid| Keeper::Process(*pid)));
            }
            item.kept_by.sort();
            item.kept_by.dedup();
            item.paths.sort_by_key(|path| rank(path, store.root()));
        }
        items.retain(|item| !item.paths.is_empty());
        items
    }
}

/// First what promises, then what is promised: a collection may be killed at any moment.
fn rank(path: &Path, root: &Path) -> u8 {
    match path.strip_prefix(root) {
        Ok(path) if path.starts_with("records") => 0,
        Ok(path) if is_marker(path) => 1,
        Ok(path) if path.starts_with("layers") => 2,
        _ => 3,
    }
}

/// When a folder was last touched here: its time of modification may be that of a folder of an image.
fn changed(folder: &Metadata) -> SystemTime {
    let seconds = u64::try_from(folder.ctime()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn last_used(file: &Metadata) -> SystemTime {
    file.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}
