use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use dfbuild_image::{Descriptor, Digest, ImageConfig, Index, Manifest, Reference, digest_of};

use crate::error::Error;
use crate::layout::Layout;
use crate::store::Store;

/// What the images of a store need, and by which names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pins {
    /// Manifests, configurations and the blobs of layers.
    pub(super) blobs: BTreeMap<Digest, Vec<Reference>>,
    /// Layers by diff id.
    pub(super) layers: BTreeMap<Digest, Vec<Reference>>,
}

/// A picture of the tags: another one if any of them changed.
pub(super) type TagsState = Vec<(std::ffi::OsString, Option<SystemTime>)>;

impl Store {
    pub(super) fn pins(&self) -> Result<Pins, Error> {
        let mut pins = Pins::default();
        for tag in self.tags()? {
            pins.add(&self.layout, &tag.descriptor, &tag.reference);
        }
        Ok(pins)
    }

    pub(super) fn tags_state(&self) -> TagsState {
        let entries = fs::read_dir(self.path("tags")).into_iter().flatten().flatten();
        let mut state: TagsState = entries
            .map(|entry| {
                let modified = entry.metadata().and_then(|file| file.modified());
                (entry.file_name(), modified.ok())
            })
            .collect();
        state.sort();
        state
    }
}

impl Pins {
    /// Adds all that a descriptor leads to. What is missing or damaged of an image leads nowhere.
    fn add(&mut self, layout: &Layout, descriptor: &Descriptor, name: &Reference) {
        let Some(digest) = digest_of(descriptor) else { return };
        let names = self.blobs.entry(digest).or_default();
        if names.contains(name) {
            return;
        }
        names.push(name.clone());
        let Ok(bytes) = layout.read_blob(&digest) else { return };
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if document.get("manifests").is_some() {
            let index = Index::from_json(&bytes);
            for manifest in index.iter().flat_map(|index| index.0.manifests()) {
                self.add(layout, manifest, name);
            }
        } else if let Ok(manifest) = Manifest::from_json(&bytes) {
            self.add_image(layout, &manifest, name);
        }
    }

    fn add_image(&mut self, layout: &Layout, manifest: &Manifest, name: &Reference) {
        let blobs = manifest.0.layers().iter().chain([manifest.0.config()]);
        for blob in blobs.filter_map(digest_of) {
            self.blobs.entry(blob).or_default().push(name.clone());
        }
        let config = digest_of(manifest.0.config()).and_then(|id| layout.read_blob(&id).ok());
        let config: Option<ImageConfig> =
            config.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        for diff_id in config.iter().flat_map(|config| &config.rootfs.diff_ids) {
            self.layers.entry(*diff_id).or_default().push(name.clone());
        }
    }
}
