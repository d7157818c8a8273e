//! The image of one platform: its manifest, its configuration and its history.

use dfbuild_image::{
    DescriptorExt, History, ImageConfig, Manifest, MediaType, Platform, Timestamp, descriptor,
};
use dfbuild_plan::{Base, HistoryLine, StageId};

use crate::error::Error;
use crate::images::blobs::{FinalLayer, Packing};
use crate::images::image::PlatformImage;
use crate::options::AnnotationTarget;
use crate::schedule::session::Session;
use crate::schedule::stage_result::StageResult;
use crate::sharing::inline;

/// What the history says of who wrote it, so that tools can tell how to read it.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

impl PlatformImage {
    /// Makes the image of a target and puts it into the store. Among several it goes by the platform that was `asked`
    /// for, whatever its base turned out to be: an index would name one twice (`dockerui.Client.Build`).
    pub(crate) fn make(
        session: &Session<'_>,
        (target, asked): (StageId, Option<&Platform>),
        result: &StageResult,
        packing: &Packing,
    ) -> Result<Self, Error> {
        let store = session.engine.store();
        let mut layers = Vec::new();
        for (at, layer) in result.layers.iter().enumerate() {
            let last = session.engine.finish_layer(layer, &result.layers[..at], packing);
            layers.push(last.map_err(|error| Error::image("of this build", error))?);
        }
        let config = configuration(session, target, result, &layers);
        let platform = asked.cloned().unwrap_or_else(|| config.platform());
        let json = config.to_json();
        let id = store.put_blob(&json)?;
        let config_descriptor = descriptor(MediaType::ImageConfig, id, json.len() as u64);
        let blobs = layers.iter().map(|layer| layer.blob.clone()).collect();
        let mut annotations =
            session.build.annotations_of(AnnotationTarget::Manifest, Some(&platform));
        annotations.extend(inline(session, target, &result.layers, &layers, packing));
        let manifest = Manifest::new(config_descriptor, blobs).with_annotations(annotations);
        let manifest = manifest.to_json();
        let digest = store.put_blob(&manifest)?;
        let annotations =
            session.build.annotations_of(AnnotationTarget::ManifestDescriptor, Some(&platform));
        let manifest = descriptor(MediaType::ImageManifest, digest, manifest.len() as u64)
            .with_platform(&platform)
            .with_annotations(annotations);
        Ok(Self { platform, manifest, config, id, layers, files: result.layers.clone() })
    }
}

/// The configuration with its layers and history.
fn configuration(
    session: &Session<'_>,
    target: StageId,
    result: &StageResult,
    layers: &[FinalLayer],
) -> ImageConfig {
    let stage = session.graph.stage(target);
    let lineage = session.graph.lineage(target);
    let base = base_config(session, lineage[0]);
    let epoch = session.graph.epoch.map(Timestamp::from_seconds);
    let mut history = base.as_ref().map(|base| base.history.clone()).unwrap_or_default();
    let of_base = history.len();
    history.extend(own_history(session, &lineage, result, epoch));
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

fn base_config(session: &Session<'_>, first: StageId) -> Option<ImageConfig> {
    match &session.graph.stage(first).base {
        Base::Image(request) => Some(session.bases[request].config.clone()),
        _ => None,
    }
}

fn own_history(
    session: &Session<'_>,
    lineage: &[StageId],
    result: &StageResult,
    epoch: Option<Timestamp>,
) -> Vec<History> {
    let mut lines = Vec::new();
    let target = lineage.len() - 1;
    if let Base::Directory(name) = &session.graph.stage(lineage[0]).base {
        let created_by = format!("COPY / / # named context {name}");
        lines.push(line(&HistoryLine { created_by, step: Some(0) }, Some(Timestamp::NO_CLOCK)));
    }
    for (at, id) in lineage.iter().enumerate() {
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
