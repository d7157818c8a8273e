use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, Watcher};
use crate::error::{Error, IoContext};
use crate::layout::Layout;
use crate::leases::Lease;
use crate::lock_file::Mode;
use crate::records::PendingRecords;
use crate::snapshots::PendingSnapshots;
use crate::staging::{Staging, sweep};

/// An open store; see the crate's front page for what lies where. Usable from many threads, and
/// by many processes at once.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) layout: Layout,
    pub(crate) lease: Lease,
    pending: Mutex<Pending>,
    /// Held while something is synced and promised.
    committing: Mutex<()>,
    /// About how many bytes were added since the last look at the size of the store.
    pub(crate) grown: AtomicU64,
    /// The cache mounts that were used since then.
    pub(crate) used_mounts: Mutex<BTreeSet<PathBuf>>,
}

/// What is in place but not promised to others yet; see [`Store::commit`].
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) records: PendingRecords,
    pub(crate) snapshots: PendingSnapshots,
}

/// What a store consists of; without these nothing can be built.
const FOLDERS: [&str; 8] =
    ["blobs/sha256", "tags", "layers", "snapshots", "records", "mounts", "scratch", "staging"];

/// What several builds and collection need to get on with each other. A store that cannot be written
/// to does without.
const SHARED_FOLDERS: [&str; 3] = ["leases", "locks", "trash"];

impl Store {
    /// Opens the store at `root`, makes it if it is not there, and removes what dead builds left.
    ///
    /// A store that cannot be written to opens as long as it is complete: a build whose steps are
    /// all cached needs no more.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_with(root.into(), Disk::default())
    }

    /// The same, where somebody hears of every change before it is made.
    pub fn open_watched(
        root: impl Into<PathBuf>,
        watcher: Arc<dyn Watcher>,
    ) -> Result<Self, Error> {
        Self::open_with(root.into(), Disk::watched(watcher))
    }

    fn open_with(root: PathBuf, disk: Disk) -> Result<Self, Error> {
        let root = std::path::absolute(root).context("open", ".")?;
        for folder in FOLDERS {
            disk.create_folder(&root.join(folder))?;
        }
        for folder in SHARED_FOLDERS {
            match disk.create_folder(&root.join(folder)) {
                Err(Error::Io { source, .. }) if is_unwritable(&source) => {}
                made => made?,
            }
        }
        let layout = Layout::create(&disk, &root)?;
        sweep(&disk, &root.join("staging"));
        let store = Self {
            root,
            disk,
            layout,
            lease: Lease::default(),
            pending: Mutex::default(),
            committing: Mutex::default(),
            grown: AtomicU64::default(),
            used_mounts: Mutex::default(),
        };
        // What cannot be removed is left for another time: it must not keep a build from starting.
        let _ = store.sweep_after_the_dead();
        Ok(store)
    }

    /// The folder that holds it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store as an image layout, which other tools can read.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A new folder for work in progress, removed when the value is dropped or the process dies.
    pub fn stage(&self) -> Result<Staging, Error> {
        Staging::new(&self.disk, &self.path("staging"))
    }

    /// The folder for what builds write, one folder for each. It is made by whoever uses it first.
    pub fn logs_path(&self) -> PathBuf {
        self.path("logs")
    }

    /// A file that only saves work; it may vanish or be torn at any time.
    pub fn scratch_path(&self, name: &str) -> PathBuf {
        self.path("scratch").join(name)
    }

    /// Syncs what is in place, then writes the records and markers that promise it. Says whether there
    /// was anything to sync.
    ///
    /// One `syncfs` for many steps is far cheaper than one `fsync` for each file; what a crash
    /// loses before it is work, never truth.
    pub fn commit(&self) -> Result<bool, Error> {
        let _turn = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the sync, and not held during it: others look things up meanwhile.
        let pending = self.pending();
        let (records, markers) = (pending.records.clone(), pending.snapshots.unmarked.clone());
        drop(pending);
        if records.is_empty() && markers.is_empty() {
            return Ok(false);
        }
        self.disk.sync_all(&self.root)?;
        self.write_markers(&markers)?;
        self.write_records(&records)?;
        Ok(true)
    }

    /// Removes what killed processes had put in place and promised to nobody. It costs nothing when
    /// there are none.
    fn sweep_after_the_dead(&self) -> Result<(), Error> {
        let folder = self.path("leases");
        if fs::read_dir(&folder).context("read", &folder)?.next().is_none() {
            return Ok(());
        }
        let trash = {
            let _turn = self.collection_lock(Mode::Exclusive).context("lock", &self.root)?;
            let leased = self.leased()?;
            if leased.dead.is_empty() {
                leased.forget_dead(&self.disk);
                return Ok(());
            }
            let trash = self.trash()?;
            let unused =
                |digest: &_| leased.dead.contains(digest) && !leased.living.contains_key(digest);
            self.clear_unmarked(&trash, &unused)?;
            leased.forget_dead(&self.disk);
            trash
        };
        drop(trash);
        // Nobody knows how much of it the dead had added.
        self.forget_usage();
        self.sweep_locks();
        Ok(())
    }

    /// A folder for what is to be removed: moved there it is gone for everybody, and it is removed with
    /// the value, or by the next collection if the process dies.
    pub(crate) fn trash(&self) -> Result<Staging, Error> {
        Staging::new(&self.disk, &self.path("trash"))
    }

    /// Moves a file or a folder to the trash. Says whether it was there.
    pub(crate) fn discard(&self, trash: &Staging, path: &Path) -> Result<bool, Error> {
        // Names are unique within a folder only.
        let to = trash.folder("of")?.join("it");
        match self.disk.rename(path, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            renamed => renamed.map(|()| true).context("rename", path),
        }
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a file of so many bytes was added.
    pub(crate) fn grew(&self, bytes: u64) {
        // Of most file systems.
        const BLOCK: u64 = 4096;
        self.grown.fetch_add(bytes.next_multiple_of(BLOCK), Ordering::Relaxed);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Whether an error says that this process must not or cannot write there.
fn is_unwritable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
