use std::io::{self, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::members::is_header;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip (RFC 1952), of any number of members.
    Gzip,
    /// Zstandard (RFC 8878), of any number of frames.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

/// A reader that could not be made.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| io::ErrorKind::Other.into()))
    }
}

/// How the archive that begins with `head` is compressed; `None` if it is no archive.
///
/// Needs the first 512 bytes, if there are so many, to know a plain tar archive. What is in a
/// compressed file is not looked at.
pub fn detect(head: &[u8]) -> Option<Compression> {
    let is_skippable = head.get(1..4) == Some(b"\x2a\x4d\x18") && head[0] & 0xf0 == 0x50;
    match head {
        [0x1f, 0x8b, 0x08, ..] => Some(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        [b'B', b'Z', b'h', ..] => Some(Compression::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
        _ if is_skippable => Some(Compression::Zstd),
        _ if head.first_chunk().is_some_and(is_header) => Some(Compression::Plain),
        _ => None,
    }
}

/// Decompresses `read` while it is read.
pub fn decompress<'a>(compression: Compression, read: Box<dyn Read + 'a>) -> Box<dyn Read + 'a> {
    let buffered = |read| BufReader::with_capacity(64 << 10, read);
    match compression {
        Compression::Plain => read,
        Compression::Gzip => Box::new(MultiGzDecoder::new(buffered(read))),
        Compression::Zstd => match zstd::Decoder::with_buffer(buffered(read)) {
            Ok(decoder) => Box::new(decoder),
            Err(error) => Box::new(Broken(Some(error))),
        },
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(buffered(read))),
        Compression::Xz => Box::new(XzReader::new(buffered(read), true)),
    }
}
