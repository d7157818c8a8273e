use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::{Compression, decompress};

/// When an archive is taken for a bomb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most entries; 10 million.
    pub entries: u64,
    /// The unpacked size in bytes up to which any ratio is fine; 10 GiB.
    pub bytes: u64,
    /// The highest ratio of the unpacked size to the compressed one; 1000. gzip cannot exceed
    /// 1032, and comes near it for zeros only.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 10_000_000, bytes: 10 << 30, ratio: 1000 }
    }
}

impl Limits {
    /// No limits, for archives that are trusted.
    pub const NONE: Self = Self { entries: u64::MAX, bytes: u64::MAX, ratio: u64::MAX };
}

/// An archive that unpacks to more than the [`Limits`] allow. What it is found in is an
/// [`io::Error`] of a reader of [`decompress_within`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{unpacked} bytes come from {packed} compressed ones: more than any honest archive")]
pub struct Inflated {
    /// How much it was when it was refused.
    pub unpacked: u64,
    /// From how much.
    pub packed: u64,
}

/// [`decompress`], but what inflates beyond `limits` is an error while it is read.
pub fn decompress_within<'a>(
    compression: Compression,
    read: Box<dyn Read + 'a>,
    limits: &Limits,
) -> Box<dyn Read + 'a> {
    let packed = Rc::new(Cell::new(0));
    let counted = Counted { inner: read, count: Rc::clone(&packed) };
    let inner = decompress(compression, Box::new(counted));
    Box::new(Guarded { inner, unpacked: 0, packed, limits: limits.clone() })
}

struct Counted<'a> {
    inner: Box<dyn Read + 'a>,
    count: Rc<Cell<u64>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

struct Guarded<'a> {
    inner: Box<dyn Read + 'a>,
    unpacked: u64,
    packed: Rc<Cell<u64>>,
    limits: Limits,
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.unpacked += count as u64;
        let (unpacked, packed) = (self.unpacked, self.packed.get());
        let most = packed.saturating_mul(self.limits.ratio);
        if unpacked > self.limits.bytes && unpacked > most {
            return Err(io::Error::other(Inflated { unpacked, packed }));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zeros(length: usize) -> Vec<u8> {
        let mut gzip = crate::Gzip::new(Vec::new(), 9, 1);
        gzip.write_all(&vec![0; length]).unwrap();
        gzip.finish().unwrap()
    }

    fn read(packed: &[u8], limits: &Limits) -> io::Result<u64> {
        let mut reader = decompress_within(Compression::Gzip, Box::new(packed), limits);
        io::copy(&mut reader, &mut io::sink())
    }

    #[test]
    fn what_inflates_too_much_is_refused() {
        let packed = zeros(1 << 20);
        let limits = Limits { bytes: 1 << 16, ratio: 100, ..Limits::default() };
        let error = read(&packed, &limits).unwrap_err();
        let inflated: &Inflated = error.get_ref().unwrap().downcast_ref().unwrap();
        assert!(inflated.unpacked < 1 << 19, "{inflated}");
        // Small ones may have any ratio, and a high ratio alone is no bomb.
        assert_eq!(read(&packed, &Limits { bytes: 1 << 20, ..limits.clone() }).unwrap(), 1 << 20);
        assert_eq!(read(&packed, &Limits { ratio: 1100, ..limits }).unwrap(), 1 << 20);
        assert_eq!(read(&packed, &Limits::NONE).unwrap(), 1 << 20);
    }
}
