//! The Dockerfile of a build and the trees that it may copy from, wherever they are.

mod dockerfile;
mod file_tree;
mod load;
mod modes;
mod open;

pub(crate) use dockerfile::Source;
pub(crate) use load::Materials;
pub(crate) use open::{Contexts, Opening, project};
