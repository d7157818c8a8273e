//! Reading archives, those of layers and those of users.

mod compression;
mod members;
mod pax;

pub use compression::{Compression, decompress, detect};
pub use members::{Member, MemberKind, Members, members};
