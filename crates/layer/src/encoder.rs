use std::fmt;
use std::io::{self, Write};

use zstd::zstd_safe::CParameter;

use crate::{DEFAULT_LEVEL, Gzip, cpu, gzip_id};

/// Bytes that a thread of zstd compresses at a time. Without a limit it is four windows, 8 MiB at level 3 and
/// 32 MiB at 19, and several are held for each thread: half of it takes half the memory, for 0.2 % more bytes.
const ZSTD_JOB: u32 = 4 << 20;

/// How a layer blob is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// gzip at a level from 0 to 9.
    Gzip(u32),
    /// Zstandard at a level from 1 to 22.
    Zstd(i32),
    /// As it is.
    Plain,
}

impl Default for Encoding {
    fn default() -> Self {
        Self::Gzip(DEFAULT_LEVEL)
    }
}

impl Encoding {
    /// Names everything that decides the bytes of a blob, for cache keys.
    pub fn id(self) -> String {
        match self {
            Self::Gzip(level) => gzip_id(level),
            // The version is that of the library that is compiled in, which Cargo.lock pins.
            Self::Zstd(level) => {
                let version = zstd::zstd_safe::version_string();
                format!("zstd {version} jobs of {ZSTD_JOB} level {level}")
            }
            Self::Plain => "plain".to_owned(),
        }
    }
}

/// Compresses what is written to it.
pub(crate) enum Encoder<W: Write> {
    Gzip(Gzip<W>),
    Zstd(zstd::Encoder<'static, W>),
    Plain(W),
}

impl<W: Write> Encoder<W> {
    /// Compresses on `threads` threads; their number does not change the bytes.
    pub(crate) fn new(inner: W, encoding: Encoding, threads: usize) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Gzip(level) => Self::Gzip(Gzip::new(inner, level, threads)),
            Encoding::Zstd(level) => {
                let mut encoder = zstd::Encoder::new(inner, level)?;
                // One worker or more give the same bytes, none gives others.
                cpu::cannot_tell();
                encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(1))?;
                encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            Encoding::Plain => Self::Plain(inner),
        })
    }

    /// Writes what is left and gives the inner writer back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Gzip(gzip) => gzip.finish(),
            Self::Zstd(zstd) => zstd.finish(),
            Self::Plain(inner) => Ok(inner),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Zstd(zstd) => zstd.write(bytes),
            Self::Plain(inner) => inner.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => gzip.flush(),
            // A frame that is flushed early has other bytes.
            Self::Zstd(_) => Ok(()),
            Self::Plain(inner) => inner.flush(),
        }
    }
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::archive::{decompress, detect};

    fn encode(bytes: &[u8], encoding: Encoding, threads: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), encoding, threads).unwrap();
        for part in bytes.chunks(70_000) {
            encoder.write_all(part).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_comes_back_and_does_not_depend_on_threads() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(9 << 20);
        header.set_cksum();
        let content = (0..9_u32 << 18).flat_map(|n| (n.wrapping_mul(n) >> 13).to_le_bytes());
        tar.append(&header, &content.collect::<Vec<_>>()[..]).unwrap();
        let bytes = tar.into_inner().unwrap();
        for encoding in [Encoding::default(), Encoding::Zstd(3), Encoding::Plain] {
            let one = encode(&bytes, encoding, 1);
            assert!(one == encode(&bytes, encoding, 4), "{encoding:?}");
            let compression = detect(&one[..512]).unwrap();
            let mut back = Vec::new();
            decompress(compression, Box::new(&one[..])).read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{encoding:?}");
        }
    }

    #[test]
    fn ids_tell_encodings_apart() {
        assert_eq!(Encoding::default().id(), crate::GZIP_ID);
        assert_ne!(Encoding::Zstd(3).id(), Encoding::Zstd(4).id());
    }
}
