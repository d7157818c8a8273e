//! Layers that are elsewhere, fetched when somebody needs their bytes.

use std::io;
use std::sync::PoisonError;

use dfbuild_image::{Descriptor, Digest, HashingWriter, digest_of};
use dfbuild_store::Layout;

use super::origin::Origin;
use crate::causes::with_causes;
use crate::damaged::Damaged;
use crate::engine::Engine;
use crate::error::StepError;
use crate::images::transfer::{Transfers, each};

impl Engine {
    /// Whether the blob is in the store, or where it can be fetched from.
    pub(crate) fn can_have_blob(&self, blob: &Descriptor) -> bool {
        digest_of(blob).is_some_and(|digest| {
            self.store().has_blob(&digest, blob.size()) || !self.places(&digest).is_empty()
        })
    }

    /// Whether the layer can be had: a record that promises it is worth nothing otherwise.
    pub(crate) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.has_snapshot(diff_id)
            || self.store().any_layer_blob(diff_id).is_some()
            || self.far_blob(diff_id).is_some()
    }

    /// The blob that `compressor` makes of a layer, if it can be had.
    pub(crate) fn blob_by(&self, diff_id: &Digest, compressor: &str) -> Option<Descriptor> {
        self.store().layer_blob(diff_id, compressor).or_else(|| {
            let known = self.store().known_layer_blobs(diff_id).into_iter();
            let mut known = known.filter(|(name, _)| name == compressor).map(|(_, blob)| blob);
            known.find(|blob| self.can_have_blob(blob))
        })
    }

    /// Any blob of a layer that can be had, and who compressed it. One that is here comes first.
    pub(crate) fn any_blob(&self, diff_id: &Digest) -> Option<(String, Descriptor)> {
        let known = self.store().known_layer_blobs(diff_id);
        let here = |(_, blob): &&(String, Descriptor)| {
            digest_of(blob).is_some_and(|digest| self.store().has_blob(&digest, blob.size()))
        };
        let found = known.iter().find(here);
        found.or_else(|| known.iter().find(|(_, blob)| self.can_have_blob(blob))).cloned()
    }

    /// A blob of a layer that is not here and can be fetched.
    fn far_blob(&self, diff_id: &Digest) -> Option<Descriptor> {
        let known = self.store().known_layer_blobs(diff_id).into_iter();
        known.map(|(_, blob)| blob).find(|blob| self.can_have_blob(blob))
    }

    /// A blob of the layer that is in the store now; fetched if none was.
    pub(crate) fn obtain_layer(&self, diff_id: &Digest) -> Result<Descriptor, StepError> {
        if let Some(blob) = self.store().any_layer_blob(diff_id) {
            return Ok(blob);
        }
        let blob = self.far_blob(diff_id).ok_or_else(|| self.out_of_reach(diff_id))?;
        self.obtain_blob(&blob)?;
        Ok(blob)
    }

    /// A layer that is nowhere, or only where nobody may be asked.
    fn out_of_reach(&self, diff_id: &Digest) -> StepError {
        let known = self.store().known_layer_blobs(diff_id).into_iter();
        let mut blobs = known.filter_map(|(_, blob)| digest_of(&blob));
        let left = blobs.find(|blob| !self.can_fetch() && !self.store().origins(blob).is_empty());
        StepError::Damaged(left.map_or(Damaged::Layer(*diff_id), Damaged::Remote))
    }

    /// The same for several layers, some at the same time.
    pub(crate) fn obtain_layers(&self, diff_ids: &[Digest]) -> Result<(), StepError> {
        let missing = diff_ids.iter().filter(|id| self.store().any_layer_blob(id).is_none());
        let far: Vec<Descriptor> = missing.filter_map(|id| self.far_blob(id)).collect();
        self.obtain_blobs(&far)
    }

    /// Sees to it that blobs are in the store.
    pub(crate) fn obtain_blobs(&self, blobs: &[Descriptor]) -> Result<(), StepError> {
        each(blobs, &|blob| self.obtain_blob(blob))
    }

    /// Sees to it that a blob is in the store. If it cannot be had, it is lost for this build.
    pub(crate) fn obtain_blob(&self, blob: &Descriptor) -> Result<(), StepError> {
        let Some(digest) = digest_of(blob) else {
            let text = format!("digest {} is not SHA-256", blob.digest());
            return Err(StepError::Unsupported(text));
        };
        if self.store().has_blob(&digest, blob.size()) {
            return Ok(());
        }
        for origin in self.places(&digest) {
            match self.fetch_from(&origin, blob, &digest) {
                Ok(()) => return Ok(()),
                Err(_) if self.ending().is_near() => return Err(StepError::Cancelled),
                Err(error) => self.lose(&origin, &digest, &error),
            }
        }
        self.lost().lose_blob(digest);
        Err(StepError::Damaged(Damaged::Remote(digest)))
    }

    /// Where a blob can be fetched from.
    fn places(&self, blob: &Digest) -> Vec<Origin> {
        if self.lost().has_blob(blob) {
            return Vec::new();
        }
        let origins = self.store().origins(blob);
        let known = origins.iter().filter_map(|origin| Origin::parse(origin));
        let open = |origin: &Origin| {
            let reachable = match origin {
                Origin::Repository(_) => self.can_fetch(),
                Origin::Layout(folder) => folder.is_dir(),
            };
            reachable && !self.lost().has_origin(origin)
        };
        known.filter(open).collect()
    }

    fn fetch_from(
        &self,
        origin: &Origin,
        blob: &Descriptor,
        digest: &Digest,
    ) -> Result<(), StepError> {
        match origin {
            Origin::Repository(reference) => {
                let Some(registry) = self.registry()? else {
                    return Err(StepError::Unsupported("this build has no network".to_owned()));
                };
                let what = format!("fetching layer {} from {origin}", digest.short());
                Transfers::run(&what, self.teller(), |transfers| {
                    self.pull_blob(registry, reference, blob, transfers)
                })
            }
            Origin::Layout(folder) => self.take_blob(&Layout::open(folder)?, digest),
        }
    }

    /// Copies a blob of another layout into the store, verified, unless it is there.
    pub(crate) fn take_blob(&self, layout: &Layout, digest: &Digest) -> Result<(), StepError> {
        let lock = self.layers().fetching.of(digest);
        let _turn = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.store().blob_path(digest).is_file() {
            return Ok(());
        }
        let source = layout.open_blob(digest)?;
        let staging = self.store().stage()?;
        let mut writer = HashingWriter::new(self.ending().watch(staging.file()?));
        let mut source = io::BufReader::with_capacity(1 << 20, source);
        let path = layout.blob_path(digest);
        io::copy(&mut source, &mut writer).map_err(StepError::io("copy", path))?;
        let (file, found, _) = writer.finish();
        if found != *digest {
            return Err(dfbuild_store::Error::CorruptBlob { expected: *digest, found }.into());
        }
        Ok(self.store().put_staged(file.into_inner(), digest)?)
    }

    /// Notes that a blob could not be had from an origin: a blob alone if it is not there or
    /// another one, else the whole of it.
    fn lose(&self, origin: &Origin, blob: &Digest, error: &StepError) {
        if is_about_one_blob(error) {
            // Later builds need not ask again. A store that cannot be written to asks each time.
            let _ = self.store().forget_origin(blob, &origin.to_string());
        } else {
            self.lost().lose_origin(origin);
        }
        let reason = with_causes(error);
        self.lost().because(format!(
            "layer {} could not be had from {origin}: {reason}; what needs it is made again",
            blob.short()
        ));
    }
}

/// Whether an error says nothing about other blobs of the same place.
fn is_about_one_blob(error: &StepError) -> bool {
    use dfbuild_remote::Error::Corrupt;
    use dfbuild_store::Error::{CorruptBlob, NoBlob};
    match error {
        StepError::Remote(Corrupt { .. })
        | StepError::Store(CorruptBlob { .. } | NoBlob { .. }) => true,
        StepError::Remote(error) => error.status() == Some(404),
        _ => false,
    }
}
