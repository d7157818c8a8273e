use dfbuild_image::{Digest, Timestamp, TreePath};
use serde::{Deserialize, Serialize};

/// What is known of a step that ran, kept under its keys. Small: what the step depended on is a
/// [`crate::Note`] of its own, which both keys share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it made.
    pub layer: LayerRecord,
    /// The content of everything below that layer: a record found by its definition counts only
    /// on the same content.
    pub below: Digest,
    /// When it ran.
    pub created: Timestamp,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// The digest of the note that says what it depended on. Only explanations need it.
    pub note: Option<Digest>,
}

/// The layer that a step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of its archive.
    pub diff_id: Digest,
    /// Digest of what is in it, without times.
    pub content_id: Digest,
    /// Length of its archive in bytes.
    pub tar_size: u64,
    /// Which of its times are not the user's.
    pub clock: ClockTimes,
}

/// The modification times that a layer has from the machine or the builder, not from the user's
/// files. `SOURCE_DATE_EPOCH` takes their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockTimes {
    /// All from this second on: a command ran then.
    Since(i64),
    /// Those of this second, an epoch that took the place of clock times before.
    At(i64),
    /// Those of these paths, which the builder made.
    Paths(Vec<TreePath>),
}

impl Record {
    /// The bytes that are stored.
    ///
    /// ```text
    /// "dfbuild record 2\n" SHA-256(body) in 64 hexadecimal digits "\n" body
    /// body = canonical JSON
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let body = dfbuild_image::canonical_json(self);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(Digest::of(&body).hex().as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads a record. `None` if the bytes are torn or another version's: that is a miss, never an
    /// error.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (hex, rest) = rest.split_at_checked(64)?;
        let body = rest.strip_prefix(b"\n")?;
        (Digest::of(body).hex().as_bytes() == hex).then(|| serde_json::from_slice(body).ok())?
    }
}

/// Changes with the encoding.
const MAGIC: &[u8] = b"dfbuild record 2\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_records_are_none() {
        let record = Record {
            layer: LayerRecord {
                diff_id: Digest::of("d"),
                content_id: Digest::of("c"),
                tar_size: 1024,
                clock: ClockTimes::Paths(vec!["a".into()]),
            },
            below: Digest::of("b"),
            created: Timestamp::NO_CLOCK,
            milliseconds: 5,
            note: Some(Digest::of("n")),
        };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Some(record));
        for end in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..end]), None);
        }
        let mut flipped = bytes;
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(Record::decode(&flipped), None);
    }
}
