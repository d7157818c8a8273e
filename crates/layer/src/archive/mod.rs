//! Reading archives, those of layers and those of users.

mod compression;
mod limits;
mod members;
mod pax;

pub use compression::{Compression, decompress, detect};
pub use limits::{Inflated, Limits, decompress_within};
pub use members::{Member, MemberKind, Members, members};
