//! The build context: walk, ignore rules, content digests of selected paths, stat cache.
//!
//! A [`Context`] is a folder seen through ignore rules: what they leave out is not there, except
//! that a folder is there as soon as something in it is. It looks only at what it is asked for, so
//! the root of a machine is as good a context as a small project. Files are root's, whoever owns
//! them here, and have no extended attributes; that is what reaches an image.
//!
//! A [`StatCache`] remembers the digest of each file beside the numbers that the file system
//! changes when the file changes, so that unchanged files are not read again.
//!
//! *Limitations*: a file that changes while it is read is noticed by whoever packs it, since the
//! bytes no longer have the digest that was given here.
//!
//! ```
//! use dfbuild_context::{Context, StatCache};
//! use dfbuild_pattern::PatternSet;
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("app.py"), "print()")?;
//! let context = Context::new(folder.path(), PatternSet::default(), StatCache::default());
//! let entries = context.walk(&"".into())?;
//! assert_eq!(entries[0].path, "app.py".into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod context;
mod error;
mod file_stat;
mod listing;
mod stat_cache;
mod walk;

pub use context::{Context, Ending};
pub use error::Error;
pub use file_stat::FileStat;
pub use stat_cache::{Stamp, StatCache};
