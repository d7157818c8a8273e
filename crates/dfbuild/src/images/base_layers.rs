//! The layers of the images that a build begins with: what of them has to be in the store.

use dfbuild_image::{Descriptor, Digest, ImageConfig, MediaType, digest_of};
use dfbuild_layer::Encoding;
use dfbuild_plan::{BaseImage, BaseRequest};
use dfbuild_store::Layout;

use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::images::base_images::BaseImages;
use crate::images::blobs::Packing;
use crate::images::intake::{Intake, Reading};
use crate::images::layer_ref::LayerRef;
use crate::images::transfer::each;

/// An image that a stage begins with or copies from. Its blobs are in the store.
#[derive(Debug, Clone)]
pub(crate) struct BaseLayers {
    pub(crate) config: ImageConfig,
    pub(crate) digest: Digest,
    pub(crate) layers: Vec<LayerRef>,
}

impl BaseLayers {
    /// What a plan has to know of it.
    pub(crate) fn for_plan(&self) -> BaseImage {
        BaseImage { config: self.config.clone(), digest: self.digest }
    }
}

impl BaseImages<'_> {
    /// Brings the layers of an image of a layout into the store of which that has nothing, several
    /// at a time. What is left, and what is wrong, is up to [`BaseImages::load`].
    pub(super) fn take_in(
        &self,
        layout: &Layout,
        descriptor: &Descriptor,
        request: &BaseRequest,
        reading: Reading,
    ) -> Result<(), Error> {
        let Ok((_, manifest, config)) = layout.image(descriptor, &request.platform) else {
            return Ok(());
        };
        let store = self.engine.store();
        let diff_ids = &config.rootfs.diff_ids;
        let layers = manifest.0.layers().iter().zip(diff_ids);
        let is_new = |(blob, diff_id): &(&Descriptor, &Digest)| {
            let is_there =
                digest_of(blob).is_none_or(|digest| store.has_blob(&digest, blob.size()));
            !is_there && !self.engine.has_snapshot(diff_id) && !self.engine.can_have_blob(blob)
        };
        let new: Vec<(&Descriptor, &Digest)> = layers.filter(is_new).collect();
        let intake = Intake::new(self.engine, reading);
        let take = |(blob, diff_id): &(&Descriptor, &Digest)| {
            self.load_layer(layout, blob, diff_id, &[], &request.name)?;
            intake.read(diff_id);
            Ok::<(), Error>(())
        };
        each(&new, &take)?;
        intake.finish(diff_ids).map_err(|problem| Error::image(&request.name, problem))
    }

    /// Brings an image of a layout into the store.
    pub(super) fn load(
        &self,
        layout: &Layout,
        descriptor: &Descriptor,
        request: &BaseRequest,
    ) -> Result<BaseLayers, Error> {
        let name = &request.name;
        let image = layout.image(descriptor, &request.platform);
        let (descriptor, manifest, config) =
            image.map_err(|problem| Error::image(name, problem))?;
        let digest = digest_of(&descriptor)
            .ok_or_else(|| Error::image(name, "its digest is not SHA-256"))?;
        let blobs = manifest.0.layers();
        if blobs.len() != config.rootfs.diff_ids.len() {
            return Err(Error::image(
                name,
                "its manifest and its configuration disagree on the layers",
            ));
        }
        let mut layers = Vec::new();
        for (blob, diff_id) in blobs.iter().zip(&config.rootfs.diff_ids) {
            let blob = self.load_layer(layout, blob, diff_id, &layers, name)?;
            let content_id =
                self.engine.content_id(diff_id).map_err(|problem| Error::image(name, problem))?;
            layers.push(LayerRef {
                diff_id: *diff_id,
                content_id,
                clock: None,
                blob: Some(blob),
                step: None,
            });
        }
        Ok(BaseLayers { config, digest, layers })
    }

    /// Copies the blob of a layer, verified, unless it is there already.
    fn load_layer(
        &self,
        layout: &Layout,
        blob: &Descriptor,
        diff_id: &Digest,
        below: &[LayerRef],
        name: &str,
    ) -> Result<Descriptor, Error> {
        let store = self.engine.store();
        let digest =
            digest_of(blob).ok_or_else(|| Error::image(name, "a layer's digest is not SHA-256"))?;
        let descriptor =
            dfbuild_image::descriptor(oci_media_type(blob.media_type()), digest, blob.size());
        if !store.has_blob(&digest, blob.size())
            && !self.pack_again(&digest, diff_id, below)
            && !self.stays_far(blob, diff_id)?
        {
            let taken = self.engine.take_blob(layout, &digest);
            taken.map_err(|problem| Error::image(name, problem))?;
        }
        store.put_layer_blob(diff_id, &format!("base-{}", digest.short()), &descriptor)?;
        Ok(descriptor)
    }

    /// Takes a layer of a base over from another store.
    pub(super) fn take_over(&self, behind: &Engine, layer: &LayerRef) -> Result<(), StepError> {
        let (store, diff_id) = (self.engine.store(), &layer.diff_id);
        let Some((blob, digest)) = layer.blob.as_ref().and_then(|b| Some((b, digest_of(b)?)))
        else {
            return Ok(());
        };
        behind.obtain_blob(blob)?;
        if !store.link_blob(behind.store(), &digest)? {
            self.engine.take_blob(behind.store().layout(), &digest)?;
        }
        store.put_layer_blob(diff_id, &format!("base-{}", digest.short()), blob)?;
        store.put_layer_content(diff_id, &layer.content_id)?;
        if let Some(index) = behind.store().layer_index(diff_id) {
            store.put_layer_index(diff_id, &index)?;
        }
        if let Some(size) = behind.store().layer_size(diff_id) {
            store.put_layer_size(diff_id, size)?;
        }
        Ok(())
    }

    /// Whether a layer need not be here: it can be fetched, and what is in it is known.
    fn stays_far(&self, blob: &Descriptor, diff_id: &Digest) -> Result<bool, Error> {
        if !self.engine.can_have_blob(blob) {
            return Ok(false);
        }
        let store = self.engine.store();
        if store.layer_content(diff_id).is_some() {
            return Ok(true);
        }
        let Some(far) = self.imports.layer(diff_id) else { return Ok(false) };
        store.put_layer_content(diff_id, &far.content_id)?;
        store.put_layer_size(diff_id, far.tar_size)?;
        Ok(true)
    }

    /// Whether the lost blob of a layer could be made again, byte for byte, from its snapshot.
    fn pack_again(&self, blob: &Digest, diff_id: &Digest, below: &[LayerRef]) -> bool {
        // Without one nothing is read for it, least of all from elsewhere.
        if !self.engine.has_snapshot(diff_id) {
            return false;
        }
        let Ok(content_id) = self.engine.content_id(diff_id) else { return false };
        let layer = LayerRef { diff_id: *diff_id, content_id, clock: None, blob: None, step: None };
        let packing = Packing { encoding: Encoding::default(), times: None };
        self.engine.finish_layer(&layer, below, &packing).is_ok()
            && self.engine.store().blob_path(blob).is_file()
    }
}

/// Our manifests are OCI's, so Docker's layer types get their OCI names; the bytes are the same.
fn oci_media_type(media_type: &MediaType) -> MediaType {
    match media_type.to_string().as_str() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
        _ => media_type.clone(),
    }
}
