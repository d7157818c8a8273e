use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use dfbuild_image::Digest;

use crate::error::{Error, IoContext};
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

    /// Gives a blob of another store a name here as well: nothing is copied. `false` where that
    /// cannot be done, as between two file systems.
    pub fn link_blob(&self, from: &Self, digest: &Digest) -> Result<bool, Error> {
        let path = self.blob_path(digest);
        match fs::hard_link(from.blob_path(digest), &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(error).context("link", &path)
            }
            Err(_) => Ok(false),
        }
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
    fn a_blob_of_another_store() {
        let root = tempfile::tempdir().unwrap();
        let stores = ["a", "b"].map(|name| Store::open(root.path().join(name)).unwrap());
        let digest = stores[0].put_blob(b"hello").unwrap();
        assert!(stores[1].link_blob(&stores[0], &digest).unwrap());
        assert!(stores[1].link_blob(&stores[0], &digest).unwrap());
        assert_eq!(stores[1].read_blob(&digest).unwrap(), b"hello");
        assert!(stores[1].link_blob(&stores[0], &Digest::of("no")).is_err());
    }

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
