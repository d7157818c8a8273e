use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use crate::error::{Error, IoContext};

/// A change that a store is about to make to what lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A new file or folder somewhere below this folder, or this folder itself.
    Create(PathBuf),
    /// Bytes are written to a file. Told in the middle of a small file as well.
    Write(PathBuf),
    /// A finished file or folder gets its name.
    Rename {
        /// Where it was made.
        from: PathBuf,
        /// Its name from now on.
        to: PathBuf,
    },
    /// A file or folder goes away.
    Remove(PathBuf),
    /// A file or folder is made to last.
    Sync(PathBuf),
    /// Everything written so far is made to last.
    SyncAll,
}

/// Hears of every [`Change`] before it is made. It is how tests end a process at each of them, or see
/// that nothing is promised before it lasts.
pub trait Watcher: Send + Sync {
    /// Takes one change.
    fn before(&self, change: &Change);
}

impl<F: Fn(&Change) + Send + Sync> Watcher for F {
    fn before(&self, change: &Change) {
        self(change);
    }
}

/// The way to the disk: every change that this crate makes goes through it.
#[derive(Clone, Default)]
pub(crate) struct Disk(Option<Arc<dyn Watcher>>);

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Disk").field(&self.0.is_some()).finish()
    }
}

impl Disk {
    pub(crate) fn watched(watcher: Arc<dyn Watcher>) -> Self {
        Self(Some(watcher))
    }

    /// Says that a change comes.
    pub(crate) fn tell(&self, change: impl FnOnce() -> Change) {
        if let Some(watcher) = &self.0 {
            watcher.before(&change());
        }
    }

    pub(crate) fn create_folder(&self, path: &Path) -> Result<(), Error> {
        if !path.is_dir() {
            self.tell(|| Change::Create(path.to_owned()));
            fs::create_dir_all(path).context("create", path)?;
        }
        Ok(())
    }

    /// Writes all of a small file.
    pub(crate) fn write(&self, mut file: &File, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.tell(|| Change::Write(path.to_owned()));
        let mut rest = bytes;
        if self.0.is_some() {
            // Whoever watches sees it half written as well.
            let (half, other) = bytes.split_at(bytes.len() / 2);
            file.write_all(half).context("write", path)?;
            self.tell(|| Change::Write(path.to_owned()));
            rest = other;
        }
        file.write_all(rest).context("write", path)
    }

    /// Gives a finished file its name, readable for all.
    pub(crate) fn persist(&self, file: NamedTempFile, path: &Path) -> Result<(), Error> {
        let permissions = fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(permissions).context("change the mode of", file.path())?;
        self.tell(|| Change::Rename { from: file.path().to_owned(), to: path.to_owned() });
        file.persist(path).map_err(|error| error.error).context("rename to", path)?;
        Ok(())
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tell(|| Change::Rename { from: from.to_owned(), to: to.to_owned() });
        fs::rename(from, to)
    }

    /// Removes a file. Says whether it was there.
    pub(crate) fn remove_file(&self, path: &Path) -> Result<bool, Error> {
        self.tell(|| Change::Remove(path.to_owned()));
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true).context("remove", path),
        }
    }

    pub(crate) fn sync(&self, file: &File, path: &Path) -> Result<(), Error> {
        self.tell(|| Change::Sync(path.to_owned()));
        file.sync_all().context("sync", path)
    }

    /// Waits until everything written so far to the file system of `root` is on the disk.
    pub(crate) fn sync_all(&self, root: &Path) -> Result<(), Error> {
        self.tell(|| Change::SyncAll);
        let folder = File::open(root).context("open", root)?;
        rustix::fs::syncfs(&folder).map_err(io::Error::from).context("sync", root)
    }
}
