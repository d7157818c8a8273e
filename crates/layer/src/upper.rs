//! Reading what a command left in the upper directory of an overlay.

use std::io::Write;
use std::path::Path;

use dfbuild_image::TreePath;

use crate::{Error, Index, View, XattrNamespace};

/// How [`scan`] reads an upper directory.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// Where overlayfs keeps its notes.
    pub xattrs: XattrNamespace,
    /// Every file on disk belongs to 0:0 because only one id is mapped: an entry whose path exists
    /// below with the same type keeps the owner it has there.
    pub single_id: bool,
    /// Paths to leave out, with everything below them.
    pub ignore: Vec<TreePath>,
}

/// Turns the upper directory of an overlay over `below` into a layer: writes its archive to `tar`
/// and gives its index.
pub fn scan(
    _upper: &Path,
    _below: &View,
    _options: &ScanOptions,
    _tar: &mut dyn Write,
) -> Result<Index, Error> {
    unimplemented!()
}
