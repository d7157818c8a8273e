//! What pulls and pushes have in common.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dfbuild_image::{Descriptor, Digest, Reference, digest_of};
use dfbuild_remote::Registry;

use crate::cancel::Cancel;
use crate::causes::with_causes;
use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::event::{Event, Observer, TransferState};
use crate::images::meter::report_step;
use crate::schedule::progress::{InTurn, task};

/// Blobs that are moved at the same time, as Docker does: more only crowd each other out.
const PARALLEL: usize = 3;

impl Engine {
    /// Does a pull or a push that is no part of a build.
    pub(super) fn transfer<T>(
        &self,
        cancel: &Cancel,
        work: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let engine = self.cancelled_by(cancel);
        work(&engine).map_err(|error| engine.ending().instead_of(error))
    }

    /// The way to the registry of an image.
    pub(crate) fn registry_for(&self, reference: &Reference) -> Result<&dyn Registry, Error> {
        let registry = self.registry().map_err(|error| remote(reference, &error))?;
        registry.ok_or_else(|| no_network(reference))
    }
}

fn no_network(reference: &Reference) -> Error {
    Error::Image {
        name: reference.to_string(),
        reason: "it is not in the store, and this build has no network".to_owned(),
        hint: None,
        line: None,
        source: None,
    }
}

/// A pull or a push, whose blobs are moved by several threads.
pub(crate) struct Transfers<'a> {
    what: &'a str,
    observer: InTurn<'a>,
}

impl Transfers<'_> {
    /// Does `work` as one task.
    pub(crate) fn run<T, E>(
        what: &str,
        observer: &dyn Observer,
        work: impl FnOnce(&Transfers<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        task(observer, what, || work(&Transfers { what, observer: InTurn::new(observer) }))
    }

    /// Tells how far a blob is.
    pub(super) fn tell(&self, blob: Digest, size: u64, state: TransferState) {
        let event = Event::Transfer { what: self.what.to_owned(), blob, size, state };
        self.observer.event(&event);
    }

    /// What takes the number of bytes of a blob that were moved, and tells it when it is worth a
    /// word.
    pub(super) fn moving(&self, blob: Digest, size: u64) -> impl Fn(u64) {
        let step = report_step(size);
        let told = Cell::new(None);
        move |done| {
            let worth = match told.get() {
                None => true,
                // A download that has to begin again is worth a word as well.
                Some(told) => done < told || done - told >= step,
            };
            if worth && done < size {
                told.set(Some(done));
                self.tell(blob, size, TransferState::Moving { done });
            }
        }
    }
}

/// Does `work` for each blob or layer, a few at a time. The first error ends it.
pub(crate) fn each<T: Sync, E: Send>(
    blobs: &[T],
    work: &(dyn Fn(&T) -> Result<(), E> + Sync),
) -> Result<(), E> {
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

/// The blobs with each digest once.
pub(crate) fn once(blobs: &[Descriptor]) -> Vec<Descriptor> {
    let mut kept: Vec<Descriptor> = Vec::new();
    for blob in blobs {
        if !kept.iter().any(|known| known.digest() == blob.digest()) {
            kept.push(blob.clone());
        }
    }
    kept
}

pub(super) fn sha256(blob: &Descriptor) -> Result<Digest, StepError> {
    let unsupported = || StepError::Unsupported(format!("digest {} is not SHA-256", blob.digest()));
    digest_of(blob).ok_or_else(unsupported)
}

/// An error of a registry, with its causes and its hint.
pub(crate) fn remote<E: std::error::Error + 'static>(reference: &Reference, error: &E) -> Error {
    let known: &dyn std::any::Any = error;
    let hint = known.downcast_ref::<dfbuild_remote::Error>().and_then(dfbuild_remote::Error::hint);
    let reason = with_causes(error);
    Error::Image { name: reference.to_string(), reason, hint, line: None, source: None }
}
