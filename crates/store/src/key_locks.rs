use std::fs;
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::Digest;

use crate::disk::Disk;
use crate::lock_file::{LockFile, Mode};
use crate::store::Store;

/// The right to make what is to be stored under a key, as long as the value lives or its process does:
/// of several builds that need the same, one makes it and the others wait.
///
/// ```text
/// locks/HEX           locked by whoever makes it; "PID SECONDS\n", who and since when
/// locks/HEX.waiting   there if somebody waits for it
/// ```
#[derive(Debug)]
#[must_use = "others may begin once it is dropped"]
pub struct KeyLock {
    /// `None` where no lock can be had: then nobody waits for anybody.
    lock: Option<LockFile>,
    waiting: PathBuf,
    disk: Disk,
}

/// Who has a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// When it took the lock.
    pub since: SystemTime,
}

/// What became of the wish for a lock.
#[derive(Debug)]
#[must_use]
pub enum KeyLocking {
    /// It is the caller's.
    Locked(KeyLock),
    /// Somebody else has it: who, if that could be read.
    Held(Option<Holder>),
}

impl Store {
    /// The lock of a key, or who has it. Whoever has it learns that somebody waits
    /// ([`KeyLock::is_wanted`]). Works between processes and within one.
    pub fn lock_key(&self, key: &Digest) -> KeyLocking {
        let path = self.path("locks").join(key.hex());
        let waiting = path.with_extension("waiting");
        match LockFile::try_take(&path, Mode::Exclusive) {
            Ok(None) => {
                let _ = fs::File::create(&waiting);
                KeyLocking::Held(fs::read_to_string(&path).ok().and_then(|text| parse(&text)))
            }
            // A file system without locks, a folder that cannot be written to: the same step may run
            // twice then, which is slow and not wrong.
            Err(_) => KeyLocking::Locked(KeyLock { lock: None, waiting, disk: self.disk.clone() }),
            Ok(Some(lock)) => {
                let _ = sign(&lock);
                let disk = self.disk.clone();
                KeyLocking::Locked(KeyLock { lock: Some(lock), waiting, disk })
            }
        }
    }

    /// Removes the locks that killed processes left.
    pub(crate) fn sweep_locks(&self) {
        for entry in fs::read_dir(self.path("locks")).into_iter().flatten().flatten() {
            let path = entry.path();
            let owner = path.with_extension("");
            if let Ok(Some(lock)) = LockFile::try_take(&owner, Mode::Exclusive) {
                let _ = fs::remove_file(owner.with_extension("waiting"));
                lock.remove(&self.disk);
            }
        }
    }
}

/// Says who has a lock.
fn sign(lock: &LockFile) -> std::io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut file = lock.file();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{} {}\n", std::process::id(), since.as_secs()).as_bytes())
}

fn parse(text: &str) -> Option<Holder> {
    let (pid, since) = text.strip_suffix('\n')?.split_once(' ')?;
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(since.parse().ok()?))?;
    Some(Holder { pid: pid.parse().ok()?, since })
}

impl KeyLock {
    /// Whether somebody waits for it.
    pub fn is_wanted(&self) -> bool {
        self.lock.is_some() && self.waiting.exists()
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            let _ = fs::remove_file(&self.waiting);
            lock.remove(&self.disk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_makes_it_and_the_others_wait() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let key = Digest::of("key");
        let KeyLocking::Locked(lock) = store.lock_key(&key) else { panic!("nobody has it") };
        assert!(!lock.is_wanted());
        let KeyLocking::Held(Some(holder)) = store.lock_key(&key) else { panic!("it is held") };
        assert_eq!(holder.pid, std::process::id());
        assert!(holder.since <= SystemTime::now());
        assert!(lock.is_wanted());
        assert!(matches!(store.lock_key(&Digest::of("other")), KeyLocking::Locked(_)));
        drop(lock);
        assert!(matches!(store.lock_key(&key), KeyLocking::Locked(_)));
        assert_eq!(fs::read_dir(root.path().join("locks")).unwrap().count(), 0);
    }

    #[test]
    fn the_locks_of_the_dead_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let locks = root.path().join("locks");
        let (dead, alive) = (Digest::of("dead"), Digest::of("alive"));
        fs::write(locks.join(dead.hex()), "1 1\n").unwrap();
        fs::write(locks.join(dead.hex() + ".waiting"), "").unwrap();
        let KeyLocking::Locked(_lock) = store.lock_key(&alive) else { panic!("nobody has it") };
        store.sweep_locks();
        let left: Vec<_> =
            fs::read_dir(&locks).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, [alive.hex().as_str()]);
    }
}
