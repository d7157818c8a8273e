use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dfbuild_image::{Descriptor, Digest, MediaType, Reference, descriptor, digest_of};
use dfbuild_remote::{Answer, BlobSink, Error, Pushed, Registry, RemoteManifest};

/// All registries there are, in memory and empty at first. Clones are the same.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # use dfbuild::Engine;
/// use dfbuild::testing::MemoryRegistry;
///
/// let registry = MemoryRegistry::new();
/// let here = Engine::open(store.path().join("here"))?.with_registry(registry.clone());
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
///     .tag("registry.example/base")
///     .push(true)
///     .run(&here, &|_: &Event| {}, &Cancel::new())?;
///
/// let there = Engine::open(store.path().join("there"))?.with_registry(registry);
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM registry.example/base\n");
/// build.run(&there, &|_: &Event| {}, &Cancel::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// By repository and tag.
    tags: BTreeMap<String, Digest>,
    /// By repository and digest.
    manifests: HashMap<(String, Digest), RemoteManifest>,
    blobs: HashMap<(String, Digest), Vec<u8>>,
}

impl MemoryRegistry {
    /// Registries without images.
    ///
    /// ```
    /// use dfbuild::testing::MemoryRegistry;
    ///
    /// assert!(MemoryRegistry::new().names().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The names of all tagged images, sorted: `registry.example/app:1`.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// # use dfbuild::Engine;
    /// use dfbuild::testing::MemoryRegistry;
    ///
    /// let registry = MemoryRegistry::new();
    /// let engine = Engine::open(store.path())?.with_registry(registry.clone());
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("registry.example/app:1")
    ///     .tag("registry.example/app:latest")
    ///     .push(true)
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(registry.names(), ["registry.example/app:1", "registry.example/app:latest"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn names(&self) -> Vec<String> {
        self.content().tags.keys().cloned().collect()
    }

    /// How many blobs all repositories have.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// # use dfbuild::Engine;
    /// use dfbuild::testing::MemoryRegistry;
    ///
    /// let registry = MemoryRegistry::new();
    /// let engine = Engine::open(store.path())?.with_registry(registry.clone());
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("registry.example/app")
    ///     .push(true)
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(registry.blobs(), 2); // Its layer and its configuration.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn blobs(&self) -> usize {
        self.content().blobs.len()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tagged(reference: &Reference, tag: &str) -> String {
    format!("{}:{tag}", reference.full_name())
}

fn not_found(action: String, reference: &Reference) -> Error {
    Error::Answer(Box::new(Answer::new(action, reference.registry.clone(), 404)))
}

fn digest(action: &str, descriptor: &Descriptor) -> Result<Digest, Error> {
    digest_of(descriptor).ok_or_else(|| Error::Malformed {
        action: action.to_owned(),
        reason: format!("digest {} is not SHA-256", descriptor.digest()),
    })
}

impl Registry for MemoryRegistry {
    fn manifest(&self, reference: &Reference) -> Result<RemoteManifest, Error> {
        let content = self.content();
        let name = tagged(reference, reference.tag.as_deref().unwrap_or("latest"));
        let digest = reference.digest.or_else(|| content.tags.get(&name).copied());
        let found = digest
            .and_then(|digest| content.manifests.get(&(reference.full_name(), digest)).cloned());
        found.ok_or_else(|| not_found(format!("pull manifest of {reference}"), reference))
    }

    fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let action = format!("pull blob {} of {}", descriptor.digest(), reference.full_name());
        let key = (reference.full_name(), digest(&action, descriptor)?);
        let bytes = self.content().blobs.get(&key).cloned();
        let bytes = bytes.ok_or_else(|| not_found(action.clone(), reference))?;
        sink.write(&bytes).map_err(|source| Error::Sink { action, source })?;
        progress(bytes.len() as u64);
        Ok(())
    }

    fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        open: &dyn Fn() -> io::Result<Box<dyn Read>>,
        mount_from: Option<&Reference>,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, Error> {
        let action = format!("push blob {} to {}", descriptor.digest(), reference.full_name());
        let digest = digest(&action, descriptor)?;
        let key = (reference.full_name(), digest);
        if self.content().blobs.contains_key(&key) {
            return Ok(Pushed::Existed);
        }
        if let Some(from) = mount_from {
            let mut content = self.content();
            if let Some(bytes) = content.blobs.get(&(from.full_name(), digest)).cloned() {
                content.blobs.insert(key, bytes);
                return Ok(Pushed::Mounted);
            }
        }
        let mut bytes = Vec::new();
        let read = open().and_then(|mut blob| blob.read_to_end(&mut bytes));
        read.map_err(|source| Error::Source { action, source })?;
        progress(bytes.len() as u64);
        self.content().blobs.insert(key, bytes);
        Ok(Pushed::Uploaded)
    }

    fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        let descriptor = descriptor(media_type.clone(), digest, bytes.len() as u64);
        let manifest = RemoteManifest { descriptor, bytes: bytes.to_vec() };
        let mut content = self.content();
        content.manifests.insert((reference.full_name(), digest), manifest);
        if let Some(tag) = &reference.tag {
            content.tags.insert(tagged(reference, tag), digest);
        }
        Ok(digest)
    }
}
