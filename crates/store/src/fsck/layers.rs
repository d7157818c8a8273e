use std::fs;
use std::path::Path;

use dfbuild_image::{Descriptor, Digest, digest_of};

use super::{Check, Outcome};
use crate::error::Error;
use crate::files::read_checked;
use crate::leases::parse_hex;
use crate::snapshots::{Marker, digest_of_name, is_marker, list};
use crate::store::Store;

impl Check<'_> {
    /// What is known of layers. All of it can be had again from the layers themselves.
    pub(super) fn layers(&mut self) -> Result<(), Error> {
        for folder in list(&self.store.path("layers"))? {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(diff_id) = parse_hex(name).filter(|_| folder.is_dir()) else {
                self.damaged(&folder, "is no layer", || self.remove(&folder))?;
                continue;
            };
            self.looked.layers += 1;
            for file in list(&folder).unwrap_or_default() {
                if let Err(problem) = self.known_of_layer(&diff_id, &file) {
                    self.damaged(&file, problem, || self.remove(&file))?;
                }
            }
        }
        Ok(())
    }

    fn known_of_layer(&self, diff_id: &Digest, file: &Path) -> Result<(), String> {
        let store = self.store;
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(compressor) = name.strip_prefix("blob.") {
            let blob = read_checked(file)
                .and_then(|bytes| serde_json::from_slice::<Descriptor>(&bytes).ok())
                .ok_or("its digest does not match")?;
            let Some(digest) = digest_of(&blob) else { return Err("names no blob".to_owned()) };
            let there = store.layer_blob(diff_id, compressor).is_some();
            // One that is elsewhere is fetched when it is needed.
            return if there || !store.origins(&digest).is_empty() {
                Ok(())
            } else {
                Err(format!("names blob {digest}, which is not there"))
            };
        }
        match name {
            "index" => {
                let bytes = fs::read(file).map_err(|error| error.to_string())?;
                let content = self.meaning.index(&bytes)?;
                match store.layer_content(diff_id) {
                    Some(noted) if noted != content => {
                        Err(format!("is of content {content}, and not of {noted}"))
                    }
                    _ => Ok(()),
                }
            }
            "size" if store.layer_size(diff_id).is_some() => Ok(()),
            "content" if store.layer_content(diff_id).is_some() => Ok(()),
            "size" | "content" => Err("its digest does not match".to_owned()),
            _ => Ok(()),
        }
    }

    /// Layers of which so much was damaged that nobody can tell what is in them.
    pub(super) fn forgotten_layers(&self) -> Result<(), Error> {
        for folder in list(&self.store.path("layers"))? {
            let Some(diff_id) = digest_of_name(&folder) else { continue };
            if self.store.is_forgotten(&diff_id) {
                // A build that was killed may have come no further than to make the folder.
                let is_damage = self.store.has_marker(&diff_id)?;
                let problem = "says nothing about its layer".to_owned();
                self.found(&folder, problem, is_damage, || {
                    self.store.drop_layer(&diff_id)?;
                    Ok(Outcome::Removed)
                })?;
            }
        }
        Ok(())
    }

    /// The folders of layers against their indexes.
    pub(super) fn snapshots(&mut self) -> Result<(), Error> {
        for flavour in self.store.flavours()? {
            for path in list(&flavour)?.into_iter().filter(|path| is_marker(path)) {
                let Some(marker) = Marker::read(&path) else {
                    self.damaged(&path, "names no folder", || self.remove(&path))?;
                    continue;
                };
                self.looked.snapshots += 1;
                // A layer that looks different on others has no index of its own.
                let name = digest_of_name(&path);
                let index = name.and_then(|diff_id| self.store.layer_index(&diff_id));
                let index = index.filter(|index| self.meaning.index(index).is_ok());
                let Some(index) = index else { continue };
                if let Err(problem) = self.meaning.snapshot(&index, &marker.folder) {
                    self.damaged(&marker.folder, problem, || {
                        self.remove(&path)?;
                        self.remove(&marker.folder)?;
                        Ok(Outcome::Removed)
                    })?;
                }
            }
        }
        Ok(())
    }
}

impl Store {
    /// Whether neither the index of a layer nor a blob that it could be read from is known.
    pub(super) fn is_forgotten(&self, diff_id: &Digest) -> bool {
        let folder = self.layer_path(diff_id);
        folder.is_dir() && !folder.join("index").exists() && !self.names_a_blob(diff_id)
    }

    /// Whether a folder of a layer is promised.
    pub(super) fn has_marker(&self, diff_id: &Digest) -> Result<bool, Error> {
        let name = format!("{}.ok", diff_id.hex());
        Ok(self.flavours()?.iter().any(|flavour| flavour.join(&name).exists()))
    }

    /// Whether a blob of a layer is known. What is known of it was checked before.
    pub(super) fn names_a_blob(&self, diff_id: &Digest) -> bool {
        let known = list(&self.layer_path(diff_id)).unwrap_or_default();
        let mut names = known.iter().filter_map(|path| path.file_name()?.to_str());
        names.any(|name| name.starts_with("blob."))
    }
}
