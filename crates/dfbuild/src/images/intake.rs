//! The layers of an image as they come in, each read once for all that will be asked of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use dfbuild_image::{Digest, Entry};
use dfbuild_store::Staging;

use crate::engine::Engine;
use crate::error::StepError;

/// What is to be done with the layers of an image that is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nobody needs to know what is in them.
    None,
    /// What is in them goes into keys.
    Index,
    /// Commands will run over them.
    Unpack,
}

/// Reads layers while others still come in. It only ever saves work: what cannot be read is left to
/// whoever needs it, who then says why.
pub(crate) struct Intake<'a> {
    engine: &'a Engine,
    reading: Reading,
    unpacked: Mutex<HashMap<Digest, Unpacked>>,
}

/// A layer that was unpacked before those below it were known.
struct Unpacked {
    folder: PathBuf,
    /// Where the folder lies.
    _staging: Staging,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(engine: &'a Engine, reading: Reading) -> Self {
        Self { engine, reading, unpacked: Mutex::default() }
    }

    /// Reads a layer whose blob is in the store.
    pub(crate) fn read(&self, diff_id: &Digest) {
        let is_known =
            || self.engine.known_index(diff_id).is_some() || self.engine.has_snapshot(diff_id);
        if self.reading == Reading::Unpack
            && !is_known()
            && let Ok(Some(unpacked)) = self.unpack(diff_id)
        {
            let mut all = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(*diff_id, unpacked);
        } else if self.reading != Reading::None {
            let _ = self.engine.content_id(diff_id);
        }
    }

    /// Unpacks a layer by itself, unless it depends on those below.
    fn unpack(&self, diff_id: &Digest) -> Result<Option<Unpacked>, StepError> {
        let staging = self.engine.store().stage()?;
        let folder = staging.folder("unpack")?;
        let index = self.engine.unpack_alone(diff_id, &folder)?;
        Ok((!index.needs_below()).then_some(Unpacked { folder, _staging: staging }))
    }

    /// Keeps what was unpacked, now that all layers are known, the lowest first: where a layer says
    /// nothing of the root directory, its folder has that of the layers below.
    pub(crate) fn finish(self, diff_ids: &[Digest]) -> Result<(), StepError> {
        let mut unpacked = self.unpacked.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut root: Option<Entry> = None;
        for diff_id in diff_ids {
            // Without it nobody knows what the root is from here on.
            let Some(index) = self.engine.known_index(diff_id) else { break };
            let own = index.entries().first().filter(|entry| entry.path.is_root());
            if let Some(Unpacked { folder, _staging }) = unpacked.remove(diff_id) {
                if let (None, Some(root)) = (own, &root) {
                    let options = self.engine.unpack_options(self.engine.form());
                    dfbuild_layer::seal_root(&folder, root, &options)?;
                }
                self.engine.keep_unpacked(diff_id, &folder)?;
            }
            root = own.cloned().or(root);
        }
        Ok(())
    }
}
