use dfbuild_cache::Record;
use dfbuild_image::{Digest, digest_of};

use crate::images::blobs::FinalLayer;

/// The layers and blobs that the bytes of a record promise; `None` if they mean nothing, or are
/// another version's.
pub(super) fn promised_by(record: &[u8]) -> Option<Vec<Digest>> {
    if let Some(record) = Record::decode(record) {
        return Some(vec![record.layer.diff_id]);
    }
    let derived: FinalLayer = serde_json::from_slice(record).ok()?;
    Some([derived.diff_id].into_iter().chain(digest_of(&derived.blob)).collect())
}
