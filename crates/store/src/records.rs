use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::PoisonError;

use dfbuild_image::Digest;

use crate::error::Error;
use crate::files::read_checked;
use crate::store::Store;

/// Records of steps whose results are not synced yet; only this process sees them.
pub(crate) type PendingRecords = HashMap<Digest, Vec<u8>>;

impl Store {
    /// The bytes under `key`. A file that is torn or damaged counts as missing.
    pub fn record(&self, key: &Digest) -> Option<Vec<u8>> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = pending.records.get(key) {
            return Some(record.clone());
        }
        drop(pending);
        read_checked(&self.record_path(key))
    }

    /// Keeps `record` under `key`, for this process at once and for others from the next
    /// [`Store::commit`] on.
    pub fn put_record(&self, key: Digest, record: Vec<u8>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.records.insert(key, record);
    }

    pub(crate) fn write_records(&self, pending: &mut PendingRecords) -> Result<(), Error> {
        for (key, record) in pending.iter() {
            let path = self.record_path(key);
            self.write_checked(&path, record)?;
        }
        pending.clear();
        Ok(())
    }

    fn record_path(&self, key: &Digest) -> PathBuf {
        let hex = key.hex();
        self.path("records").join(&hex[..2]).join(hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_see_a_record_after_commit() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (Store::open(root.path()).unwrap(), Store::open(root.path()).unwrap());
        let key = Digest::of("key");
        one.put_record(key, b"value".to_vec());
        assert_eq!(one.record(&key).as_deref(), Some(&b"value"[..]));
        assert_eq!(two.record(&key), None);
        one.commit().unwrap();
        assert_eq!(two.record(&key).as_deref(), Some(&b"value"[..]));
    }
}
