//! What is in a store, what keeps it, and the removal of what nothing does.

mod inventory;
mod item;
mod pins;
mod policy;
mod removal;

pub use inventory::Inventory;
pub use item::{Item, ItemKind, Keeper};
pub use policy::Policy;
pub use removal::{Collecting, Removed};

/// Tells which layers and blobs the bytes of a record promise: what is in records is their writer's
/// affair. `None` for bytes that mean nothing.
pub type RecordReader<'a> = &'a (dyn Fn(&[u8]) -> Option<Vec<dfbuild_image::Digest>> + 'a);
