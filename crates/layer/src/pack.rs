use std::io::{self, Read, Write};

use dfbuild_image::{Digest, Entry, Hasher, HashingWriter, Kind, TreePath};

use crate::disk::{BUFFER, read_some};
use crate::header::{header, opaque_marker};
use crate::{Contents, Error, Index};

/// Writes the archive of a layer: the bytes that Docker and BuildKit write for the same entries.
///
/// Streams with bounded memory. Size and digest of each file are checked on the way.
///
/// # Errors
/// [`Error::Changed`] for a file that differs from its entry; then `out` holds half an archive.
pub fn pack(index: &Index, contents: &dyn Contents, out: &mut dyn Write) -> Result<(), Error> {
    let mut writer = TarWriter::new(out);
    for entry in index.entries() {
        let Kind::File { size, digest } = entry.kind else {
            writer.entry(entry)?;
            continue;
        };
        let error = |source| Error::Content { path: entry.path.clone(), source };
        let mut content = contents.open(entry).map_err(error)?;
        if writer.file(entry, size, &mut content, None)? != digest {
            return Err(Error::Changed { path: entry.path.clone() });
        }
    }
    writer.finish()
}

/// The digest of the archive that [`pack`] writes.
pub fn diff_id(index: &Index, contents: &dyn Contents) -> Result<Digest, Error> {
    let mut writer = HashingWriter::new(io::sink());
    pack(index, contents, &mut writer)?;
    Ok(writer.finish().1)
}

/// Writes entries to a tar stream.
pub(crate) struct TarWriter<'w> {
    out: &'w mut dyn Write,
    buffer: Vec<u8>,
}

impl<'w> TarWriter<'w> {
    pub(crate) fn new(out: &'w mut dyn Write) -> Self {
        Self { out, buffer: vec![0; BUFFER] }
    }

    /// Writes an entry that has no content.
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        self.out.write_all(&header(entry)).map_err(Error::write)?;
        if entry.kind == (Kind::Directory { opaque: true }) {
            self.out.write_all(&opaque_marker(&entry.path)).map_err(Error::write)?;
        }
        Ok(())
    }

    /// Writes a regular file of `size` bytes and gives the digest of its content.
    pub(crate) fn file(
        &mut self,
        entry: &Entry,
        size: u64,
        content: &mut dyn Read,
        mut keep: Option<&mut Vec<u8>>,
    ) -> Result<Digest, Error> {
        self.entry(entry)?;
        let mut hasher = Hasher::new();
        // One byte more than there should be shows that there are too many.
        let mut content = content.take(size.saturating_add(1));
        let mut left = size;
        loop {
            let count = read_some(&mut content, &mut self.buffer)
                .map_err(|source| Error::Content { path: entry.path.clone(), source })?;
            let changed = || Error::Changed { path: entry.path.clone() };
            left = left.checked_sub(count as u64).ok_or_else(changed)?;
            if count == 0 {
                break if left == 0 { Ok(()) } else { Err(changed()) };
            }
            hasher.update(&self.buffer[..count]);
            self.out.write_all(&self.buffer[..count]).map_err(Error::write)?;
            if let Some(keep) = keep.as_deref_mut() {
                keep.extend_from_slice(&self.buffer[..count]);
            }
        }?;
        let padding = usize::try_from(size.next_multiple_of(512) - size).expect("less than 512");
        self.out.write_all(&[0; 512][..padding]).map_err(Error::write)?;
        Ok(hasher.finish())
    }

    /// Ends the archive with two blocks of zeros and, unlike GNU tar, no more.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.out.write_all(&[0; 1024]).map_err(Error::write)
    }
}

/// Reads a content for its digest alone.
pub(crate) fn digest(path: &TreePath, content: &mut dyn Read) -> Result<Digest, Error> {
    let mut writer = HashingWriter::new(io::sink());
    io::copy(content, &mut writer)
        .map_err(|source| Error::Content { path: path.clone(), source })?;
    Ok(writer.finish().1)
}
