//! The pattern matcher of .dockerignore, --exclude and --parents, as moby has it. Pure.
//!
//! A list of patterns is compiled once into a [`PatternSet`] and then asked about paths. Patterns are anchored at the
//! root; `*` and `?` stay within a name, `**` crosses directories; a pattern that matches a directory matches what is
//! in it; the last pattern that matches decides, and one with `!` takes back.
//!
//! Paths are bytes, since names of files need not be text.
//!
//! # Limitations
//!
//! moby translates patterns to regular expressions and inherits some of their syntax by accident. Here `\d` is the
//! letter `d`, `[*]` is a star, and `[z-a]` matches nothing instead of failing on first use.
//!
//! # Example
//!
//! ```
//! use dfbuild_pattern::{PatternSet, parse_ignore_file};
//!
//! let patterns = parse_ignore_file(b"# build output\ntarget\n!target/doc\n");
//! let set = PatternSet::new(patterns)?;
//! assert!(set.matches(b"target/debug/app").ignored);
//! assert!(!set.matches(b"target/doc/index.html").ignored);
//! # Ok::<(), dfbuild_pattern::Error>(())
//! ```

#![forbid(unsafe_code)]

mod clean;
mod glob;
mod ignore_file;
mod matcher;
mod set;
mod utf8;

pub use glob::{BadPattern, glob};
pub use ignore_file::{Pattern, parse_ignore_file};
pub use set::{Decision, Error, ParentState, PatternSet};
