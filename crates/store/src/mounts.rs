use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use dfbuild_image::Digest;

use crate::lock_file::{LockFile, Mode};
use crate::stamps::stamp;
use crate::store::Store;
use crate::usage::Meter;

/// The folder of a cache mount, which nobody collects as long as the value lives.
///
/// ```text
/// mounts/HEX/       the folder; HEX is the digest of its id
/// mounts/HEX.used   locked shared by whoever uses it; its time is that of the last use, in it stands
///                   how many bytes the folder took when somebody looked
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
        self.used_mounts.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
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

impl Store {
    /// By how many bytes the cache mounts grew that this process used since it last asked.
    pub(crate) fn growth_of_mounts(&self) -> i64 {
        let used =
            std::mem::take(&mut *self.used_mounts.lock().unwrap_or_else(PoisonError::into_inner));
        used.iter().map(|path| growth(path)).sum()
    }
}

/// By how much a cache mount grew since somebody last looked, which is noted.
fn growth(path: &Path) -> i64 {
    let note = path.with_extension("used");
    let before = fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok());
    let now = i64::try_from(Meter::default().allocated(path)).unwrap_or(i64::MAX);
    let before: i64 = before.unwrap_or(0);
    // Not made anew: it may have been collected.
    if now != before && fs::OpenOptions::new().write(true).open(&note).is_ok() {
        let _ = fs::write(&note, format!("{now}\n"));
    }
    now.saturating_sub(before)
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
    fn growth_is_seen_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let mount = store.mount("id").unwrap();
        fs::create_dir(mount.path()).unwrap();
        let empty = store.growth_of_mounts();
        assert!(store.growth_of_mounts() == 0 && empty >= 0);
        fs::write(mount.path().join("file"), [1; 10_000]).unwrap();
        drop(store.mount("id").unwrap());
        assert_eq!(store.growth_of_mounts(), 12288);
        fs::remove_file(mount.path().join("file")).unwrap();
        drop(store.mount("id").unwrap());
        assert_eq!(store.growth_of_mounts(), -12288);
    }

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
