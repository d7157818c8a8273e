//! Typed, framed cache keys, the records kept under them, and the reasons of a miss. Pure.
//!
//! A [`Key`] is a list of labelled [`Part`]s: the instruction, each variable, each source file,
//! the base. Its digest frames every part by its length and begins with a version, so different
//! parts never give the same digest. The parts are kept in the [`Record`] of the step, so that a
//! later miss can say which of them changed.
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

mod files;
mod key;
mod record;

pub use files::files_digest;
pub use key::{Key, Label, Part};
pub use record::{ClockTimes, LayerRecord, Record};
