use dfbuild_image::{Descriptor, Digest, ImageConfig, Index, Manifest, digest_of};

use super::{Check, Outcome};
use crate::error::Error;
use crate::files::read_checked;
use crate::snapshots::list;
use crate::tags::Tag;

impl Check<'_> {
    /// Named images: all that they consist of is there.
    pub(super) fn images(&mut self) -> Result<(), Error> {
        for path in list(&self.store.path("tags"))? {
            self.looked.images += 1;
            if read_checked(&path).is_none() && path.exists() {
                // The name is lost with it: nobody knows what it stood for.
                self.damaged(&path, "its digest does not match", || self.remove(&path))?;
            }
        }
        for tag in self.store.tags()? {
            self.image(&tag)?;
        }
        if !self.store.index_is_current()? {
            let path = self.store.path("index.json");
            // A build that was killed may have named its image and come no further.
            let is_damage = self.store.layout().index().is_err();
            let problem = "does not list the named images".to_owned();
            self.found(&path, problem, is_damage, || {
                self.store.write_index()?;
                Ok(Outcome::MadeAgain)
            })?;
        }
        Ok(())
    }

    fn image(&self, tag: &Tag) -> Result<(), Error> {
        let mut missing = Vec::new();
        // The index of an image for many platforms may name manifests that were never fetched.
        self.missing_of(&tag.descriptor, false, &mut missing);
        for blob in missing {
            let path = self.store.blob_path(&blob);
            let problem = format!("is a part of image {}, and not there", tag.reference);
            self.damaged(&path, problem, || {
                let restored = self.meaning.restore(&tag.descriptor, &blob);
                Ok(if restored { Outcome::MadeAgain } else { Outcome::Lost })
            })?;
        }
        Ok(())
    }

    fn missing_of(&self, descriptor: &Descriptor, optional: bool, missing: &mut Vec<Digest>) {
        let Some(digest) = digest_of(descriptor) else { return };
        let elsewhere = |blob: &Digest| !self.store.origins(blob).is_empty();
        let Ok(bytes) = self.store.read_blob(&digest) else {
            if !optional && !elsewhere(&digest) {
                missing.push(digest);
            }
            return;
        };
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if document.get("manifests").is_some() {
            let index = Index::from_json(&bytes);
            for manifest in index.iter().flat_map(|index| index.0.manifests()) {
                self.missing_of(manifest, true, missing);
            }
            return;
        }
        let Ok(manifest) = Manifest::from_json(&bytes) else {
            missing.push(digest);
            return;
        };
        let config = digest_of(manifest.0.config());
        let read = config.and_then(|id| self.store.read_blob(&id).ok());
        let is_config = |bytes: &Vec<u8>| serde_json::from_slice::<ImageConfig>(bytes).is_ok();
        // It is fetched again with its manifest.
        if !read.as_ref().is_some_and(is_config) && !elsewhere(&digest) {
            missing.extend(config);
        }
        let config: Option<ImageConfig> = read.and_then(|it| serde_json::from_slice(&it).ok());
        let diff_ids = config.map(|config| config.rootfs.diff_ids).unwrap_or_default();
        for (layer, diff_id) in manifest.0.layers().iter().zip(&diff_ids) {
            // Where everything else that was known of a layer was damaged.
            let _ = self.link(layer, diff_id);
        }
        for layer in manifest.0.layers() {
            let Some(blob) = digest_of(layer) else { continue };
            // One that is elsewhere is fetched when it is needed.
            if !self.store.has_blob(&blob, layer.size()) && !elsewhere(&blob) {
                missing.push(blob);
            }
        }
    }

    /// Notes again which blob a layer has, if it has one and nothing is known of it any more.
    fn link(&self, layer: &Descriptor, diff_id: &Digest) -> Result<(), Error> {
        let folder = self.store.layer_path(diff_id);
        let Some(blob) = digest_of(layer) else { return Ok(()) };
        if !self.store.is_forgotten(diff_id) || !self.store.has_blob(&blob, layer.size()) {
            return Ok(());
        }
        self.damaged(&folder, format!("does not name its blob {blob}"), || {
            self.store.put_layer_blob(diff_id, &format!("base-{}", blob.short()), layer)?;
            Ok(Outcome::MadeAgain)
        })
    }
}
