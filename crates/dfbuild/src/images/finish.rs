use std::sync::Arc;
use std::time::Duration;

use dfbuild_image::{
    Descriptor, DescriptorExt, Index, MediaType, Reference, descriptor, digest_of,
};

use crate::build::{Build, Built};
use crate::error::Error;
use crate::event::Event;
use crate::images::blobs::Packing;
use crate::images::export::export;
use crate::images::image::{Image, PlatformImage};
use crate::images::transfer::once;
use crate::options::{AnnotationTarget, Output, OutputKind};
use crate::schedule::session::Session;
use crate::schedule::stage_result::StageResult;
use crate::sharing;

/// Makes the images of the targets, puts them into the store, tags them and hands them out.
pub(crate) fn finish(session: &Session<'_>, results: &[Arc<StageResult>]) -> Result<Built, Error> {
    let tags = parse_tags(session.build)?;
    let make = |packing: &Packing| make_image(session, results, packing, &tags);
    let image = session.progress.task("exporting image", || make(&session.packing))?;
    complete(session, &image)?;
    for output in &session.build.outputs {
        let packing = session.packing_of(output);
        if packing == session.packing {
            export(session, &image, output)?;
        } else {
            export(session, &make(&packing)?, output)?;
        }
    }
    for tag in &image.tags {
        session.engine.store().tag(tag, &image.top)?;
    }
    if session.build.push {
        let tell = |event: &Event| session.progress.tell(event);
        for tag in &image.tags {
            if session.build.push_by_digest {
                session.engine.push_pinned(tag, &image.top, &tell)?;
            } else {
                session.engine.push_tagged(tag, None, &tell)?;
            }
        }
    }
    sharing::export(session, &image);
    let counts = session.progress.counts();
    let layers = image.platforms.iter().flat_map(|platform| &platform.layers);
    let sizes = layers.clone().map(|layer| session.engine.tar_size(&layer.diff_id));
    let of_index = digest_of(&image.top).expect("it was made here");
    Ok(Built {
        image_id: match image.platforms.as_slice() {
            [only] => only.id,
            _ => of_index,
        },
        size: sizes.sum(),
        layers: layers.count(),
        platforms: image.platforms.iter().map(|image| image.platform.clone()).collect(),
        descriptor: image.top,
        tags: image.tags,
        cached: counts.cached,
        ran: counts.ran,
        duration: Duration::ZERO,
    })
}

/// Fetches what the image still lacks, if somebody may read it from the store: under a name, or in
/// an output. A push needs nothing here that its registry has.
fn complete(session: &Session<'_>, image: &Image) -> Result<(), Error> {
    let read = |output: &Output| !matches!(output.kind, OutputKind::Store);
    let named = !image.tags.is_empty() && !session.build.push;
    if !named && !session.build.outputs.iter().any(read) {
        return Ok(());
    }
    let layers = image.platforms.iter().flat_map(|platform| &platform.layers);
    let blobs: Vec<Descriptor> = layers.map(|layer| layer.blob.clone()).collect();
    let obtained = session.engine.obtain_blobs(&once(&blobs));
    obtained.map_err(|error| Error::image("of this build", error))
}

/// The names of a build.
pub(crate) fn parse_tags(build: &Build) -> Result<Vec<Reference>, Error> {
    build.tags.iter().map(|name| parse_tag(name, build.push_by_digest)).collect()
}

fn parse_tag(name: &str, by_digest: bool) -> Result<Reference, Error> {
    let option = |reason: String| Error::Option { option: format!("--tag {name}"), reason };
    let reference: Reference = name
        .parse()
        .map_err(|error: dfbuild_image::ParseReferenceError| option(error.to_string()))?;
    match reference.digest {
        Some(_) => Err(option("an image cannot be given a digest as its name".to_owned())),
        // BuildKit `push.Push`. A colon before the last slash is that of a port.
        None if by_digest && name.rsplit('/').next().is_some_and(|last| last.contains(':')) => {
            Err(option("what is pushed by digest has no tag: leave it out".to_owned()))
        }
        None => Ok(reference),
    }
}

fn make_image(
    session: &Session<'_>,
    results: &[Arc<StageResult>],
    packing: &Packing,
    tags: &[Reference],
) -> Result<Image, Error> {
    let asked = &session.build.platforms;
    let asked = |at: usize| if results.len() > 1 { asked.get(at) } else { None };
    let targets = session.graph.targets.iter().zip(results).enumerate();
    let platforms = targets
        .map(|(at, (target, result))| {
            PlatformImage::make(session, (*target, asked(at)), result, packing)
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let top = match platforms.as_slice() {
        [only] => only.manifest.clone(),
        several => put_index(session, several)?,
    };
    Ok(Image { platforms, top, tags: tags.to_vec() })
}

/// Puts the index of the images of several platforms into the store.
fn put_index(session: &Session<'_>, images: &[PlatformImage]) -> Result<Descriptor, Error> {
    let annotations = |target| session.build.annotations_of(target, None);
    let manifests = images.iter().map(|image| image.manifest.clone()).collect();
    let index = Index::new(manifests).with_annotations(annotations(AnnotationTarget::Index));
    let index = index.to_json();
    let digest = session.engine.store().put_blob(&index)?;
    Ok(descriptor(MediaType::ImageIndex, digest, index.len() as u64)
        .with_annotations(annotations(AnnotationTarget::IndexDescriptor)))
}
