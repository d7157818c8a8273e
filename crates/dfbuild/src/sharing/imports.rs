use std::collections::HashMap;
use std::sync::Once;
use std::thread;

use dfbuild_cache::{LayerRecord, Record};
use dfbuild_image::{Descriptor, Digest, digest_of};

use super::document::{Document, SharedLayer, SharedRecord};
use super::notes;
use super::options::CacheSource;
use super::origin::Origin;
use super::source::fetch;
use crate::build::Build;
use crate::engine::Engine;
use crate::event::{Event, Observer};
use crate::images::blobs::FinalLayer;
use crate::schedule::progress::{InTurn, task};

/// What the caches that a build reads from know. Their layers stay where they are.
#[derive(Debug, Default)]
pub(crate) struct Imports(Vec<Import>);

/// What one cache knows.
#[derive(Debug)]
struct Import {
    /// Where its layers are.
    origin: Origin,
    layers: HashMap<Digest, SharedLayer>,
    /// By each of their keys.
    records: HashMap<Digest, Record>,
    shared: Vec<SharedRecord>,
    /// What explains them, and whether somebody asked for it.
    notes: Option<Descriptor>,
    notes_taken: Once,
}

/// What is known of a layer that nobody has looked into here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FarLayer {
    pub(crate) content_id: Digest,
    pub(crate) tar_size: u64,
}

impl Imports {
    /// Asks each cache what it has. One that cannot be had is told of, and does not count.
    pub(crate) fn load(build: &Build, engine: &Engine, observer: &dyn Observer) -> Self {
        if build.no_cache || build.cache_from.is_empty() {
            return Self::default();
        }
        let observer = InTurn::new(observer);
        let load = |source: &CacheSource| {
            if let CacheSource::Registry(name) = source
                && engine.is_only_here(name)
            {
                let text =
                    format!("cache {source} is an image of this store: its steps are used anyway");
                observer.event(&Event::Notice { text });
                return Err(());
            }
            let what = format!("importing cache manifest from {source}");
            let found = task(&observer, &what, || fetch(engine, source, build));
            found.map_err(|reason| {
                let text = format!("cache {source} is not used: {reason}");
                observer.event(&Event::Notice { text });
            })
        };
        let load = &load;
        let found = thread::scope(|scope| {
            let sources = build.cache_from.iter();
            let threads: Vec<_> = sources.map(|source| scope.spawn(move || load(source))).collect();
            let found = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            found.collect::<Vec<_>>()
        });
        Self(found.into_iter().flatten().flatten().map(Import::new).collect())
    }

    /// Whether no cache is read from.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known under a key, whatever it is worth.
    pub(crate) fn record(&self, key: &Digest) -> Option<&Record> {
        self.0.iter().find_map(|import| import.records.get(key))
    }

    /// The record under a key, if it `fits` and its layer can be had. The store knows the layer
    /// from then on; it is fetched when somebody looks into it.
    pub(crate) fn take(
        &self,
        engine: &Engine,
        key: &Digest,
        fits: &dyn Fn(&Record) -> bool,
    ) -> Option<Record> {
        self.0.iter().find_map(|import| {
            let record = import.records.get(key).filter(|record| fits(record))?;
            let layer = &import.layers[&record.layer.diff_id];
            // A store that cannot be written to cannot hold the layer either.
            import.note(engine, layer).ok()?;
            engine.has_layer(&layer.diff_id).then(|| record.clone())
        })
    }

    /// All keys that a cache has the same result under.
    pub(super) fn keys_of(&self, known: &[Digest], diff_id: &Digest) -> Vec<Digest> {
        let mut keys = known.to_vec();
        for shared in self.0.iter().flat_map(|import| &import.shared) {
            let same = || shared.decode().is_some_and(|record| record.layer.diff_id == *diff_id);
            if shared.keys.iter().any(|key| known.contains(key)) && same() {
                keys.extend(&shared.keys);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Takes what explains misses into the store, once. Without it they are explained less well.
    pub(crate) fn take_notes(&self, engine: &Engine) {
        for import in &self.0 {
            let Some(blob) = &import.notes else { continue };
            import.notes_taken.call_once(|| {
                let origin = import.origin.to_string();
                let noted = digest_of(blob).map(|it| engine.store().note_origin(&it, &origin));
                if matches!(noted, Some(Ok(()))) {
                    let _ = notes::take(engine, blob);
                }
            });
        }
    }

    /// What is in a layer that may be in no store yet: enough to build upon.
    pub(crate) fn layer(&self, diff_id: &Digest) -> Option<FarLayer> {
        let layer = self.0.iter().find_map(|import| import.layers.get(diff_id))?;
        Some(FarLayer { content_id: layer.content_id, tar_size: layer.tar_size })
    }
}

impl Import {
    fn new((origin, document): (Origin, Document)) -> Self {
        let mut records = HashMap::new();
        for shared in &document.records {
            // Another version's record is none.
            let Some(record) = shared.decode() else { continue };
            if !document.layers.iter().any(|layer| is_of(layer, &record.layer)) {
                continue;
            }
            for key in &shared.keys {
                records.entry(*key).or_insert_with(|| record.clone());
            }
        }
        let layers = document.layers.into_iter().map(|layer| (layer.diff_id, layer)).collect();
        let (shared, notes) = (document.records, document.notes);
        Self { origin, layers, records, shared, notes, notes_taken: Once::new() }
    }

    /// Notes in the store what a layer is and where it can be had.
    fn note(&self, engine: &Engine, layer: &SharedLayer) -> Result<(), dfbuild_store::Error> {
        let store = engine.store();
        if let Some(blob) = digest_of(&layer.blob) {
            store.note_origin(&blob, &self.origin.to_string())?;
        }
        store.put_layer_blob(&layer.diff_id, &layer.compressor, &layer.blob)?;
        if store.layer_content(&layer.diff_id).is_none() {
            store.put_layer_content(&layer.diff_id, &layer.content_id)?;
        }
        if store.layer_size(&layer.diff_id).is_none() && layer.tar_size > 0 {
            store.put_layer_size(&layer.diff_id, layer.tar_size)?;
        }
        if let Some(key) = layer.derived {
            let itself = FinalLayer { diff_id: layer.diff_id, blob: layer.blob.clone() };
            store.put_record(key, dfbuild_image::canonical_json(&itself));
        }
        Ok(())
    }
}

fn is_of(layer: &SharedLayer, record: &LayerRecord) -> bool {
    !layer.outside
        && layer.diff_id == record.diff_id
        && layer.content_id == record.content_id
        && digest_of(&layer.blob).is_some()
}
