//! A content-addressed store that is an OCI image layout on disk: blobs, layers, snapshots,
//! records, tags.
//!
//! ```text
//! ROOT/
//!   oci-layout, index.json       the OCI image layout (image-spec, image-layout.md)
//!   blobs/sha256/HEX             manifests, configurations, compressed layers
//!   tags/NAME                    one file for each tag; index.json is derived from them
//!   origins/HEX                  repositories that the blob or manifest is known to be in
//!   layers/HEX/index             what is in the layer with that diff id
//!   layers/HEX/size             how long its archive is
//!   layers/HEX/content          digest of what is in it, without times
//!   layers/HEX/blob.COMPRESSOR   descriptor of the blob that it compresses to
//!   snapshots/FLAVOUR/HEX.…/     the layer as an overlay directory; HEX.ok says it is complete
//!   records/HE/HEX               opaque bytes under a cache key
//!   mounts/HEX/                  cache mounts
//!   objects/HE/HEX               small things that explain records; may vanish at any time
//!   history/HE/HEX               the objects that tell of the last runs of a step; the same
//!   scratch/                     small files that only save work, such as stat caches
//!   logs/NAME/                   what the commands of a build wrote
//!   failed/step/                 the staging folder of the step that failed last
//!   staging/NAME/                work of a running build, locked as long as it runs
//!   trash/NAME/                  what is being removed
//!   leases/NAME                  what a running process uses, locked as long as it runs
//!   locks/HEX                    locked by the process that makes what is to be under a key
//!   gc.lock                      shared to name what one uses, exclusive to move it to the trash
//!   usage                        about how many bytes all of it takes
//! ```
//!
//! **Crash safety.** Everything is made in a staging folder and renamed to its name, which never
//! changes its meaning afterwards. Blobs and snapshots are synced before the records, markers and
//! tags that promise them are written ([`Store::commit`]). A process that dies leaves a staging
//! folder whose lock is free; the next [`Store::open`] removes it.
//!
//! *Limitations*: one file system for the whole root, since renames must not cross one. Locks are
//! `flock`, which network file systems may not have.
//!
//! ```
//! let root = tempfile::tempdir()?;
//! let store = dfbuild_store::Store::open(root.path())?;
//! let digest = store.put_blob(b"{}")?;
//! assert_eq!(store.read_blob(&digest)?, b"{}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod blobs;
mod collect;
mod disk;
mod error;
mod failed;
mod files;
mod fsck;
mod key_locks;
mod layers;
mod layout;
mod leases;
mod lock_file;
mod mounts;
mod objects;
mod origins;
mod records;
mod snapshots;
mod staging;
mod stamps;
mod store;
mod tags;
mod usage;

pub use collect::{Collecting, Inventory, Item, ItemKind, Keeper, Policy, RecordReader, Removed};
pub use disk::{Change, Watcher};
pub use error::Error;
pub use failed::FailedFolder;
pub use fsck::{Finding, Looked, Meaning, Outcome};
pub use key_locks::{Holder, KeyLock, KeyLocking};
pub use layout::Layout;
pub use leases::InUse;
pub use mounts::{MountFolder, MountLock};
pub use staging::{StagedFile, Staging};
pub use store::Store;
pub use tags::Tag;
