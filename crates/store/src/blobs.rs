use std::fs::{self, File};
use std::path::PathBuf;

use dfbuild_image::Digest;

use crate::error::Error;
use crate::staging::StagedFile;
use crate::stamps::used;
use crate::store::Store;

impl Store {
    /// Where the blob lies if it is there.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.layout.blob_path(digest)
    }

    /// Whether the blob is there with this length in bytes. A torn file has another length.
    pub fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        self.hold(digest);
        let path = self.blob_path(digest);
        let found = fs::metadata(&path).ok().filter(|blob| blob.is_file() && blob.len() == size);
        if let Some(blob) = &found {
            used(&path, blob);
        }
        found.is_some()
    }

    /// Stores a small blob: a manifest or a configuration.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest, bytes.len() as u64) {
            self.grew(bytes.len() as u64);
            self.write(&self.blob_path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// Moves a staged file to its digest, which the caller computed while writing it.
    pub fn put_staged(&self, file: StagedFile, digest: &Digest) -> Result<(), Error> {
        self.hold(digest);
        self.grew(file.len());
        file.persist(&self.blob_path(digest))
    }

    /// The bytes of a small blob, verified.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        self.layout.read_blob(digest)
    }

    /// The blob as a stream. Its reader verifies the digest.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        self.layout.open_blob(digest)
    }

    /// Removes a blob that turned out to be corrupt, so that it is fetched or made again.
    pub fn drop_blob(&self, digest: &Digest) -> Result<(), Error> {
        self.disk.remove_file(&self.blob_path(digest)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrupt_blob_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let digest = store.put_blob(b"hello").unwrap();
        fs::write(store.blob_path(&digest), b"jello").unwrap();
        assert!(matches!(store.read_blob(&digest), Err(Error::CorruptBlob { .. })));
        fs::write(store.blob_path(&digest), b"hell").unwrap();
        assert!(!store.has_blob(&digest, 5));
        store.put_blob(b"hello").unwrap();
        assert_eq!(store.read_blob(&digest).unwrap(), b"hello");
    }
}
