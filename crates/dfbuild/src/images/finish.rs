use std::time::Duration;

use dfbuild_image::{
    Descriptor, DescriptorExt, Digest, History, ImageConfig, Manifest, MediaType, Reference,
    Timestamp, descriptor,
};
use dfbuild_plan::{Base, HistoryLine, StageId};

use crate::build::{Build, Built};
use crate::error::Error;
use crate::event::Event;
use crate::images::blobs::FinalLayer;
use crate::images::export::export;
use crate::schedule::session::Session;
use crate::schedule::stage_run::StageResult;

/// An image that is in the store.
pub(crate) struct Image {
    pub(crate) manifest: Descriptor,
    pub(crate) config: ImageConfig,
    pub(crate) id: Digest,
    pub(crate) layers: Vec<FinalLayer>,
    pub(crate) tags: Vec<Reference>,
}

/// What the history says of who wrote it, so that tools can tell how to read it.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// Makes the image of the target, puts it into the store, tags it and hands it out.
pub(crate) fn finish(session: &Session<'_>, result: &StageResult) -> Result<Built, Error> {
    let tags = parse_tags(session.build)?;
    let image = session.progress.task("exporting image", || make_image(session, result, tags))?;
    for output in &session.build.outputs {
        export(session, &image, result, output)?;
    }
    for tag in &image.tags {
        session.engine.store().tag(tag, &image.manifest)?;
    }
    if session.build.push {
        let tell = |event: &Event| session.progress.tell(event);
        for tag in &image.tags {
            session.engine.push_tagged(tag, &tell)?;
        }
    }
    let counts = session.progress.counts();
    let sizes = image.layers.iter().map(|layer| session.engine.tar_size(&layer.diff_id));
    Ok(Built {
        image_id: image.id,
        descriptor: image.manifest,
        tags: image.tags,
        size: sizes.sum(),
        layers: image.layers.len(),
        cached: counts.cached,
        ran: counts.ran,
        duration: Duration::ZERO,
    })
}

/// The names of a build.
pub(crate) fn parse_tags(build: &Build) -> Result<Vec<Reference>, Error> {
    build.tags.iter().map(|name| parse_tag(name)).collect()
}

fn parse_tag(name: &str) -> Result<Reference, Error> {
    let option = |reason: String| Error::Option { option: format!("--tag {name}"), reason };
    let reference: Reference = name
        .parse()
        .map_err(|error: dfbuild_image::ParseReferenceError| option(error.to_string()))?;
    match reference.digest {
        Some(_) => Err(option("an image cannot be given a digest as its name".to_owned())),
        None => Ok(reference),
    }
}

fn make_image(
    session: &Session<'_>,
    result: &StageResult,
    tags: Vec<Reference>,
) -> Result<Image, Error> {
    let engine = session.engine;
    let epoch = session.graph.epoch;
    let mut layers = Vec::new();
    for (at, layer) in result.layers.iter().enumerate() {
        let last = engine.finish_layer(layer, &result.layers[..at], epoch);
        layers.push(last.map_err(|error| Error::image("of this build", error))?);
    }
    let config = configuration(session, result, &layers);
    let json = config.to_json();
    let id = engine.store().put_blob(&json)?;
    let config_descriptor = descriptor(MediaType::ImageConfig, id, json.len() as u64);
    let blobs = layers.iter().map(|layer| layer.blob.clone()).collect();
    let manifest = Manifest::new(config_descriptor, blobs).to_json();
    let digest = engine.store().put_blob(&manifest)?;
    let platform = config.platform();
    let manifest = descriptor(MediaType::ImageManifest, digest, manifest.len() as u64)
        .with_platform(&platform);
    Ok(Image { manifest, config, id, layers, tags })
}

/// The configuration with its layers and history.
fn configuration(
    session: &Session<'_>,
    result: &StageResult,
    layers: &[FinalLayer],
) -> ImageConfig {
    let stage = session.graph.target();
    let base = base_config(session);
    let epoch = session.graph.epoch.map(Timestamp::from_seconds);
    let mut history = base.as_ref().map(|base| base.history.clone()).unwrap_or_default();
    let of_base = history.len();
    history.extend(own_history(session, result, epoch));
    fill_times(&mut history[of_base..]);
    let created = history[of_base..].iter().rev().find_map(|line| line.created);
    let created = created.or(base.as_ref().and_then(|base| base.created));
    let mut config = stage.config.clone();
    config.created = Some(created.or(epoch).unwrap_or(Timestamp::NO_CLOCK));
    if let (Some(created), Some(epoch)) = (config.created, epoch) {
        config.created = Some(created.min(epoch));
    }
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    config.history = history;
    config
}

/// The stages of the target, from the one that begins with an image down to the target itself.
pub(crate) fn lineage(session: &Session<'_>) -> Vec<StageId> {
    let mut stages = vec![StageId(session.graph.stages.len() - 1)];
    while let Base::Stage(base) = session.graph.stage(stages[0]).base {
        stages.insert(0, base);
    }
    stages
}

fn base_config(session: &Session<'_>) -> Option<ImageConfig> {
    match &session.graph.stage(lineage(session)[0]).base {
        Base::Image(request) => Some(session.bases[request].config.clone()),
        _ => None,
    }
}

fn own_history(
    session: &Session<'_>,
    result: &StageResult,
    epoch: Option<Timestamp>,
) -> Vec<History> {
    let mut lines = Vec::new();
    let stages = lineage(session);
    let target = stages.len() - 1;
    if let Base::Directory(name) = &session.graph.stage(stages[0]).base {
        let created_by = format!("COPY / / # named context {name}");
        lines.push(line(&HistoryLine { created_by, step: Some(0) }, Some(Timestamp::NO_CLOCK)));
    }
    for (at, id) in stages.iter().enumerate() {
        let stage = session.graph.stage(*id);
        let other;
        let created = if at == target {
            &result.created
        } else {
            other = session.created(*id);
            &other
        };
        for entry in &stage.history {
            let time = entry.step.and_then(|step| created.get(step).copied());
            let time = time.map(|time| epoch.map_or(time, |epoch| time.min(epoch)));
            lines.push(line(entry, time));
        }
    }
    lines
}

fn line(entry: &HistoryLine, created: Option<Timestamp>) -> History {
    History {
        created,
        created_by: entry.created_by.clone(),
        author: String::new(),
        comment: HISTORY_COMMENT.to_owned(),
        empty_layer: entry.step.is_none(),
    }
}

/// Lines without a layer were made when the layer before them was, else the one after them.
fn fill_times(lines: &mut [History]) {
    let mut last = lines.iter().find_map(|line| line.created);
    for line in lines {
        match line.created {
            Some(created) => last = Some(created),
            None => line.created = last,
        }
    }
}
