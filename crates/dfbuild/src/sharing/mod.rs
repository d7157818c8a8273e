//! The cache shared between machines: what other builds made, in registries and folders.

mod document;
mod export;
mod gather;
mod imports;
mod notes;
mod obtain;
mod options;
mod origin;
mod source;
mod steps;
mod used;

pub(crate) use export::{export, inline};
pub(crate) use imports::Imports;
pub(crate) use notes::revealed;
pub use options::{CacheExport, CacheMode, CacheSource, CacheTarget};
pub(crate) use origin::Lost;
pub(crate) use used::UsedSteps;
