use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

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
        Compression::Zstd => {
            Box::new(Zstd { source: buffered(read), decoder: FrameDecoder::new(), in_frame: false })
        }
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(buffered(read))),
        Compression::Xz => Box::new(XzReader::new(buffered(read), true)),
    }
}

/// Frame after frame, each of which the decoder knows alone.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame; false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.in_frame {
                if !self.next_frame()? {
                    break;
                }
                self.in_frame = true;
            }
            while self.decoder.can_collect() < buffer.len() && !self.decoder.is_finished() {
                let wanted = BlockDecodingStrategy::UptoBytes(buffer.len());
                self.decoder.decode_blocks(&mut self.source, wanted).map_err(invalid)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let stored = self.decoder.get_checksum_from_data();
            if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
                return Err(invalid("the checksum of a zstd frame does not match"));
            }
            self.in_frame = false;
        }
        Ok(0)
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
