//! Registries that are not the network's.

use std::io::{self, Read};
use std::sync::Arc;

use dfbuild_image::{Descriptor, Digest, Hasher, MediaType, Reference, digest_of};
use dfbuild_remote::{BlobSink, Error, Pushed, Registry, RemoteManifest};

use crate::ending::Ending;

/// Somebody's registry, of which no byte is believed that does not have its digest, and which is
/// left when the build is to end.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    registry: Arc<dyn Registry>,
    ending: Ending,
}

impl Checked {
    pub(crate) fn new(registry: impl Registry + 'static, ending: Ending) -> Self {
        Self { registry: Arc::new(registry), ending }
    }

    /// The same registry for another build.
    pub(crate) fn for_build(&self, ending: &Ending) -> Self {
        Self { registry: Arc::clone(&self.registry), ending: ending.clone() }
    }

    fn check(&self, action: impl FnOnce() -> String) -> Result<(), Error> {
        self.ending.check().map_err(|_| Error::Cancelled { action: action() })
    }
}

fn corrupt(action: String, host: &str, expected: &str, found: String) -> Error {
    let (host, expected) = (host.to_owned(), expected.to_owned());
    Error::Corrupt { action, host, expected, found, tries: 1 }
}

impl Registry for Checked {
    fn manifest(&self, reference: &Reference) -> Result<RemoteManifest, Error> {
        let action = || format!("pull manifest of {reference}");
        self.check(action)?;
        let found = self.registry.manifest(reference)?;
        let digest = Digest::of(&found.bytes);
        let expected = reference.digest.or_else(|| digest_of(&found.descriptor));
        match expected {
            Some(expected) if expected == digest => Ok(found),
            _ => {
                let expected = expected.map_or_else(String::new, |digest| digest.to_string());
                Err(corrupt(action(), &reference.registry, &expected, digest.to_string()))
            }
        }
    }

    fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let action = || format!("pull blob {} of {}", descriptor.digest(), reference.full_name());
        self.check(action)?;
        let mut sink = Digesting { sink, hasher: Hasher::new(), ending: &self.ending };
        self.registry.blob(reference, descriptor, &mut sink, progress)?;
        let found = sink.hasher.finish();
        if digest_of(descriptor) == Some(found) {
            return Ok(());
        }
        let expected = descriptor.digest().to_string();
        Err(corrupt(action(), &reference.registry, &expected, found.to_string()))
    }

    fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        open: &dyn Fn() -> io::Result<Box<dyn Read>>,
        mount_from: Option<&Reference>,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, Error> {
        self.check(|| format!("push blob {} to {reference}", descriptor.digest()))?;
        let open = || Ok(Box::new(self.ending.watch(open()?)) as Box<dyn Read>);
        self.registry.push_blob(reference, descriptor, &open, mount_from, progress)
    }

    fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        self.check(|| format!("push manifest of {reference}"))?;
        self.registry.push_manifest(reference, media_type, bytes)
    }
}

/// A sink that digests what it takes, until the build is to end.
struct Digesting<'a> {
    sink: &'a mut dyn BlobSink,
    hasher: Hasher,
    ending: &'a Ending,
}

impl BlobSink for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ending.check()?;
        self.hasher.update(bytes);
        self.sink.write(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.hasher = Hasher::new();
        self.sink.restart()
    }
}
