//! Writing caches for other machines.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use dfbuild_image::{
    Descriptor, DescriptorExt, Digest, Index, MediaType, REF_NAME_ANNOTATION, Reference,
    descriptor, digest_of,
};
use dfbuild_plan::StageId;

use super::document::{ANNOTATION, Document};
use super::gather::Gather;
use super::options::{CacheExport, CacheMode, CacheTarget};
use super::steps::steps_of;
use crate::causes::with_causes;
use crate::error::{Error, StepError};
use crate::event::Event;
use crate::images::blobs::{FinalLayer, Packing};
use crate::images::export::layout::{Blob, MARKER, blob_path};
use crate::images::export::write_file;
use crate::images::image::Image;
use crate::images::layer_ref::LayerRef;
use crate::schedule::session::{Session, encoding};

/// Writes the caches that a build was asked for. One that cannot be written is told of, and the
/// build is as good as without.
pub(crate) fn export(session: &Session<'_>, image: &Image) {
    for cache in &session.build.cache_to {
        if cache.target == CacheTarget::Inline || session.ending().is_near() {
            continue;
        }
        if let Err(reason) = write(session, image, cache) {
            session.progress.notice(format!("cache {} is not written: {reason}", cache.target));
        }
    }
}

/// The annotation with the cache inside the manifest of an image, if that was asked for.
pub(crate) fn inline(
    session: &Session<'_>,
    target: StageId,
    files: &[LayerRef],
    layers: &[FinalLayer],
    packing: &Packing,
) -> Option<(String, String)> {
    let mut caches = session.build.cache_to.iter();
    caches.find(|cache| cache.target == CacheTarget::Inline)?;
    let mut gather = Gather::new(session, packing);
    gather.image(target, files, layers, packing.encoding);
    let lineage = session.graph.lineage(target);
    let steps = steps_of(session, CacheMode::Min).into_iter();
    for step in steps.filter(|step| lineage.contains(&step.stage)) {
        gather.step(&step, packing.encoding).ok()?;
    }
    // Why another machine misses is not worth a manifest's room.
    let json = gather.finish_without_notes().to_json();
    if json.len() > LARGEST_INLINE {
        let text = format!(
            "the inline cache is left out: it has {} bytes, and manifests hold {LARGEST_INLINE}",
            json.len()
        );
        session.progress.notice(text);
        return None;
    }
    Some((ANNOTATION.to_owned(), String::from_utf8(json).expect("JSON is text")))
}

/// Registries take manifests of 4 MiB (OCI distribution-spec, "Pushing Manifests"); quotes in a
/// text inside a text take two bytes.
const LARGEST_INLINE: usize = 1 << 20;

fn write(session: &Session<'_>, image: &Image, cache: &CacheExport) -> Result<(), String> {
    let what = format!("exporting cache to {}", cache.target);
    session.progress.task(&what, || {
        let document = gather(session, image, cache).map_err(|error| with_causes(&error))?;
        match &cache.target {
            CacheTarget::Registry(reference) => {
                to_registry(session, &document, reference).map_err(|error| match error {
                    Error::Image { reason, .. } => reason,
                    error => with_causes(&error),
                })
            }
            CacheTarget::Local { folder, tag } => {
                to_folder(session, &document, folder, tag).map_err(|error| with_causes(&error))
            }
            CacheTarget::Inline => Ok(()),
        }
    })
}

fn gather(
    session: &Session<'_>,
    image: &Image,
    cache: &CacheExport,
) -> Result<Document, StepError> {
    let packing = &session.packing;
    let mut gather = Gather::new(session, packing);
    let wanted = cache.compression.map_or(packing.encoding, encoding);
    for (target, platform) in session.graph.targets.iter().zip(&image.platforms) {
        if wanted == packing.encoding {
            gather.image(*target, &platform.files, &platform.layers, wanted);
            continue;
        }
        let packing = Packing { encoding: wanted, ..*packing };
        let layers =
            platform.files.iter().enumerate().map(|(at, layer)| {
                session.engine.finish_layer(layer, &platform.files[..at], &packing)
            });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        gather.image(*target, &platform.files, &layers, wanted);
    }
    for step in steps_of(session, cache.mode) {
        gather.step(&step, wanted)?;
    }
    gather.finish().map_err(StepError::io("write notes to", session.engine.store().root()))
}

fn to_registry(
    session: &Session<'_>,
    document: &Document,
    reference: &Reference,
) -> Result<(), Error> {
    let (manifest, json) = document.manifest();
    let manifest = manifest.to_json();
    session.engine.store().put_blob(&json)?;
    let digest = session.engine.store().put_blob(&manifest)?;
    let top = descriptor(MediaType::ImageManifest, digest, manifest.len() as u64);
    let tell = |event: &Event| session.progress.tell(event);
    session.engine.push_as(reference, &top, &format!("pushing cache {reference}"), &tell)?;
    Ok(())
}

/// Writes a cache into an image layout. What is there stays, but for a cache of the same name.
fn to_folder(
    session: &Session<'_>,
    document: &Document,
    folder: &Path,
    tag: &str,
) -> Result<(), StepError> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(StepError::io("create", &blobs))?;
    let put = |path: &Path, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        write_file(path, session.ending(), write).map_err(StepError::io("write", path))
    };
    let (manifest, json) = document.manifest();
    for blob in manifest.0.layers() {
        let Some(digest) = digest_of(blob) else { continue };
        let path = folder.join(blob_path(&digest));
        if fs::metadata(&path).is_ok_and(|there| there.len() == blob.size()) {
            continue;
        }
        session.engine.obtain_blob(blob)?;
        put(&path, &|out| {
            let mut blob = Blob::open(session.engine, digest)?;
            io::copy(&mut blob, out)?;
            blob.check()
        })?;
    }
    let manifest = manifest.to_json();
    let digest = Digest::of(&manifest);
    for (digest, bytes) in [(Digest::of(&json), &json), (digest, &manifest)] {
        put(&folder.join(blob_path(&digest)), &|out| out.write_all(bytes))?;
    }
    let name = |known: &Descriptor| {
        known.annotations().as_ref().and_then(|all| all.get(REF_NAME_ANNOTATION).cloned())
    };
    let known = fs::read(folder.join("index.json")).ok();
    let known = known.and_then(|bytes| Index::from_json(&bytes).ok());
    let known = known.map(|index| index.0.manifests().clone()).unwrap_or_default();
    let kept = known.into_iter().filter(|known| name(known).as_deref() != Some(tag));
    let top = descriptor(MediaType::ImageManifest, digest, manifest.len() as u64);
    let top = top.with_annotations([(REF_NAME_ANNOTATION, tag)]);
    let index = Index::new(kept.chain([top]).collect()).to_json();
    put(&folder.join("oci-layout"), &|out| out.write_all(MARKER))?;
    put(&folder.join("index.json"), &|out| out.write_all(&index))
}
