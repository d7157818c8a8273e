use std::io::Write;

use dfbuild_image::Digest;

use crate::{Contents, Error, Index};

/// Writes the archive of a layer: the bytes that Docker and BuildKit write for the same entries.
///
/// Streams with bounded memory. Size and digest of each file are checked on the way.
///
/// # Errors
/// [`Error::Changed`] for a file that differs from its entry; then `out` holds half an archive.
pub fn pack(_index: &Index, _contents: &dyn Contents, _out: &mut dyn Write) -> Result<(), Error> {
    unimplemented!()
}

/// The digest of the archive that [`pack`] writes.
pub fn diff_id(_index: &Index, _contents: &dyn Contents) -> Result<Digest, Error> {
    unimplemented!()
}
