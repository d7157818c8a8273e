//! Images from registries.

use std::io;
use std::sync::PoisonError;

use dfbuild_image::{Descriptor, Digest, ImageConfig, Platform, Reference, digest_of};
use dfbuild_remote::{BlobSink, Registry};
use dfbuild_store::{Holder, StagedFile, Staging};

use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::event::{Event, Observer, TransferState};
use crate::images::intake::{Intake, Reading};
use crate::images::transfer::{Transfers, each, once, remote, sha256};
use crate::turn::Turn;

/// What is wanted of an image that is fetched.
pub(crate) struct Wanted<'a> {
    /// Says of layers by their diff ids which stay where they are as long as nobody looks into
    /// them: enough is known.
    pub(crate) far: &'a dyn Fn(&Digest) -> bool,
    /// What is done with the others as soon as they are here.
    pub(crate) reading: Reading,
    /// Whether there is very likely no such image.
    pub(crate) is_doubtful: bool,
}

impl Wanted<'_> {
    /// The blobs, as they are.
    pub(crate) fn blobs() -> Self {
        Self { far: &|_| false, reading: Reading::None, is_doubtful: false }
    }
}

impl Engine {
    /// Pulls an image from its registry and gives it its name in the store. What is there already
    /// is not fetched. Returns the descriptor of its manifest.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::Platform;
    ///
    /// let name = "registry.example/app:1.0".parse()?;
    /// # Build::new(BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    /// #     .tag("app")
    /// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// # engine.tag("app", &name)?;
    /// # engine.push(&name, None, &|_: &Event| {}, &Cancel::new())?;
    /// engine.pull(&name, &Platform::host(), &|_: &Event| {}, &Cancel::new())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Descriptor, Error> {
        let wanted = Wanted::blobs();
        let pull = |engine: &Self| {
            let descriptor = engine.pull_tagged(reference, platform, &wanted, observer)?;
            engine.tell_of_other_platform(reference, &descriptor, platform, observer);
            Ok(descriptor)
        };
        self.transfer(cancel, pull).map_err(Error::transfer("pull"))
    }

    /// What is for one platform only is taken whatever that is, as docker does.
    fn tell_of_other_platform(
        &self,
        name: &Reference,
        pulled: &Descriptor,
        wanted: &Platform,
        observer: &dyn Observer,
    ) {
        let Ok(image) = self.local_platform(pulled, None) else { return };
        let actual = image.config.platform();
        if !actual.is_close(wanted) {
            let text = format!(
                "image with reference {name} was found but does not match the specified platform: \
                 wanted {wanted}, actual: {actual}"
            );
            observer.event(&Event::Notice { text });
        }
    }

    pub(crate) fn pull_tagged(
        &self,
        reference: &Reference,
        platform: &Platform,
        wanted: &Wanted<'_>,
        observer: &dyn Observer,
    ) -> Result<Descriptor, Error> {
        let descriptor = self.fetch(reference, platform, wanted, observer)?;
        self.store().tag(reference, &descriptor)?;
        Ok(descriptor)
    }

    /// Fetches what the store does not have of an image.
    pub(crate) fn fetch(
        &self,
        reference: &Reference,
        platform: &Platform,
        wanted: &Wanted<'_>,
        observer: &dyn Observer,
    ) -> Result<Descriptor, Error> {
        let registry = self.registry_for(reference)?;
        let hasty = if wanted.is_doubtful { self.hasty_client() } else { None };
        let registry = hasty.as_ref().map_or(registry, |client| client);
        Transfers::run(&format!("pulling {reference}"), observer, |transfers| {
            let image = registry.resolve(reference, platform).map_err(|e| remote(reference, &e))?;
            self.store().put_blob(&image.config)?;
            self.store().put_blob(&image.manifest_bytes)?;
            if let Some(index) = &image.index {
                // People pin the digest of the index, not that of their platform's manifest.
                self.store().put_blob(&index.bytes)?;
            }
            let layers = image.manifest.0.layers();
            let config: ImageConfig =
                serde_json::from_slice(&image.config).map_err(|e| remote(reference, &e))?;
            let diff_ids = &config.rootfs.diff_ids;
            let is_far = |at: usize| diff_ids.get(at).is_some_and(wanted.far);
            let near = layers.iter().enumerate().filter(|(at, _)| !is_far(*at));
            let near: Vec<Descriptor> = near.map(|(_, blob)| blob.clone()).collect();
            let intake = Intake::new(self, wanted.reading);
            let pull = |blob: &Descriptor| {
                self.pull_blob(registry, reference, blob, transfers)?;
                let same = layers.iter().zip(diff_ids).filter(|(layer, _)| *layer == blob);
                for (layer, diff_id) in same.take(1) {
                    self.note_layer(diff_id, layer)?;
                    intake.read(diff_id);
                }
                Ok(())
            };
            let failed = |error| match error {
                StepError::Remote(error) => remote(reference, &error),
                error => Error::image(reference.to_string(), error),
            };
            each(&once(&near), &pull).map_err(failed)?;
            for (diff_id, blob) in diff_ids.iter().zip(layers) {
                self.note_layer(diff_id, blob).map_err(failed)?;
            }
            intake.finish(diff_ids).map_err(failed)?;
            let all = layers.iter().chain([&image.descriptor]);
            for digest in all.filter_map(digest_of) {
                self.store().note_origin(&digest, &reference.full_name())?;
            }
            Ok(image.descriptor)
        })
    }

    /// Notes which blob is which layer.
    fn note_layer(&self, diff_id: &Digest, blob: &Descriptor) -> Result<(), StepError> {
        let name = format!("base-{}", sha256(blob)?.short());
        Ok(self.store().put_layer_blob(diff_id, &name, blob)?)
    }

    /// Fetches a blob into the store, verified, unless it is there.
    pub(crate) fn pull_blob(
        &self,
        registry: &dyn Registry,
        reference: &Reference,
        blob: &Descriptor,
        transfers: &Transfers<'_>,
    ) -> Result<(), StepError> {
        let digest = sha256(blob)?;
        let size = blob.size();
        let lock = self.layers().fetching.of(&digest);
        let _turn = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |holder: Holder| {
            transfers.tell(digest, size, TransferState::Waiting { pid: holder.pid });
        };
        let made = || self.store().has_blob(&digest, size).then_some(());
        let _right = match self.take_turn(&digest, &waits, &made) {
            Some(Turn::Make(right)) => right,
            Some(Turn::Made(())) => {
                transfers.tell(digest, size, TransferState::Existed);
                return Ok(());
            }
            None => return Err(StepError::Cancelled),
        };
        let staging: Staging = self.store().stage()?;
        let mut sink = Sink(staging.file()?);
        let progress = transfers.moving(digest, size);
        registry.blob(reference, blob, &mut sink, &progress)?;
        self.store().put_staged(sink.0, &digest)?;
        transfers.tell(digest, size, TransferState::Moved);
        Ok(())
    }
}

/// A staged file that can begin anew.
struct Sink(StagedFile);

impl BlobSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.0, bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.0.restart()
    }
}
