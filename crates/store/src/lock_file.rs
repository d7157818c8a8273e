use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk::{Change, Disk};

/// How a file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// A file that is locked as long as the value lives, or its process. It may be removed by whoever has
/// it exclusively; others notice and make a new one.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Waits for the lock. Builds wait only for locks that are held for moments.
    pub(crate) fn wait(path: &Path, mode: Mode) -> io::Result<Self> {
        loop {
            let file = open(path)?;
            match mode {
                Mode::Shared => without_interrupts(|| file.lock_shared())?,
                Mode::Exclusive => without_interrupts(|| file.lock())?,
            }
            if let Some(lock) = Self::still_there(file, path)? {
                return Ok(lock);
            }
        }
    }

    /// The lock, unless somebody else has it.
    pub(crate) fn try_take(path: &Path, mode: Mode) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            let taken = match mode {
                Mode::Shared => file.try_lock_shared(),
                Mode::Exclusive => file.try_lock(),
            };
            match taken {
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => {}
            }
            if let Some(lock) = Self::still_there(file, path)? {
                return Ok(Some(lock));
            }
        }
    }

    /// Whoever had the file before may have removed it.
    fn still_there(file: File, path: &Path) -> io::Result<Option<Self>> {
        let lock = Self { file, path: path.to_owned() };
        let ours = lock.file.metadata()?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(Some(lock)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file and gives up the lock, which must be exclusive.
    pub(crate) fn remove(self, disk: &Disk) {
        disk.tell(|| Change::Remove(self.path.clone()));
        // One that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closing is not enough: a supervisor of a step that was forked meanwhile has the file open too.
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Not truncated: it may say who has it.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn without_interrupts(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_lock_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = LockFile::try_take(&path, Mode::Exclusive).unwrap().unwrap();
        assert!(LockFile::try_take(&path, Mode::Exclusive).unwrap().is_none());
        assert!(LockFile::try_take(&path, Mode::Shared).unwrap().is_none());
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || LockFile::wait(&path, Mode::Exclusive).unwrap()
        });
        first.remove(&Disk::default());
        let second = waiting.join().unwrap();
        assert!(path.exists());
        assert!(LockFile::try_take(&path, Mode::Shared).unwrap().is_none());
        drop(second);
        let shared = LockFile::try_take(&path, Mode::Shared).unwrap().unwrap();
        assert!(LockFile::try_take(&path, Mode::Shared).unwrap().is_some());
        assert!(LockFile::try_take(&path, Mode::Exclusive).unwrap().is_none());
        drop(shared);
    }

    #[test]
    fn a_duplicate_elsewhere_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = LockFile::try_take(&path, Mode::Exclusive).unwrap().unwrap();
        // As a forked process has it.
        let duplicate = lock.file().try_clone().unwrap();
        drop(lock);
        assert!(LockFile::try_take(&path, Mode::Exclusive).unwrap().is_some());
        drop(duplicate);
    }
}
