//! Typed, framed cache keys, the records kept under them, and the reasons of a miss. Pure.
//!
//! A [`Key`] is a list of labelled [`Part`]s: the instruction, each variable, each source file,
//! the base. Its digest frames every part by its length and begins with a version, so different
//! parts never give the same digest. The parts are kept in the [`Note`] of the step, and the files of
//! its sources as a Merkle tree of folders that notes share ([`file_nodes`]). A later miss is compared
//! with the [`nearest`] of them, and says as [`Reason`]s what differs, down to the file.
//!
//! ```
//! use dfbuild_cache::{Key, Label};
//!
//! let mut key = Key::new();
//! key.text(Label::Argument, "", "make");
//! key.text(Label::Environment, "PATH", "/bin");
//! let mut other = Key::new();
//! other.text(Label::Argument, "", "makePATH");
//! assert_ne!(key.digest(), other.digest());
//! ```
#![forbid(unsafe_code)]

mod change;
mod compare;
mod difference;
mod entry_change;
mod files;
mod found;
mod key;
mod note;
mod object;
mod reason;
mod record;
mod selection;

pub use change::{Change, FileChange, FilesChange};
pub use compare::{Earlier, Missed, nearest};
pub use difference::{Load, children, files_change};
pub use files::{file_nodes, files_digest};
pub use key::{Key, Label, Part};
pub use note::{BaseNote, Note};
pub use reason::{Declared, Reason};
pub use record::{ClockTimes, LayerRecord, Record};
pub use selection::{Selected, Selection};
