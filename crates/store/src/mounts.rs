use std::io;
use std::path::{Path, PathBuf};

use dfbuild_image::Digest;

use crate::lock_file::{LockFile, Mode};
use crate::stamps::stamp;
use crate::store::Store;

/// The folder of a cache mount, which nobody collects as long as the value lives.
///
/// ```text
/// mounts/HEX/       the folder; HEX is the digest of its id
/// mounts/HEX.used   locked shared by whoever uses it; its time is that of the last use
/// mounts/HEX.lock   locked by the one who has it alone
/// ```
#[derive(Debug)]
pub struct MountFolder {
    path: PathBuf,
    _used: LockFile,
}

/// The right to use a cache mount alone, as long as the value lives or its process does.
#[derive(Debug)]
#[must_use = "others may use it once it is dropped"]
pub struct MountLock(#[expect(dead_code, reason = "held, not read")] LockFile);

impl Store {
    /// The folder of the cache mount `id`. It is made by whoever uses it first.
    pub fn mount(&self, id: &str) -> io::Result<MountFolder> {
        let path = self.path("mounts").join(Digest::of(id).hex());
        let used = LockFile::wait(&path.with_extension("used"), Mode::Shared)?;
        stamp(used.path());
        Ok(MountFolder { path, _used: used })
    }

    /// Moves a folder to where a cache mount is to be, unless somebody was faster.
    pub fn put_mount(&self, mount: &MountFolder, made: &Path) -> io::Result<()> {
        match self.disk.rename(made, &mount.path) {
            Err(_) if mount.path.is_dir() => Ok(()),
            renamed => renamed,
        }
    }
}

impl MountFolder {
    /// Where it is, or will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The right to use it alone; `None` if somebody else has that.
    pub fn try_lock(&self) -> io::Result<Option<MountLock>> {
        let lock = LockFile::try_take(&self.path.with_extension("lock"), Mode::Exclusive)?;
        Ok(lock.map(MountLock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_use_it_and_one_has_it_alone() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let (one, two) = (store.mount("id").unwrap(), store.mount("id").unwrap());
        assert_eq!(one.path(), two.path());
        let lock = one.try_lock().unwrap().unwrap();
        assert!(two.try_lock().unwrap().is_none());
        drop(lock);
        assert!(two.try_lock().unwrap().is_some());
        assert!(store.mount("other").unwrap().try_lock().unwrap().is_some());
    }
}
