//! Reading what a command left in the upper directory of an overlay.

use std::io::Write;
use std::path::Path;

pub use crate::scan::ScanOptions;
use crate::scan::{Mode, run};
use crate::{Error, Index, View};

/// Turns the upper directory of an overlay over `below` into a layer: writes its archive to `tar`
/// and gives its index.
///
/// Follows BuildKit's `util/overlay` and containerd's `archive` in what is a change: a file that
/// was copied up but is equal in mode, owner, size, time, capability and content is none, nor is a
/// directory equal in mode, owner and capability with no changes in it. Parents of changes are in
/// the layer. Opaque directories become whiteouts of what they hide. Whiteouts of what is not
/// below are dropped. Sockets have no place in a layer.
///
/// If one of several hard links changed, all that the upper directory holds are in the layer, so
/// that they stay links of one another.
///
/// # Errors
/// [`Error::Redirect`] if the overlay was mounted with `redirect_dir=on`; [`Error::Changed`] if a
/// file changes while it is read.
pub fn scan(
    upper: &Path,
    below: &View,
    options: &ScanOptions,
    tar: &mut dyn Write,
) -> Result<Index, Error> {
    run(upper, Mode::Upper, below, options, tar)
}
