use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, IoContext};
use crate::layout::Layout;
use crate::records::PendingRecords;
use crate::snapshots::{PendingSnapshots, sweep_unmarked};
use crate::staging::{Staging, sweep};

/// An open store; see the crate's front page for what lies where. Usable from many threads, and
/// by many processes at once.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) pending: Mutex<Pending>,
    // Held, not read: others must not sweep while it is.
    _lock: File,
}

/// What is in place but not promised to others yet; see [`Store::commit`].
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) records: PendingRecords,
    pub(crate) snapshots: PendingSnapshots,
}

impl Store {
    /// Opens the store at `root`, makes it if it is not there, and removes what dead builds left.
    ///
    /// A store that cannot be written to opens as long as it is complete: a build whose steps are
    /// all cached needs no more.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = std::path::absolute(root.into()).context("open", ".")?;
        let folders = ["blobs/sha256", "tags", "layers", "snapshots", "records", "mounts"];
        for folder in folders.into_iter().chain(["scratch", "staging"]) {
            let path = root.join(folder);
            fs::create_dir_all(&path).context("create", &path)?;
        }
        let layout = Layout::create(&root)?;
        let lock = lock(&root)?;
        Ok(Self { root, layout, pending: Mutex::default(), _lock: lock })
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
        Staging::new(&self.path("staging"))
    }

    /// The folder of the cache mount `id`. It is made by whoever uses it first.
    pub fn mount_path(&self, id: &str) -> PathBuf {
        self.path("mounts").join(dfbuild_image::Digest::of(id).hex())
    }

    /// A file that only saves work; it may vanish or be torn at any time.
    pub fn scratch_path(&self, name: &str) -> PathBuf {
        self.path("scratch").join(name)
    }

    /// Syncs what is in place, then writes the records and markers that promise it.
    ///
    /// One `syncfs` for many steps is far cheaper than one `fsync` for each file; what a crash
    /// loses before it is work, never truth.
    pub fn commit(&self) -> Result<(), Error> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.records.is_empty() && pending.snapshots.unmarked.is_empty() {
            return Ok(());
        }
        self.sync()?;
        self.write_markers(&mut pending.snapshots)?;
        self.write_records(&mut pending.records)
    }

    /// Waits until everything written so far is on the disk.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let root = File::open(&self.root).context("open", &self.root)?;
        rustix::fs::syncfs(&root).map_err(io::Error::from).context("sync", &self.root)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Whether an error says that this process must not or cannot write there.
fn is_unwritable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// The shared lock that every open store holds. Whoever gets it exclusively is alone, and sweeps
/// what dead builds left in the snapshots; staging folders have locks of their own.
fn lock(root: &Path) -> Result<File, Error> {
    sweep(&root.join("staging"));
    let path = root.join("lock");
    let lock = match File::create(&path) {
        // One that cannot be written to can be read as long as it is complete.
        Err(error) if is_unwritable(&error) => File::open(&path),
        created => created,
    }
    .context("create", &path)?;
    if lock.try_lock().is_ok() {
        sweep_unmarked(&root.join("snapshots"));
        lock.unlock().context("unlock", &path)?;
    }
    lock.lock_shared().context("lock", &path)?;
    Ok(lock)
}
