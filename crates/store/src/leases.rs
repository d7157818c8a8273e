use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dfbuild_image::Digest;
use tempfile::NamedTempFile;

use crate::disk::{Change, Disk};
use crate::error::{Error, IoContext};
use crate::files::new_file;
use crate::lock_file::{LockFile, Mode};
use crate::store::Store;

/// What this process relies on: blobs, layers, snapshots. Nobody collects what a lease names.
///
/// ```text
/// leases/PID-RANDOM   locked as long as its process lives
///   HEX\n             a digest, of whatever it is
///   …
/// ```
///
/// A digest is added under the shared lock `gc.lock`, and only then one looks whether the thing is
/// there; collection reads the leases and renames what nobody names under the exclusive one. So either
/// the collector sees the lease, or its owner sees that the thing is gone.
#[derive(Debug, Default)]
pub(crate) struct Lease(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Made when there is something to name. Locked; it goes away with the value.
    file: Option<NamedTempFile>,
    named: HashSet<Digest>,
    users: usize,
}

/// As long as one of these lives, nothing that was seen in the store or put there is collected.
/// Without any, only what the process sees or puts there from then on.
#[derive(Debug)]
#[must_use = "what was seen may be collected once it is dropped"]
pub struct InUse<'a>(&'a Store);

impl Store {
    /// Begins to keep what will be seen or made from being collected.
    pub fn in_use(&self) -> InUse<'_> {
        self.lease.lock().users += 1;
        InUse(self)
    }

    /// Names something that this process is about to look for or to put in place.
    pub(crate) fn hold(&self, digest: &Digest) {
        let mut state = self.lease.lock();
        if state.named.contains(digest) {
            return;
        }
        // Where nothing can be written nothing can be collected either.
        if self.name(&mut state, digest).is_ok() {
            state.named.insert(*digest);
        }
    }

    fn name(&self, state: &mut State, digest: &Digest) -> Result<(), Error> {
        let _turn = self.collection_lock(Mode::Shared).context("lock", self.root())?;
        let lease = match &mut state.file {
            Some(file) => file,
            file @ None => {
                let prefix = format!("{}-", std::process::id());
                file.insert(new_file(&self.disk, &self.path("leases"), &prefix)?)
            }
        };
        self.disk.tell(|| Change::Write(lease.path().to_owned()));
        let line = format!("{}\n", digest.hex());
        lease.as_file_mut().write_all(line.as_bytes()).context("write", lease.path())
    }

    /// The lock between those who name what they use and those who collect. Held for moments.
    pub(crate) fn collection_lock(&self, mode: Mode) -> io::Result<LockFile> {
        LockFile::wait(&self.path("gc.lock"), mode)
    }

    /// What living processes use, this one included. To be asked under the exclusive lock.
    pub(crate) fn leased(&self) -> Result<Leased, Error> {
        let mut leased = Leased::default();
        let folder = self.path("leases");
        for entry in fs::read_dir(&folder).context("read", &folder)? {
            let path = entry.context("read", &folder)?.path();
            let lock = LockFile::try_take(&path, Mode::Exclusive).context("lock", &path)?;
            let names = read(&path);
            match lock {
                None => leased.living.extend(names.into_iter().map(|name| (name, pid(&path)))),
                Some(lock) => {
                    leased.dead.extend(names);
                    leased.locks.push(lock);
                }
            }
        }
        Ok(leased)
    }
}

/// What the leases of a store name.
#[derive(Debug, Default)]
pub(crate) struct Leased {
    /// By the process that holds the lease; 0 if its name does not say.
    pub(crate) living: HashMap<Digest, u32>,
    /// What processes used that were killed.
    pub(crate) dead: HashSet<Digest>,
    locks: Vec<LockFile>,
}

impl Leased {
    /// Removes the leases of the dead, after whom was tidied up.
    pub(crate) fn forget_dead(self, disk: &Disk) {
        for lock in self.locks {
            lock.remove(disk);
        }
    }
}

/// The digests in a lease. Its last line may be torn; whoever wrote that is dead.
fn read(path: &Path) -> Vec<Digest> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(parse_hex).collect()
}

/// The process whose lease it is.
fn pid(lease: &Path) -> u32 {
    let name = lease.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('-').next().and_then(|pid| pid.parse().ok()).unwrap_or_default()
}

/// The digest with these hexadecimal digits.
pub(crate) fn parse_hex(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

impl Lease {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lease.lock();
        state.users -= 1;
        if state.users == 0 {
            self.0.remove_lost_snapshots();
            state.named.clear();
            state.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn living(store: &Store) -> HashSet<Digest> {
        let _turn = store.collection_lock(Mode::Exclusive).unwrap();
        let living = store.leased().unwrap().living;
        assert!(living.values().all(|pid| *pid == std::process::id()));
        living.into_keys().collect()
    }

    #[test]
    fn what_is_in_use_is_named_until_the_last_user_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (Store::open(root.path()).unwrap(), Store::open(root.path()).unwrap());
        let (first, second) = (one.in_use(), one.in_use());
        let digest = one.put_blob(b"blob").unwrap();
        drop(first);
        assert!(living(&two).contains(&digest));
        drop(second);
        assert_eq!(living(&two), HashSet::new());
        assert!(one.has_blob(&digest, 4));
        assert!(living(&two).contains(&digest), "whoever saw it may rely on it");
        drop(one);
        assert_eq!(living(&two), HashSet::new());
        assert_eq!(fs::read_dir(root.path().join("leases")).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_lease_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let digest = Digest::of("layer");
        let path = root.path().join("leases/1-dead");
        fs::write(&path, format!("{}\n{}", digest.hex(), "ab")).unwrap();
        let leased = store.leased().unwrap();
        assert!(leased.dead.contains(&digest) && leased.living.is_empty());
        leased.forget_dead(&Disk::default());
        assert!(!path.exists());
    }
}
