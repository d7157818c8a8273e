//! Getting the document of a cache from where it is.

use std::path;

use dfbuild_image::{
    Descriptor, Digest, Index, Manifest, MediaType, Platform, Reference, digest_of,
};
use dfbuild_remote::Registry;
use dfbuild_store::Layout;

use super::document::{self, Document};
use super::options::CacheSource;
use super::origin::Origin;
use crate::build::Build;
use crate::causes::with_causes;
use crate::engine::Engine;

/// The documents of a cache: several if it is in an image for several platforms.
pub(super) fn fetch(
    engine: &Engine,
    source: &CacheSource,
    build: &Build,
) -> Result<Vec<(Origin, Document)>, String> {
    let (origin, documents) = match source {
        CacheSource::Registry(reference) => {
            let registry = engine.registry().map_err(|error| with_causes(&error))?;
            let registry = registry.ok_or("this build has no network")?;
            let manifest = |name: &Reference| {
                registry.manifest(name).map(|found| found.bytes).map_err(|error| missing(&error))
            };
            let at = |digest: Digest| manifest(&reference.pinned(digest));
            let blob = |blob: &Descriptor| small_blob(registry, reference, blob);
            let documents = documents(&manifest(reference)?, build, &at, &blob)?;
            (Origin::Repository(reference.clone()), documents)
        }
        CacheSource::Local { folder, tag, digest } => {
            let layout = Layout::open(folder).map_err(|error| with_causes(&error))?;
            let at = |digest: Digest| layout.read_blob(&digest).map_err(|e| with_causes(&e));
            let blob = |blob: &Descriptor| at(digest_of(blob).ok_or("its digest is not SHA-256")?);
            let top = match digest {
                Some(digest) => *digest,
                None => named(&layout, tag.as_deref())?,
            };
            let folder = path::absolute(folder).map_err(|error| error.to_string())?;
            (Origin::Layout(folder), documents(&at(top)?, build, &at, &blob)?)
        }
    };
    Ok(documents.into_iter().map(|document| (origin.clone(), document)).collect())
}

fn named(layout: &Layout, tag: Option<&str>) -> Result<Digest, String> {
    let found = layout.find(tag).map_err(|error| with_causes(&error))?;
    digest_of(&found).ok_or_else(|| "its digest is not SHA-256".to_owned())
}

/// What a registry says of a cache that nobody has written yet, in words that do not frighten.
fn missing(error: &dfbuild_remote::Error) -> String {
    match error.status() {
        Some(404) => "there is none yet".to_owned(),
        _ => with_causes(error),
    }
}

fn small_blob(
    registry: &dyn Registry,
    name: &Reference,
    blob: &Descriptor,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    registry.blob(name, blob, &mut bytes, &|_| {}).map_err(|error| with_causes(&error))?;
    Ok(bytes)
}

/// The documents that a manifest or an index leads to.
fn documents(
    bytes: &[u8],
    build: &Build,
    at: &dyn Fn(Digest) -> Result<Vec<u8>, String>,
    blob: &dyn Fn(&Descriptor) -> Result<Vec<u8>, String>,
) -> Result<Vec<Document>, String> {
    let Some(index) = Index::from_json(bytes).ok().filter(|index| {
        index.0.media_type().as_ref().is_none_or(|kind| *kind != MediaType::ImageManifest)
    }) else {
        let manifest = Manifest::from_json(bytes);
        let manifest = manifest.map_err(|error| format!("its manifest is none: {error}"))?;
        return Ok(vec![document::read(&manifest, blob)?]);
    };
    let host = [Platform::host()];
    let platforms = if build.platforms.is_empty() { &host[..] } else { &build.platforms };
    let mut found = Vec::new();
    for platform in platforms {
        // An image need not be there for each of them.
        let Some(digest) = index.find(platform).and_then(digest_of) else { continue };
        let manifest = Manifest::from_json(&at(digest)?);
        let manifest = manifest.map_err(|error| format!("its manifest is none: {error}"))?;
        found.push(document::read(&manifest, blob)?);
    }
    Ok(found)
}
