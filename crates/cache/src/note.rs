use dfbuild_image::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Key;

/// What a step depended on when it ran: what a later miss is compared with. Kept under its own
/// digest, and found through the step's place and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its key by content.
    pub key: Key,
    /// What its stage begins with.
    pub base: BaseNote,
    /// The text of the step before it; empty for the first of a stage.
    pub after: String,
    /// When it ran.
    pub created: Timestamp,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// What the stage of a step began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseNote {
    /// The image, as the Dockerfile names it; empty for nothing, or for a folder.
    pub name: String,
    /// The digest of its manifest.
    pub digest: Digest,
}

impl Note {
    /// The bytes that are kept: canonical JSON.
    pub fn encode(&self) -> Vec<u8> {
        dfbuild_image::canonical_json(self)
    }

    /// Reads a note; `None` if the bytes are another version's.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
