//! The pattern matcher of .dockerignore, --exclude and --parents, as moby has it. Pure.

#![forbid(unsafe_code)]

mod glob;
mod ignore_file;
mod set;

pub use glob::{BadPattern, glob};
pub use ignore_file::{Pattern, parse_ignore_file};
pub use set::{Decision, Error, ParentState, PatternSet};
