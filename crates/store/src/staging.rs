use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::disk::{Change, Disk};
use crate::error::{Error, IoContext};

/// A folder for work in progress. It is locked as long as the value lives; when the process dies,
/// the lock goes with it and the next opening of the store removes the folder.
#[derive(Debug)]
pub struct Staging {
    folder: TempDir,
    // Held, not read: the lock on the folder itself is what says that it is in use. A lock file in
    // it could be missing, while it is made or removed.
    _lock: File,
    disk: Disk,
}

impl Staging {
    pub(crate) fn new(disk: &Disk, parent: &Path) -> Result<Self, Error> {
        // Before it is locked another process may sweep the new folder away; then the next try
        // begins anew.
        loop {
            disk.tell(|| Change::Create(parent.to_owned()));
            let folder = tempfile::Builder::new()
                .prefix("build-")
                .tempdir_in(parent)
                .context("create a folder in", parent)?;
            let lock = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.context("open", folder.path())?,
            };
            lock.lock().context("lock", folder.path())?;
            if folder.path().exists() {
                return Ok(Self { folder, _lock: lock, disk: disk.clone() });
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new folder inside it. Its name is made from `name`.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        self.disk.tell(|| Change::Create(self.path().to_owned()));
        let folder = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(self.path())
            .context("create a folder in", self.path())?;
        Ok(folder.keep())
    }

    /// A new file inside it.
    pub fn file(&self) -> Result<StagedFile, Error> {
        self.disk.tell(|| Change::Create(self.path().to_owned()));
        let file = tempfile::Builder::new()
            .prefix("file-")
            .tempfile_in(self.path())
            .context("create a file in", self.path())?;
        Ok(StagedFile { file, disk: self.disk.clone() })
    }
}

/// A file that becomes a blob when it is complete; dropped before that, it vanishes.
#[derive(Debug)]
#[must_use = "a staged file that is dropped is removed"]
pub struct StagedFile {
    file: NamedTempFile,
    disk: Disk,
}

impl StagedFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Forgets what was written.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.as_file_mut().set_len(0)?;
        io::Seek::rewind(self.file.as_file_mut())
    }

    /// How long it is, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.file.as_file().metadata().map_or(0, |file| file.len())
    }

    pub(crate) fn persist(self, path: &Path) -> Result<(), Error> {
        self.disk.persist(self.file, path)
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.tell(|| Change::Write(self.file.path().to_owned()));
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Removes the staging folders and files of dead processes. What cannot be removed is left for another time:
/// it must not keep a build from starting.
pub(crate) fn sweep(disk: &Disk, parent: &Path) {
    let Ok(folders) = fs::read_dir(parent) else { return };
    for folder in folders.flatten().map(|entry| entry.path()) {
        // Held until the folder is gone: its owner may be about to lock it, and looks afterwards
        // whether it is still there.
        let Ok(lock) = File::open(&folder) else { continue };
        if lock.try_lock().is_ok() {
            disk.tell(|| Change::Remove(folder.clone()));
            let _ = if folder.is_dir() {
                fs::remove_dir_all(&folder)
            } else {
                fs::remove_file(&folder)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn only_the_folders_of_the_dead_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let alive = store.stage().unwrap();
        let dead = root.path().join("staging/build-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("half"), "written").unwrap();
        Store::open(root.path()).unwrap();
        assert!(alive.path().exists() && !dead.exists());
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}
