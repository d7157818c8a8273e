use std::fs::{self, File};
use std::io;
use std::path::Path;

use dfbuild_image::Digest;
use tempfile::NamedTempFile;

use crate::disk::{Change, Disk};
use crate::error::{Error, IoContext};
use crate::store::Store;

impl Store {
    /// Puts `bytes` at `path` in one step: readers see the old file or the new one, never a part.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        write(&self.disk, &self.path("staging"), path, bytes, false)
    }

    /// Puts `bytes` at `path` under their digest, so that [`read_checked`] notices damage.
    /// What is there already is left alone: reading is cheaper, and a store may be read-only.
    pub(crate) fn write_checked(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let bytes = checked(bytes);
        if fs::read(path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            self.disk.create_folder(folder)?;
        }
        self.write(path, &bytes)
    }

    /// The same, on the disk when it returns.
    pub(crate) fn write_durably(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        write(&self.disk, &self.path("staging"), path, &checked(bytes), true)
    }
}

/// ```text
/// sha256:HEX   the digest of what follows
/// BYTES
/// ```
fn checked(bytes: &[u8]) -> Vec<u8> {
    [Digest::of(bytes).to_string().as_bytes(), b"\n", bytes].concat()
}

/// What was written at `path` with a digest; `None` if it is not there or is not that any more.
pub(crate) fn read_checked(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let digest: Digest = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    bytes.drain(..=end);
    (Digest::of(&bytes) == digest).then_some(bytes)
}

/// Writes a file in the folder `staging` and moves it to `path`.
pub(crate) fn write(
    disk: &Disk,
    staging: &Path,
    path: &Path,
    bytes: &[u8],
    durable: bool,
) -> Result<(), Error> {
    let file = new_file(disk, staging, "new-")?;
    disk.write(file.as_file(), file.path(), bytes)?;
    if durable {
        disk.sync(file.as_file(), file.path())?;
    }
    disk.persist(file, path)?;
    if durable {
        let folder = path.parent().expect("every file of a store is in a folder");
        let opened = File::open(folder).context("open", folder)?;
        disk.sync(&opened, folder)?;
    }
    Ok(())
}

/// A file that is locked as a staging folder is: nobody sweeps it away while it is written, and
/// everybody does when its writer is dead.
pub(crate) fn new_file(disk: &Disk, folder: &Path, prefix: &str) -> Result<NamedTempFile, Error> {
    loop {
        disk.tell(|| Change::Create(folder.to_owned()));
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .tempfile_in(folder)
            .context("create a file in", folder)?;
        file.as_file().lock().context("lock", file.path())?;
        match fs::metadata(file.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return Ok(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let path = store.path("scratch").join("file");
        store.write_checked(&path, b"hello\nworld").unwrap();
        assert_eq!(read_checked(&path).as_deref(), Some(&b"hello\nworld"[..]));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert_eq!(read_checked(&path), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(read_checked(&path), None, "cut at {at}");
        }
    }

    #[test]
    fn what_a_dead_writer_left_is_swept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let alive = new_file(&store.disk, &store.path("staging"), "new-").unwrap();
        let dead = store.path("staging").join("new-dead");
        fs::write(&dead, "half").unwrap();
        Store::open(root.path()).unwrap();
        assert!(alive.path().exists() && !dead.exists());
    }
}
