use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use dfbuild_image::{
    Descriptor, Digest, ImageConfig, Index, Manifest, MediaType, Platform, REF_NAME_ANNOTATION,
    digest_of,
};

use crate::disk::Disk;
use crate::error::{Error, IoContext};
use crate::files::write;

/// A folder that is an OCI image layout (image-spec, image-layout.md), ours or another builder's.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// `oci-layout`, the file that marks an image layout.
const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Layout {
    /// The layout at `root`.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        if !root.is_dir() {
            let reason = "no such folder".to_owned();
            return Err(Error::NotALayout { path: root, reason });
        }
        if !root.join("index.json").is_file() {
            let reason = "it has no index.json".to_owned();
            return Err(Error::NotALayout { path: root, reason });
        }
        Ok(Self { root })
    }

    /// Writes the files of an empty layout where they are missing. `blobs/sha256` must exist.
    pub(crate) fn create(disk: &Disk, root: &Path) -> Result<Self, Error> {
        let staging = root.join("staging");
        let marker = root.join("oci-layout");
        if !marker.exists() {
            write(disk, &staging, &marker, MARKER, false)?;
        }
        let index = root.join("index.json");
        if !index.exists() {
            write(disk, &staging, &index, &Index::new(Vec::new()).to_json(), false)?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob lies if it is there.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// The blob as a stream. Its reader verifies the digest.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoBlob { digest: *digest, layout: self.root.clone() })
            }
            opened => opened.context("open", &path),
        }
    }

    /// The bytes of a small blob, verified.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut self.open_blob(digest)?, &mut bytes).context("read", &path)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(Error::CorruptBlob { expected: *digest, found });
        }
        Ok(bytes)
    }

    /// The top index, `index.json`.
    pub fn index(&self) -> Result<Index, Error> {
        let path = self.root.join("index.json");
        let bytes = fs::read(&path).context("read", &path)?;
        Index::from_json(&bytes)
            .map_err(|error| Error::NotALayout { path, reason: error.to_string() })
    }

    /// The descriptor called `tag`, or with the digest `tag`. Without one: the only image, else
    /// the one called `latest`, as BuildKit looks up `oci-layout://DIR`.
    pub fn find(&self, tag: Option<&str>) -> Result<Descriptor, Error> {
        let index = self.index()?;
        let manifests = index.0.manifests();
        let name = |descriptor: &Descriptor| {
            let annotations = descriptor.annotations().as_ref()?;
            annotations.get(REF_NAME_ANNOTATION).cloned()
        };
        if let (None, [only]) = (tag, manifests.as_slice()) {
            return Ok(only.clone());
        }
        let wanted = tag.unwrap_or("latest");
        let found = manifests.iter().find(|descriptor| {
            name(descriptor).is_some_and(|name| {
                name == wanted || name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted)
            }) || descriptor.digest().to_string() == wanted
        });
        found.cloned().ok_or_else(|| Error::NoTag {
            tag: wanted.to_owned(),
            layout: self.root.clone(),
            known: manifests.iter().filter_map(name).collect(),
        })
    }

    /// The image that `descriptor` leads to on `platform`: the descriptor of its manifest, the
    /// manifest and the configuration.
    pub fn image(
        &self,
        descriptor: &Descriptor,
        platform: &Platform,
    ) -> Result<(Descriptor, Manifest, ImageConfig), Error> {
        let digest = self.digest(descriptor)?;
        let bytes = self.read_blob(&digest)?;
        if is_index(descriptor, &bytes) {
            let index = Index::from_json(&bytes).map_err(|source| Error::Malformed {
                what: "index",
                digest,
                source,
            })?;
            let found = index.find(platform).ok_or_else(|| Error::NoPlatform {
                platform: platform.to_string(),
                available: index.platforms().iter().map(Platform::to_string).collect(),
            })?;
            return self.image(found, platform);
        }
        let manifest = Manifest::from_json(&bytes).map_err(|source| Error::Malformed {
            what: "manifest",
            digest,
            source,
        })?;
        let id = self.digest(manifest.0.config())?;
        let config = serde_json::from_slice(&self.read_blob(&id)?)
            .map_err(|source| Error::Malformed { what: "configuration", digest: id, source })?;
        Ok((descriptor.clone(), manifest, config))
    }

    fn digest(&self, descriptor: &Descriptor) -> Result<Digest, Error> {
        digest_of(descriptor).ok_or_else(|| Error::NotALayout {
            path: self.root.clone(),
            reason: format!("digest {} is not SHA-256", descriptor.digest()),
        })
    }
}

/// Descriptors of old tools have no or a wrong media type; the document itself decides then.
fn is_index(descriptor: &Descriptor, bytes: &[u8]) -> bool {
    match descriptor.media_type() {
        MediaType::ImageIndex => true,
        MediaType::ImageManifest => false,
        MediaType::Other(kind) if kind.ends_with("manifest.list.v2+json") => true,
        _ => serde_json::from_slice::<serde_json::Value>(bytes)
            .is_ok_and(|document| document.get("manifests").is_some()),
    }
}
