//! Images to registries.

use std::fs::File;
use std::io::{self, Read};

use dfbuild_image::{Descriptor, Digest, Index, Manifest, MediaType, Platform, Reference};
use dfbuild_remote::{Pushed, Registry};

use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Observer, TransferState};
use crate::images::transfer::{Transfers, each, once, remote, sha256};

impl Engine {
    /// Pushes a named image of the store to its registry. Blobs that the registry has are not
    /// sent; those that another of its repositories is known to have are mounted from there.
    /// Of an image for several platforms all are pushed, or `platform` alone. Returns the digest of what
    /// was pushed.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let name = "registry.example/app:1.0".parse()?;
    /// engine.tag("app", &name)?;
    /// engine.push(&name, None, &|_: &Event| {}, &Cancel::new())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Digest, Error> {
        self.transfer(cancel, |engine| engine.push_tagged(reference, platform, observer))
    }

    pub(crate) fn push_tagged(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        observer: &dyn Observer,
    ) -> Result<Digest, Error> {
        let descriptor = self.store().resolve(reference).ok_or_else(|| not_here(reference));
        let chosen = |descriptor| self.of_platform(&reference.to_string(), descriptor, platform);
        let push = descriptor.and_then(chosen).and_then(|descriptor| {
            self.push_as(reference, &descriptor, &format!("pushing {reference}"), observer)
        });
        push.map_err(Error::transfer("push"))
    }

    /// Pushes what `descriptor` leads to into the repository of a name, without its tag.
    pub(crate) fn push_pinned(
        &self,
        name: &Reference,
        descriptor: &Descriptor,
        observer: &dyn Observer,
    ) -> Result<Digest, Error> {
        let push = sha256(descriptor).map_err(|error| Error::image(name.to_string(), error));
        let push = push.and_then(|digest| {
            let pinned = name.pinned(digest);
            self.push_as(&pinned, descriptor, &format!("pushing {pinned}"), observer)
        });
        push.map_err(Error::transfer("push"))
    }

    /// Pushes what `descriptor` leads to under a name. `what` is what people are told.
    pub(crate) fn push_as(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        what: &str,
        observer: &dyn Observer,
    ) -> Result<Digest, Error> {
        let registry = self.registry_for(reference)?;
        Transfers::run(what, observer, |transfers| {
            let push = Push { engine: self, registry, reference, transfers };
            push.tree(descriptor, reference)
        })
    }
}

fn not_here(reference: &Reference) -> Error {
    Error::Image {
        name: reference.to_string(),
        reason: "no local image has that name".to_owned(),
        hint: Some("`dfbuild images` lists those that there are".to_owned()),
        line: None,
        source: None,
    }
}

/// A push on its way.
struct Push<'a> {
    engine: &'a Engine,
    registry: &'a dyn Registry,
    reference: &'a Reference,
    transfers: &'a Transfers<'a>,
}

impl Push<'_> {
    /// Pushes a manifest with all that it needs before it, or an index with its manifests.
    fn tree(&self, descriptor: &Descriptor, name: &Reference) -> Result<Digest, Error> {
        let digest = self.sha256(descriptor)?;
        let bytes = self.engine.store().read_blob(&digest)?;
        let malformed = |error: serde_json::Error| remote(self.reference, &error);
        if *descriptor.media_type() == MediaType::ImageIndex {
            let index = Index::from_json(&bytes).map_err(malformed)?;
            for manifest in index.0.manifests() {
                let pinned = name.pinned(self.sha256(manifest)?);
                self.tree(manifest, &pinned)?;
            }
        } else {
            let manifest = Manifest::from_json(&bytes).map_err(malformed)?;
            let mut blobs: Vec<Descriptor> = manifest.0.layers().clone();
            blobs.push(manifest.0.config().clone());
            each(&once(&blobs), &|blob| self.blob(blob))?;
        }
        let pushed = self.registry.push_manifest(name, descriptor.media_type(), &bytes);
        pushed.map_err(|error| remote(self.reference, &error))
    }

    fn sha256(&self, blob: &Descriptor) -> Result<Digest, Error> {
        sha256(blob).map_err(|error| Error::image(self.reference.to_string(), error))
    }

    fn blob(&self, blob: &Descriptor) -> Result<(), Error> {
        let store = self.engine.store();
        let (digest, size) = (self.sha256(blob)?, blob.size());
        let path = store.blob_path(&digest);
        // A layer that is elsewhere is only fetched if the registry does not come by it itself.
        let open = || -> io::Result<Box<dyn Read>> {
            self.engine.obtain_blob(blob).map_err(io::Error::other)?;
            Ok(Box::new(File::open(&path)?))
        };
        let mount_from = self.elsewhere(&digest);
        let progress = self.transfers.moving(digest, size);
        let pushed =
            self.registry.push_blob(self.reference, blob, &open, mount_from.as_ref(), &progress);
        let state = match pushed.map_err(|error| remote(self.reference, &error))? {
            Pushed::Existed => TransferState::Existed,
            Pushed::Mounted => TransferState::Mounted,
            Pushed::Uploaded => TransferState::Moved,
        };
        self.transfers.tell(digest, size, state);
        Ok(store.note_origin(&digest, &self.reference.full_name())?)
    }

    /// Another repository of the same registry that has a blob.
    fn elsewhere(&self, blob: &Digest) -> Option<Reference> {
        let origins = self.engine.store().origins(blob);
        let mut origins = origins.iter().filter_map(|origin| origin.parse::<Reference>().ok());
        origins.find(|origin| {
            origin.registry == self.reference.registry
                && origin.repository != self.reference.repository
        })
    }
}
