//! The upkeep of a store: what is in it, what may go, whether it is sound.
//!
//! ```
//! use dfbuild::upkeep::{Fsck, Prune};
//!
//! # let store = tempfile::tempdir()?;
//! # let engine = dfbuild::testing::engine(store.path())?;
//! // Once a night.
//! let mut prune = Prune::default();
//! prune.keep_bytes = Some(20_000_000_000);
//! let removed = engine.prune(&prune)?;
//! println!("{} bytes of {} are free again", removed.bytes, engine.inventory()?.total);
//! engine.fsck(&Fsck::default(), &|finding| panic!("{finding:?}"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod collection;
mod fsck;
mod records;

pub use collection::Prune;
pub use dfbuild_store::{Inventory, Item, ItemKind, Keeper, Removed};
pub use fsck::{Finding, Fsck, Looked, Outcome};
