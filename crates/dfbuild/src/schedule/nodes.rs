use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use dfbuild_cache::children;
use dfbuild_image::Digest;
use dfbuild_store::{Error, Store};

/// Takes what has a digest that is part of a key.
pub(crate) type Keep<'a> = &'a mut dyn FnMut(Digest, Vec<u8>);

/// The folders and selections of files that a build looked at, by the digests that keys have of
/// them. They are only written when a step ran that depends on them.
#[derive(Default)]
pub(crate) struct Nodes {
    known: Mutex<HashMap<Digest, Vec<u8>>>,
}

impl Nodes {
    pub(crate) fn keep(&self, digest: Digest, mut bytes: Vec<u8>) {
        bytes.shrink_to_fit();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(digest).or_insert(bytes);
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Writes a node and those it leads to. The one at the top comes last, so whatever has it has
    /// them all, and what two trees share is looked at once.
    pub(crate) fn save(&self, digest: &Digest, store: &Store) -> Result<(), Error> {
        if store.has_object(digest) {
            return Ok(());
        }
        let Some(bytes) = self.get(digest) else { return Ok(()) };
        for child in children(&bytes) {
            self.save(&child, store)?;
        }
        store.put_object(digest, &bytes)
    }
}

/// For whoever needs only the digest.
pub(crate) fn forget(_: Digest, _: Vec<u8>) {}
