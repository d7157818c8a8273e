use dfbuild_image::{Descriptor, Digest, ImageConfig, Platform, Reference};

use crate::images::blobs::FinalLayer;
use crate::images::layer_ref::LayerRef;

/// What a build made, in the store: an image, or one for each of several platforms.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// In the order that was asked for; at least one.
    pub(crate) platforms: Vec<PlatformImage>,
    /// The manifest, or the index of the manifests.
    pub(crate) top: Descriptor,
    pub(crate) tags: Vec<Reference>,
}

/// The image of one platform; its blobs are in the store.
#[derive(Debug, Clone)]
pub(crate) struct PlatformImage {
    pub(crate) platform: Platform,
    pub(crate) manifest: Descriptor,
    pub(crate) config: ImageConfig,
    /// The digest of the configuration.
    pub(crate) id: Digest,
    pub(crate) layers: Vec<FinalLayer>,
    /// The layers as they were made, for outputs that look into them.
    pub(crate) files: Vec<LayerRef>,
}
