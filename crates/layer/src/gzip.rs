use std::io::{self, Write};

/// The level of layers that ask for none; Docker's.
pub const DEFAULT_LEVEL: u32 = 6;

/// Names everything that decides the bytes of a gzip blob at [`DEFAULT_LEVEL`], for cache keys.
pub const GZIP_ID: &str = "zlib-rs 0.6.8 block 512k dictionary 32k level 6";

/// [`GZIP_ID`] for another level.
pub fn gzip_id(level: u32) -> String {
    format!("zlib-rs 0.6.8 block 512k dictionary 32k level {level}")
}

/// Compresses into one gzip member on several threads; the bytes do not depend on their number.
#[derive(Debug)]
#[must_use = "the stream is cut off unless `finish` is called"]
pub struct Gzip<W: Write> {
    inner: W,
}

impl<W: Write> Gzip<W> {
    /// Compresses at `level`, 0 to 9, on `threads` threads; on the caller's for 0 and 1.
    pub fn new(inner: W, _level: u32, _threads: usize) -> Self {
        Self { inner }
    }

    /// Writes what is left and gives the inner writer back.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.inner)
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        unimplemented!()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
