//! Images from registries, and images to them.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dfbuild_image::{
    Descriptor, Digest, ImageConfig, Index, Manifest, MediaType, Platform, Reference, digest_of,
};
use dfbuild_remote::{BlobSink, Client};
use dfbuild_store::{StagedFile, Staging};

use crate::cancel::Cancel;
use crate::ending::Ending;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Observer;
use crate::schedule::progress::task;

/// Blobs that are moved at the same time, as Docker does: more only crowd each other out.
const PARALLEL: usize = 3;

impl Engine {
    /// Pulls an image from its registry and gives it its name in the store. What is there already
    /// is not fetched. Returns the descriptor of its manifest.
    pub fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Descriptor, Error> {
        self.transfer(cancel, |engine| engine.pull_tagged(reference, platform, observer))
    }

    /// Pushes a named image of the store to its registry. Blobs that the registry has are not
    /// sent. Returns the digest of what was pushed.
    pub fn push(
        &self,
        reference: &Reference,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Digest, Error> {
        self.transfer(cancel, |engine| engine.push_tagged(reference, observer))
    }

    fn transfer<T>(
        &self,
        cancel: &Cancel,
        work: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let ending = Ending::new(cancel, None);
        work(&self.for_build(&ending)).map_err(|error| ending.reason().unwrap_or(error))
    }

    pub(crate) fn pull_tagged(
        &self,
        reference: &Reference,
        platform: &Platform,
        observer: &dyn Observer,
    ) -> Result<Descriptor, Error> {
        let descriptor = self.fetch(reference, platform, observer)?;
        self.store().tag(reference, &descriptor)?;
        Ok(descriptor)
    }

    /// Fetches what the store does not have of an image.
    pub(crate) fn fetch(
        &self,
        reference: &Reference,
        platform: &Platform,
        observer: &dyn Observer,
    ) -> Result<Descriptor, Error> {
        let client = self.client_for(reference)?;
        task(observer, &format!("pulling {reference}"), || {
            let image = client.resolve(reference, platform).map_err(|e| remote(reference, &e))?;
            self.store().put_blob(&image.config)?;
            self.store().put_blob(&image.manifest_bytes)?;
            let blobs = missing(self, image.manifest.0.layers());
            each(&blobs, &|blob| self.pull_blob(client, reference, blob))?;
            self.note_layers(reference, &image.config, image.manifest.0.layers())?;
            let all = image.manifest.0.layers().iter().chain([&image.descriptor]);
            for digest in all.filter_map(digest_of) {
                self.store().note_origin(&digest, &reference.full_name())?;
            }
            Ok(image.descriptor)
        })
    }

    /// Notes which blob is which layer.
    fn note_layers(
        &self,
        reference: &Reference,
        config: &[u8],
        blobs: &[Descriptor],
    ) -> Result<(), Error> {
        let config: ImageConfig =
            serde_json::from_slice(config).map_err(|error| remote(reference, &error))?;
        for (diff_id, blob) in config.rootfs.diff_ids.iter().zip(blobs) {
            let name = format!("base-{}", sha256(reference, blob)?.short());
            self.store().put_layer_blob(diff_id, &name, blob)?;
        }
        Ok(())
    }

    fn client_for(&self, reference: &Reference) -> Result<&Client, Error> {
        let client = self.client().map_err(|error| remote(reference, &error))?;
        client.ok_or_else(|| no_network(reference))
    }

    /// Fetches a blob into the store, verified.
    fn pull_blob(
        &self,
        client: &Client,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<(), Error> {
        let digest = sha256(reference, blob)?;
        let staging: Staging = self.store().stage()?;
        let mut sink = Sink(staging.file()?);
        client.blob(reference, blob, &mut sink, &|_| {}).map_err(|e| remote(reference, &e))?;
        self.store().put_staged(sink.0, &digest)?;
        Ok(())
    }

    pub(crate) fn push_tagged(
        &self,
        reference: &Reference,
        observer: &dyn Observer,
    ) -> Result<Digest, Error> {
        let client = self.client_for(reference)?;
        let descriptor = self.store().resolve(reference).ok_or_else(|| Error::Image {
            name: reference.to_string(),
            reason: "no local image has that name".to_owned(),
            hint: Some("`dfbuild images` lists those that there are".to_owned()),
            source: None,
        })?;
        task(observer, &format!("pushing {reference}"), || {
            self.push_tree(client, reference, &descriptor, reference)
        })
    }

    /// Pushes a manifest with all that it needs before it, or an index with its manifests.
    fn push_tree(
        &self,
        client: &Client,
        reference: &Reference,
        descriptor: &Descriptor,
        name: &Reference,
    ) -> Result<Digest, Error> {
        let digest = sha256(reference, descriptor)?;
        let bytes = self.store().read_blob(&digest)?;
        let malformed = |error: serde_json::Error| remote(reference, &error);
        if *descriptor.media_type() == MediaType::ImageIndex {
            let index = Index::from_json(&bytes).map_err(malformed)?;
            for manifest in index.0.manifests() {
                let pinned = name.pinned(sha256(reference, manifest)?);
                self.push_tree(client, reference, manifest, &pinned)?;
            }
        } else {
            let manifest = Manifest::from_json(&bytes).map_err(malformed)?;
            let mut blobs: Vec<Descriptor> = manifest.0.layers().clone();
            blobs.push(manifest.0.config().clone());
            each(&blobs, &|blob| self.push_blob(client, reference, blob))?;
        }
        let pushed = client.push_manifest(name, descriptor.media_type(), &bytes);
        pushed.map_err(|error| remote(reference, &error))
    }

    fn push_blob(
        &self,
        client: &Client,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<(), Error> {
        let digest = sha256(reference, blob)?;
        let path = self.store().blob_path(&digest);
        let open = || -> io::Result<Box<dyn Read>> { Ok(Box::new(File::open(&path)?)) };
        let mount_from = self.elsewhere(reference, &digest);
        let pushed = client.push_blob(reference, blob, &open, mount_from.as_ref(), &|_| {});
        pushed.map_err(|error| remote(reference, &error))?;
        Ok(self.store().note_origin(&digest, &reference.full_name())?)
    }

    /// Another repository of the same registry that has a blob.
    fn elsewhere(&self, reference: &Reference, blob: &Digest) -> Option<Reference> {
        let origins = self.store().origins(blob);
        let mut origins = origins.iter().filter_map(|origin| origin.parse::<Reference>().ok());
        origins.find(|origin| {
            origin.registry == reference.registry && origin.repository != reference.repository
        })
    }
}

/// Those blobs that the store does not have, each once.
fn missing(engine: &Engine, blobs: &[Descriptor]) -> Vec<Descriptor> {
    let mut wanted: Vec<Descriptor> = Vec::new();
    for blob in blobs {
        let there = digest_of(blob).is_some_and(|d| engine.store().has_blob(&d, blob.size()));
        if !there && !wanted.iter().any(|known| known.digest() == blob.digest()) {
            wanted.push(blob.clone());
        }
    }
    wanted
}

/// Does `work` for each blob, a few at a time. The first error ends it.
fn each(
    blobs: &[Descriptor],
    work: &(dyn Fn(&Descriptor) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(blob) {
                next.store(blobs.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL.min(blobs.len())).map(|_| scope.spawn(run)).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("no panic"));
        results.collect::<Vec<_>>().into_iter().collect()
    })
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

fn sha256(reference: &Reference, descriptor: &Descriptor) -> Result<Digest, Error> {
    digest_of(descriptor).ok_or_else(|| Error::Image {
        name: reference.to_string(),
        reason: format!("digest {} is not SHA-256", descriptor.digest()),
        hint: None,
        source: None,
    })
}

fn no_network(reference: &Reference) -> Error {
    Error::Image {
        name: reference.to_string(),
        reason: "it is not in the store, and this build has no network".to_owned(),
        hint: None,
        source: None,
    }
}

/// An error of a registry, with its causes and its hint.
fn remote<E: std::error::Error + 'static>(reference: &Reference, error: &E) -> Error {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !reason.contains(&more) {
            reason.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    let known: &dyn std::any::Any = error;
    let hint = known.downcast_ref::<dfbuild_remote::Error>().and_then(dfbuild_remote::Error::hint);
    Error::Image { name: reference.to_string(), reason, hint, source: None }
}
