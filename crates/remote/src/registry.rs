use std::fmt::Debug;
use std::io::{self, Read};

use dfbuild_image::{
    Descriptor, Digest, Index, Manifest, MediaType, Platform, Reference, digest_of,
};

use crate::{BlobSink, Error};

/// What pulls and pushes need of registries. A [`Client`](crate::Client) is one; another may keep
/// images in a database, in an object store, or in the memory of a test.
///
/// Used by several threads at the same time. A reference names the registry as well, so one value
/// stands for all of them.
pub trait Registry: Debug + Send + Sync {
    /// The manifest or index that `reference` names; by its digest if it has one.
    fn manifest(&self, reference: &Reference) -> Result<RemoteManifest, Error>;

    /// Writes the blob of `descriptor` to `sink`. `progress` gets the number of bytes that are there.
    /// Where bytes have to come again, the sink is told to start anew.
    fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error>;

    /// Sees to it that the blob of `descriptor` is in the repository of `reference`. It need not be
    /// sent if it is there already, or in the repository `mount_from` of the same registry.
    ///
    /// `open` opens the blob from its beginning; `progress` gets the number of bytes that were sent.
    fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        open: &dyn Fn() -> io::Result<Box<dyn Read>>,
        mount_from: Option<&Reference>,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, Error>;

    /// Stores `bytes` under the tag of `reference`, else under their digest, which it returns. All
    /// that they name is there already.
    fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<Digest, Error>;

    /// The image for `platform` that `reference` names, by way of an index if it is one.
    ///
    /// An image that no index names is taken whatever its platform: the configuration says which.
    fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<RemoteImage, Error> {
        let action = format!("pull manifest of {reference}");
        let mut found = self.manifest(reference)?;
        let mut index = None;
        for _ in 0..DEEPEST_INDEX {
            let malformed = |e: serde_json::Error| Error::Malformed {
                action: action.clone(),
                reason: e.to_string(),
            };
            match found.descriptor.media_type().to_string().as_str() {
                DOCKER_INDEX | "application/vnd.oci.image.index.v1+json" => {
                    let list = Index::from_json(&found.bytes).map_err(malformed)?;
                    let chosen = choose(&list, platform, reference)?;
                    let digest = digest_in(&action, &chosen)?;
                    let pinned = Reference { tag: None, digest: Some(digest), ..reference.clone() };
                    index.get_or_insert(found);
                    found = self.manifest(&pinned)?;
                }
                DOCKER_MANIFEST | "application/vnd.oci.image.manifest.v1+json" => {
                    let manifest = Manifest::from_json(&found.bytes).map_err(malformed)?;
                    let config = configuration(self, reference, manifest.0.config())?;
                    return Ok(RemoteImage {
                        index,
                        descriptor: found.descriptor,
                        manifest_bytes: found.bytes,
                        manifest,
                        config,
                    });
                }
                other => return Err(Error::Unsupported { action, media_type: other.to_owned() }),
            }
        }
        Err(Error::Malformed { action, reason: "indexes name indexes without an end".to_owned() })
    }
}

/// A manifest or an index as a registry has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteManifest {
    /// Its media type, digest and length.
    pub descriptor: Descriptor,
    /// Its bytes, which have that digest.
    pub bytes: Vec<u8>,
}

/// An image for one platform as a registry has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteImage {
    /// The index that led to it, if one did.
    pub index: Option<RemoteManifest>,
    /// The descriptor of the manifest.
    pub descriptor: Descriptor,
    /// The manifest as it is.
    pub manifest_bytes: Vec<u8>,
    /// The manifest, read.
    pub manifest: Manifest,
    /// The image's configuration as it is.
    pub config: Vec<u8>,
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it from another repository; nothing was sent.
    Mounted,
    /// It was sent.
    Uploaded,
}

const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

const LONGEST_CONFIG: u64 = 16 * 1024 * 1024;
/// An index may name an index; nobody nests them deeper.
const DEEPEST_INDEX: u32 = 3;

fn configuration(
    registry: &(impl Registry + ?Sized),
    reference: &Reference,
    config: &Descriptor,
) -> Result<Vec<u8>, Error> {
    if config.size() > LONGEST_CONFIG {
        let action = format!("pull configuration of {reference}");
        return Err(Error::TooLarge { action, limit: LONGEST_CONFIG });
    }
    let mut bytes = Vec::new();
    registry.blob(reference, config, &mut bytes, &|_| {})?;
    Ok(bytes)
}

fn choose(index: &Index, platform: &Platform, reference: &Reference) -> Result<Descriptor, Error> {
    index.find(platform).cloned().ok_or_else(|| Error::NoPlatform {
        reference: reference.to_string(),
        platform: platform.to_string(),
        available: index.platforms().iter().map(Platform::to_string).collect(),
    })
}

/// The digest of what a descriptor names; only SHA-256 is known.
pub(crate) fn digest_in(action: &str, descriptor: &Descriptor) -> Result<Digest, Error> {
    digest_of(descriptor).ok_or_else(|| Error::Malformed {
        action: action.to_owned(),
        reason: format!("digest `{}` is not SHA-256", descriptor.digest()),
    })
}
