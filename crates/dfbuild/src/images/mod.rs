//! Where images come from and where they go: bases, layers, blobs, archives.

pub(crate) mod base_images;
pub(crate) mod base_layers;
pub(crate) mod blobs;
pub(crate) mod compare;
pub(crate) mod copy_out;
mod daemon;
pub(crate) mod details;
pub(crate) mod export;
pub(crate) mod finish;
pub(crate) mod image;
pub(crate) mod intake;
pub(crate) mod last_layer;
pub(crate) mod layer_cache;
pub(crate) mod layer_report;
pub(crate) mod layers;
pub(crate) mod lineage;
pub(crate) mod load;
pub(crate) mod local;
mod meant;
pub(crate) mod meter;
pub(crate) mod names;
mod packing;
pub(crate) mod pull;
mod push;
pub(crate) mod rootfs;
mod save;
pub(crate) mod transfer;
