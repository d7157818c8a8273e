//! The upkeep of a store: what is in it, what may go, whether it is sound.

mod collection;
mod fsck;
mod records;

pub use collection::Prune;
pub use dfbuild_store::{Inventory, Item, ItemKind, Keeper, Removed};
pub use fsck::{Finding, Fsck, Looked, Outcome};
