//! The document of a shared cache.
//!
//! In a registry or a layout it is the configuration of an image manifest whose layers are the
//! layers that it names; in an image it is an annotation of the manifest. The manifest's
//! descriptor of it has the bytes in `data` (OCI image-spec, descriptor.md) as long as they are not more than
//! [`LARGEST_EMBEDDED`]: then one request tells all of it.
//!
//! ```text
//! { "version": 1,
//!   "layers":  [{ "diff_id", "content_id", "tar_size",   what the layer is
//!                 "compressor", "blob",                  the blob that it is in, by descriptor
//!                 "derived",                             key of a layer at an epoch, if it is one
//!                 "outside" }],                          true if the blob is not in the cache
//!   "records": [{ "keys": [by definition, by content],   the keys of a step
//!                 "record" }],                           a record as the store holds it
//!   "notes": the blob of what explains misses            by descriptor; see `notes`
//! }
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dfbuild_cache::Record;
use dfbuild_image::{
    Descriptor, Digest, Manifest, MediaType, canonical_json, descriptor, digest_of,
};
use serde::{Deserialize, Serialize};

use crate::images::transfer::once;

/// What is known of a shared cache.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Document {
    version: u32,
    pub(super) layers: Vec<SharedLayer>,
    pub(super) records: Vec<SharedRecord>,
    /// The archive of what explains them. Nobody needs it for a hit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) notes: Option<Descriptor>,
}

/// A layer that is in the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SharedLayer {
    pub(super) diff_id: Digest,
    pub(super) content_id: Digest,
    pub(super) tar_size: u64,
    /// Who compressed it, as the store calls that.
    pub(super) compressor: String,
    pub(super) blob: Descriptor,
    /// If its times were set to an epoch: the key under which a layer like it is found for that
    /// epoch. It is that layer itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) derived: Option<Digest>,
    /// Whether it is only known here, and lies in the repository of a base image.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) outside: bool,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SharedRecord {
    pub(super) keys: Vec<Digest>,
    /// As [`Record::encode`] writes it: whoever cannot read that version misses.
    record: String,
}

/// Changes with the meaning of the document.
const VERSION: u32 = 1;

/// The media type of the document. Not that of an image's configuration: nobody runs a cache.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dfbuild.cache.v1+json";

/// The annotation of an image's manifest that holds one.
pub(super) const ANNOTATION: &str = "dev.dfbuild.cache.v1";

/// Longer documents take a request of their own: registries take manifests of 4 MiB (OCI
/// distribution-spec, "Pushing Manifests"), and base64 makes four bytes of three.
pub(super) const LARGEST_EMBEDDED: usize = 2 << 20;

/// More than any build has steps for; whoever sends more is not believed.
pub(super) const LARGEST_DOCUMENT: u64 = 64 << 20;

impl SharedRecord {
    pub(super) fn new(keys: Vec<Digest>, record: &Record) -> Self {
        let record = String::from_utf8(record.encode()).expect("a record is text");
        Self { keys, record }
    }

    pub(super) fn decode(&self) -> Option<Record> {
        Record::decode(self.record.as_bytes())
    }
}

impl Document {
    pub(super) fn new(layers: Vec<SharedLayer>, records: Vec<SharedRecord>) -> Self {
        Self { version: VERSION, layers, records, notes: None }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        canonical_json(self)
    }

    /// Reads one. Of another version nothing is known.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let document: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if document.version != VERSION {
            return Err(format!(
                "its version is {}, and {VERSION} is known here",
                document.version
            ));
        }
        Ok(document)
    }

    /// The manifest that holds it, and the document as a blob of its own.
    pub(super) fn manifest(&self) -> (Manifest, Vec<u8>) {
        let json = self.to_json();
        let media_type = MediaType::Other(MEDIA_TYPE.to_owned());
        let mut config = descriptor(media_type, Digest::of(&json), json.len() as u64);
        if json.len() <= LARGEST_EMBEDDED {
            config.set_data(Some(BASE64_STANDARD.encode(&json)));
        }
        let inside = self.layers.iter().filter(|layer| !layer.outside);
        let blobs = inside.map(|layer| &layer.blob).chain(&self.notes);
        let blobs: Vec<Descriptor> = blobs.cloned().collect();
        (Manifest::new(config, once(&blobs)), json)
    }
}

/// The document inside a manifest; where it is otherwise, `blob` gets the blob of a descriptor.
pub(super) fn read(
    manifest: &Manifest,
    blob: &dyn Fn(&Descriptor) -> Result<Vec<u8>, String>,
) -> Result<Document, String> {
    let annotations = manifest.0.annotations().as_ref();
    if let Some(text) = annotations.and_then(|annotations| annotations.get(ANNOTATION)) {
        return Document::from_json(text.as_bytes());
    }
    let config = manifest.0.config();
    if config.media_type().as_ref() != MEDIA_TYPE {
        return Err(format!("it holds no cache of dfbuild, but {}", config.media_type()));
    }
    let embedded = config.data().as_ref().and_then(|data| BASE64_STANDARD.decode(data).ok());
    let is_it = |bytes: &Vec<u8>| Some(Digest::of(bytes)) == digest_of(config);
    if let Some(bytes) = embedded.filter(is_it) {
        return Document::from_json(&bytes);
    }
    if config.size() > LARGEST_DOCUMENT {
        return Err(format!("it is larger than {LARGEST_DOCUMENT} bytes"));
    }
    Document::from_json(&blob(config)?)
}
