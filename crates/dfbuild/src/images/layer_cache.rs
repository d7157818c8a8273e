use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dfbuild_image::Digest;
use dfbuild_layer::{Index, Outline};

use crate::images::lineage::Lineage;

/// What the folder of a layer holds beside the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The notes of an overlay, so that it can be a part of one: whiteouts, opaque directories.
    Overlay,
    /// Nothing. Whoever reads it asks the index what is there.
    Plain,
}

/// What is known of layers in this process.
#[derive(Debug, Default)]
pub(crate) struct LayerCache {
    indexes: Mutex<HashMap<Digest, Arc<Index>>>,
    /// How the archives of layers that were just made are cut, until they are compressed.
    outlines: Mutex<HashMap<Digest, (Lineage, Arc<Outline>)>>,
    /// Layers that are being unpacked, so that two stages do it once.
    pub(crate) unpacking: Locks,
    /// Blobs that are being fetched, so that two images do it once.
    pub(crate) fetching: Locks,
    /// How many work with layers.
    users: Mutex<usize>,
}

impl LayerCache {
    /// What is in a layer.
    pub(crate) fn index(&self, diff_id: &Digest) -> Option<Arc<Index>> {
        lock(&self.indexes).get(diff_id).cloned()
    }

    /// Keeps what is in a layer.
    pub(crate) fn keep_index(&self, diff_id: Digest, index: Arc<Index>) {
        lock(&self.indexes).insert(diff_id, index);
    }

    /// The outline of a layer that was made in this process.
    pub(crate) fn outline(&self, diff_id: &Digest) -> Option<(Lineage, Arc<Outline>)> {
        lock(&self.outlines).get(diff_id).cloned()
    }

    /// Keeps an outline until its layer is compressed.
    pub(crate) fn keep_outline(&self, lineage: Lineage, outline: Outline) {
        lock(&self.outlines).insert(outline.diff_id(), (lineage, Arc::new(outline)));
    }

    /// Somebody begins to work with layers.
    pub(crate) fn begin(&self) {
        *lock(&self.users) += 1;
    }

    /// Somebody ends it; with the last one all is forgotten but what is under way.
    pub(crate) fn end(&self) {
        // Held until all is forgotten: whoever comes next begins with nothing.
        let mut users = lock(&self.users);
        *users -= 1;
        if *users == 0 {
            *lock(&self.indexes) = HashMap::new();
            *lock(&self.outlines) = HashMap::new();
            self.unpacking.forget();
            self.fetching.forget();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.indexes).is_empty() && lock(&self.outlines).is_empty()
    }
}

/// One lock for each digest.
#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<Digest, Arc<Mutex<()>>>>);

impl Locks {
    pub(crate) fn of(&self, digest: &Digest) -> Arc<Mutex<()>> {
        Arc::clone(lock(&self.0).entry(*digest).or_default())
    }

    /// Forgets those that nobody holds or waits for.
    fn forget(&self) {
        lock(&self.0).retain(|_, lock| Arc::strong_count(lock) > 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
