use std::io::Read;
use std::path::Path;

use crate::{Contents, Error, Index, View, XattrNamespace};

/// How [`unpack`] and [`materialise`] place files.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// Where to mark opaque directories.
    pub xattrs: XattrNamespace,
    /// Only one id is mapped: owners and capabilities that cannot be set are left.
    pub single_id: bool,
    /// What is too much.
    pub limits: Limits,
}

/// When an archive is taken for a bomb.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most entries; 10 million.
    pub entries: u64,
    /// The size up to which any ratio is fine; 10 GiB.
    pub bytes: u64,
    /// The highest ratio of the archive's size to `compressed`; 1000.
    pub ratio: u64,
    /// The size of the compressed archive, if it is known. Without it the ratio is not looked at.
    pub compressed: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 10_000_000, bytes: 10 << 30, ratio: 1000, compressed: None }
    }
}

/// Reads the archive of a layer into its index, without unpacking.
pub fn index(_tar: &mut dyn Read, _limits: &Limits) -> Result<Index, Error> {
    unimplemented!()
}

/// Unpacks the archive of a layer into the empty directory `dest`, in overlay form.
pub fn unpack(
    _tar: &mut dyn Read,
    _dest: &Path,
    _below: &View,
    _lower: &dyn Contents,
    _options: &UnpackOptions,
) -> Result<Index, Error> {
    unimplemented!()
}

/// Places the layer of `index`, settled on `below`, in the empty directory `dest`, in overlay form.
pub fn materialise(
    _index: &Index,
    _contents: &dyn Contents,
    _dest: &Path,
    _below: &View,
    _options: &UnpackOptions,
) -> Result<(), Error> {
    unimplemented!()
}
