use std::io::Read;

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
pub fn detect(_head: &[u8]) -> Option<Compression> {
    unimplemented!()
}

/// Decompresses `read` while it is read.
pub fn decompress<'a>(_compression: Compression, _read: Box<dyn Read + 'a>) -> Box<dyn Read + 'a> {
    unimplemented!()
}
