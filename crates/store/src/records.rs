use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_image::Digest;

use crate::error::Error;
use crate::files::read_checked;
use crate::stamps::used;
use crate::store::Store;

/// Records of steps whose results are not synced yet; only this process sees them.
pub(crate) type PendingRecords = HashMap<Digest, Arc<[u8]>>;

impl Store {
    /// The bytes under `key`. A file that is torn or damaged counts as missing.
    pub fn record(&self, key: &Digest) -> Option<Vec<u8>> {
        if let Some(record) = self.pending().records.get(key) {
            return Some(record.to_vec());
        }
        let path = self.record_path(key);
        let record = read_checked(&path)?;
        if let Ok(file) = fs::metadata(&path) {
            used(&path, &file);
        }
        Some(record)
    }

    /// Keeps `record` under `key`, for this process at once and for others from the next
    /// [`Store::commit`] on.
    pub fn put_record(&self, key: Digest, record: Vec<u8>) {
        self.grew(record.len() as u64);
        self.pending().records.insert(key, record.into());
    }

    /// Writes records whose layers are synced.
    pub(crate) fn write_records(&self, records: &PendingRecords) -> Result<(), Error> {
        for (key, record) in records {
            self.write_checked(&self.record_path(key), record)?;
            let mut pending = self.pending();
            // It may have been put once more meanwhile, with something that is not synced.
            if pending.records.get(key).is_some_and(|now| Arc::ptr_eq(now, record)) {
                pending.records.remove(key);
            }
        }
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
        assert_eq!(one.record(&key).as_deref(), Some(&b"value"[..]));
    }
}
