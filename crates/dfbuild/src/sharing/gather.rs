//! What a build knows that other machines can use.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use dfbuild_cache::{LayerRecord, Record};
use dfbuild_image::{Digest, digest_of};
use dfbuild_layer::Encoding;
use dfbuild_plan::StageId;

use super::document::{Document, SharedLayer, SharedRecord};
use super::notes::Notes;
use super::used::UsedStep;
use crate::error::StepError;
use crate::images::blobs::{FinalLayer, Packing, Times, compressor};
use crate::images::layer_ref::LayerRef;
use crate::schedule::session::Session;
use crate::schedule::stage_result::layer_ref;

/// Gathers steps with their layers, each once.
pub(super) struct Gather<'a> {
    session: &'a Session<'a>,
    /// The layers of the image, by what they were before their times were changed.
    of_image: HashMap<Digest, SharedLayer>,
    /// The stages whose layers these are.
    lineage: HashSet<StageId>,
    times: Option<Times>,
    layers: BTreeMap<Digest, SharedLayer>,
    records: Vec<SharedRecord>,
    notes: Notes,
}

impl<'a> Gather<'a> {
    /// Begins with the layers of an image in the form `packing`. Its base is part of the cache: a
    /// registry that has all of it can make the image again without a byte from here.
    pub(super) fn new(session: &'a Session<'a>, packing: &Packing) -> Self {
        Self {
            session,
            of_image: HashMap::new(),
            lineage: HashSet::new(),
            times: packing.times,
            layers: BTreeMap::new(),
            records: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// Adds the layers of the image of a target.
    pub(super) fn image(
        &mut self,
        target: StageId,
        files: &[LayerRef],
        layers: &[FinalLayer],
        encoding: Encoding,
    ) {
        self.lineage.extend(self.session.graph.lineage(target));
        for (layer, made) in files.iter().zip(layers) {
            let shared = self.shared_of_image(layer, made, encoding);
            if layer.blob.is_some() {
                self.layers.insert(shared.diff_id, shared.clone());
            }
            self.of_image.insert(layer.diff_id, shared);
        }
    }

    fn shared_of_image(
        &self,
        layer: &LayerRef,
        made: &FinalLayer,
        encoding: Encoding,
    ) -> SharedLayer {
        let compressor = match &layer.blob {
            Some(blob) => of_base(digest_of(blob)),
            None => compressor(encoding),
        };
        let times = self.times.filter(|_| layer.blob.is_none());
        SharedLayer {
            diff_id: made.diff_id,
            content_id: layer.content_id,
            tar_size: self.tar_size(&made.diff_id),
            derived: times.map(|times| times.key_of(&made.diff_id, &compressor)),
            compressor,
            blob: made.blob.clone(),
            outside: false,
        }
    }

    fn tar_size(&self, diff_id: &Digest) -> u64 {
        self.session.engine.store().layer_size(diff_id).unwrap_or_default()
    }

    /// Adds a step. Its layer is packed if no blob of it can be had.
    pub(super) fn step(&mut self, step: &UsedStep, encoding: Encoding) -> Result<(), StepError> {
        let layer = &step.record.layer;
        let in_image = self.lineage.contains(&step.stage);
        let (shared, record) = match self.of_image.get(&layer.diff_id).filter(|_| in_image) {
            Some(shared) => (shared.clone(), self.as_in_image(&step.record, shared)),
            None => (self.packed(step, encoding)?, step.record.clone()),
        };
        let record = Record { note: self.note(step), ..record };
        let keys = self.session.imports.keys_of(&step.keys, &layer.diff_id);
        self.records.push(SharedRecord::new(keys, &record));
        self.layers.insert(shared.diff_id, shared);
        for base in step.below.iter().filter(|below| below.blob.is_some()) {
            self.base(base);
        }
        Ok(())
    }

    /// Adds what a step depended on.
    fn note(&mut self, step: &UsedStep) -> Option<Digest> {
        let Session { engine, imports, graph, .. } = self.session;
        let note = step.record.note?;
        if !engine.store().has_object(&note) {
            imports.take_notes(engine);
        }
        let text = &graph.stage(step.stage).steps[step.at].text;
        self.notes.add(engine.store(), &note, text)
    }

    /// The record of a step whose layer went into the image with other times.
    fn as_in_image(&self, record: &Record, shared: &SharedLayer) -> Record {
        let layer = &record.layer;
        let clock = self.times.map_or(layer.clock.clone(), |times| times.clock_after(&layer.clock));
        let (diff_id, tar_size) = (shared.diff_id, shared.tar_size);
        Record {
            layer: LayerRecord { diff_id, tar_size, clock, ..layer.clone() },
            ..record.clone()
        }
    }

    fn packed(&self, step: &UsedStep, encoding: Encoding) -> Result<SharedLayer, StepError> {
        let (engine, layer) = (self.session.engine, &step.record.layer);
        let (compressor, blob) = if let Some(known) = engine.any_blob(&layer.diff_id) {
            known
        } else {
            let packing = Packing { encoding, times: None };
            let made = engine.finish_layer(&layer_ref(layer), &step.below, &packing)?;
            (compressor(encoding), made.blob)
        };
        Ok(SharedLayer {
            diff_id: layer.diff_id,
            content_id: layer.content_id,
            tar_size: layer.tar_size,
            compressor,
            blob,
            derived: None,
            outside: false,
        })
    }

    /// Adds what is known of a layer of a base that is not the image's.
    fn base(&mut self, layer: &LayerRef) {
        let Some(blob) = &layer.blob else { return };
        let tar_size = self.tar_size(&layer.diff_id);
        self.layers.entry(layer.diff_id).or_insert_with(|| SharedLayer {
            diff_id: layer.diff_id,
            content_id: layer.content_id,
            tar_size,
            compressor: of_base(digest_of(blob)),
            blob: blob.clone(),
            derived: None,
            outside: true,
        });
    }

    /// The document and what explains its records, which is put into the store.
    pub(super) fn finish(self) -> io::Result<Document> {
        let notes = self.notes.keep(self.session.engine.store())?;
        let mut document = self.finish_without_notes();
        document.notes = notes;
        Ok(document)
    }

    pub(super) fn finish_without_notes(self) -> Document {
        Document::new(self.layers.into_values().collect(), self.records)
    }
}

/// What the store calls whoever compressed a layer of a base.
fn of_base(blob: Option<Digest>) -> String {
    format!("base-{}", blob.map(|blob| blob.short()).unwrap_or_default())
}
