use std::io;

use dfbuild_image::{Descriptor, Digest, ImageConfig, Manifest, MediaType, Reference, descriptor};
use dfbuild_layer::Encoding;
use dfbuild_layer::archive::{Compression, detect};
use dfbuild_store::Staging;
use serde::Deserialize;

use super::files::{Files, Staged};
use super::layout::note_layers;
use super::{Found, LoadError};
use crate::engine::Engine;
use crate::error::StepError;

/// An image of `manifest.json` (moby, image/spec/v1.2.md, "Combined Image JSON + Filesystem
/// Changeset Format").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Loads the images of an archive of `docker save`. Their layers are mostly not compressed there;
/// they are compressed as those of a build are, so that they can be pushed.
pub(super) fn load(
    engine: &Engine,
    files: &Files,
    staging: &Staging,
) -> Result<Vec<Found>, LoadError> {
    let malformed = |what: &str, error: serde_json::Error| {
        LoadError::new(format!("its {what} is malformed: {error}"))
    };
    let images: Vec<DockerImage> = serde_json::from_slice(&files.document("manifest.json")?)
        .map_err(|error| malformed("manifest.json", error))?;
    let mut found = Vec::new();
    for image in images {
        let json = files.document(&image.config)?;
        let config: ImageConfig =
            serde_json::from_slice(&json).map_err(|error| malformed(&image.config, error))?;
        let names = image.layers.unwrap_or_default();
        if names.len() != config.rootfs.diff_ids.len() {
            let text = "manifest.json and the configuration disagree on the layers";
            return Err(LoadError::new(text));
        }
        let layers = names.iter().zip(&config.rootfs.diff_ids);
        let layers: Vec<Descriptor> = layers
            .map(|(name, diff_id)| layer(engine, files, name, diff_id, staging))
            .collect::<Result<_, _>>()?;
        note_layers(engine, &config, &layers)?;
        let id = engine.store().put_blob(&json)?;
        let config = descriptor(MediaType::ImageConfig, id, json.len() as u64);
        let manifest = Manifest::new(config, layers).to_json();
        let digest = engine.store().put_blob(&manifest)?;
        let names = image.repo_tags.unwrap_or_default();
        found.push(Found {
            names: names.iter().filter_map(|name| name.parse::<Reference>().ok()).collect(),
            top: descriptor(MediaType::ImageManifest, digest, manifest.len() as u64),
            only_tag: None,
            partial: false,
        });
    }
    if found.is_empty() {
        return Err(LoadError::new("there is no image in it"));
    }
    Ok(found)
}

/// The blob of a layer, in the store.
fn layer(
    engine: &Engine,
    files: &Files,
    name: &str,
    diff_id: &Digest,
    staging: &Staging,
) -> Result<Descriptor, LoadError> {
    if let Some(known) = engine.store().any_layer_blob(diff_id) {
        return Ok(known);
    }
    let staged = files.take(engine, name, staging)?;
    let staged = staged.ok_or_else(|| LoadError::new(format!("layer {name} is missing in it")))?;
    let mut head = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(staged.open()?, 512), &mut head)?;
    match detect(&head).unwrap_or(Compression::Plain) {
        Compression::Gzip => keep(engine, diff_id, staged, MediaType::ImageLayerGzip),
        Compression::Zstd => keep(engine, diff_id, staged, MediaType::ImageLayerZstd),
        Compression::Plain if staged.digest == *diff_id => {
            let mut file = staged.open()?;
            let write = |out: &mut dyn io::Write| {
                let copied = io::copy(&mut file, out).map(drop);
                copied.map_err(StepError::io("read", staged.file.path()))
            };
            Ok(engine.put_layer(staging, Encoding::default(), write)?.blob)
        }
        Compression::Plain => {
            Err(LoadError::new(format!("layer {name} is damaged: it should have digest {diff_id}")))
        }
        other => Err(LoadError::new(format!("layer {name} is compressed with {other:?}"))),
    }
}

/// Keeps a layer as it is. Whether it inflates to what the configuration says shows when somebody
/// looks into it.
fn keep(
    engine: &Engine,
    diff_id: &Digest,
    staged: Staged,
    kind: MediaType,
) -> Result<Descriptor, LoadError> {
    let (digest, size) = (staged.digest, staged.size);
    engine.store().put_staged(staged.file, &digest)?;
    let blob = descriptor(kind, digest, size);
    // The archive may name it again.
    engine.store().put_layer_blob(diff_id, &format!("base-{}", digest.short()), &blob)?;
    Ok(blob)
}
