use std::fmt;
use std::io::{self, Write};

use dfbuild_image::{Digest, Hasher, HashingWriter};

use crate::encoder::{Encoder, Encoding};

/// What a layer blob turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Digest of the archive.
    pub diff_id: Digest,
    /// Size of the archive.
    pub tar_size: u64,
    /// Digest of the compressed archive.
    pub blob_digest: Digest,
    /// Size of the compressed archive.
    pub blob_size: u64,
}

/// Takes an archive, and digests, compresses, digests and writes it in one pass.
#[must_use = "the blob is cut off unless `finish` is called"]
pub struct BlobWriter<W: Write> {
    encoder: Encoder<HashingWriter<W>>,
    hasher: Hasher,
    tar_size: u64,
}

impl<W: Write> BlobWriter<W> {
    /// Writes the blob to `inner`, compressed on `threads` threads; their number does not change
    /// the bytes.
    pub fn new(inner: W, encoding: Encoding, threads: usize) -> io::Result<Self> {
        let encoder = Encoder::new(HashingWriter::new(inner), encoding, threads)?;
        Ok(Self { encoder, hasher: Hasher::new(), tar_size: 0 })
    }

    /// Ends the blob.
    pub fn finish(self) -> io::Result<(W, Sealed)> {
        let (inner, blob_digest, blob_size) = self.encoder.finish()?.finish();
        let (diff_id, tar_size) = (self.hasher.finish(), self.tar_size);
        Ok((inner, Sealed { diff_id, tar_size, blob_digest, blob_size }))
    }
}

impl<W: Write> Write for BlobWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.encoder.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.tar_size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}

impl<W: Write> fmt::Debug for BlobWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobWriter").field("tar_size", &self.tar_size).finish_non_exhaustive()
    }
}
