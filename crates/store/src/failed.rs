use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext};
use crate::staging::Staging;
use crate::store::Store;

/// The folder of the step that failed last. As long as the value lives nobody removes it.
#[derive(Debug)]
pub struct FailedFolder {
    path: PathBuf,
    _lock: File,
}

/// Its name in the folder `failed`, whose entries are removed as wholes when the store is pruned.
const STEP: &str = "step";

impl FailedFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// Keeps the staging folder of a step that failed, in the place of the one that was kept before.
    /// Its value has nothing to remove any more.
    pub fn keep_failed(&self, staging: &Staging) -> Result<PathBuf, Error> {
        self.drop_failed()?;
        let folder = self.path("failed");
        fs::create_dir_all(&folder).context("create", &folder)?;
        let path = folder.join(STEP);
        fs::rename(staging.path(), &path).context("rename to", &path)?;
        Ok(path)
    }

    /// Removes what was kept of a step that failed.
    pub fn drop_failed(&self) -> Result<(), Error> {
        let path = self.path("failed").join(STEP);
        let trash = self.stage()?;
        let old = trash.path().join("failed");
        match fs::rename(&path, &old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.context("rename", &path)?,
        }
        let lock = File::open(&old).context("open", &old)?;
        if lock.try_lock().is_err() {
            // Somebody looks into it. It stays beside the staging folders, under its lock, until
            // the first opening of the store that finds it free.
            let name = trash.path().file_name().unwrap_or_default().to_owned();
            let kept = self.path("staging").join(name).with_extension("failed");
            fs::rename(&old, &kept).context("rename to", &kept)?;
        }
        Ok(())
    }

    /// What was kept of the step that failed last.
    pub fn failed(&self) -> Result<Option<FailedFolder>, Error> {
        let path = self.path("failed").join(STEP);
        let lock = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.context("open", &path)?,
        };
        lock.lock_shared().context("lock", &path)?;
        Ok(Some(FailedFolder { path, _lock: lock }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(store: &Store, content: &str) {
        let staging = store.stage().unwrap();
        fs::write(staging.path().join("file"), content).unwrap();
        store.keep_failed(&staging).unwrap();
    }

    #[test]
    fn the_last_failure_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert!(store.failed().unwrap().is_none());
        let read = || fs::read_to_string(root.path().join("failed/step/file")).unwrap();
        fail(&store, "one");
        assert_eq!(read(), "one");
        let shell = store.failed().unwrap().unwrap();
        // Another one fails while somebody looks at the first.
        fail(&store, "two");
        assert_eq!(read(), "two");
        drop(Store::open(root.path()).unwrap());
        let staged = || fs::read_dir(root.path().join("staging")).unwrap().count();
        assert_eq!(staged(), 1);
        drop(shell);
        drop(Store::open(root.path()).unwrap());
        assert_eq!(staged(), 0);
        store.drop_failed().unwrap();
        assert!(store.failed().unwrap().is_none());
    }
}
