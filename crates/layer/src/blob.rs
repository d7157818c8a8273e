use std::io::{self, Write};

use dfbuild_image::Digest;

use crate::Gzip;

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
#[derive(Debug)]
#[must_use = "the blob is cut off unless `finish` is called"]
pub struct BlobWriter<W: Write> {
    gzip: Gzip<W>,
}

impl<W: Write> BlobWriter<W> {
    /// Writes the blob to `inner`; `level` and `threads` as for [`Gzip::new`].
    pub fn new(inner: W, level: u32, threads: usize) -> Self {
        Self { gzip: Gzip::new(inner, level, threads) }
    }

    /// Ends the blob.
    pub fn finish(self) -> io::Result<(W, Sealed)> {
        unimplemented!()
    }
}

impl<W: Write> Write for BlobWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gzip.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.gzip.flush()
    }
}
