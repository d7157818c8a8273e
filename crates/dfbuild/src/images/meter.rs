use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use dfbuild_image::{Entry, Kind};
use dfbuild_layer::{Contents, Index};

/// Whoever moves bytes tells of it this often at most, and not more often than each mebibyte.
const REPORTS: u64 = 100;
const MEBIBYTE: u64 = 1 << 20;

/// How many bytes of `size` have to be moved until that is worth a word.
pub(super) fn report_step(size: u64) -> u64 {
    (size / REPORTS).max(MEBIBYTE)
}

/// Counts the bytes of something, on any thread, and tells when their number is worth a word.
pub(crate) struct Meter<'a> {
    size: u64,
    count: Mutex<Count>,
    tell: Box<dyn Fn(u64) + Sync + Send + 'a>,
}

#[derive(Default)]
struct Count {
    done: u64,
    told: u64,
}

impl<'a> Meter<'a> {
    /// For `size` bytes, or about as many. Never tells a greater number.
    pub(crate) fn new(size: u64, tell: impl Fn(u64) + Sync + Send + 'a) -> Self {
        Self { size, count: Mutex::default(), tell: Box::new(tell) }
    }

    /// Notes that `bytes` more are done.
    pub(crate) fn advance(&self, bytes: u64) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.done += bytes;
        if count.done - count.told >= report_step(self.size) && count.told < self.size {
            count.told = count.done;
            // With the lock, so that the numbers are heard in their order.
            (self.tell)(count.done.min(self.size));
        }
    }
}

/// A writer or files with a meter.
pub(crate) struct Counted<'a, T>(pub(crate) T, pub(crate) &'a Meter<'a>);

impl<T: Write> Write for Counted<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1.advance(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<T: Contents> Contents for Counted<'_, T> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        self.0.open(entry)
    }

    fn file(&self, entry: &Entry) -> io::Result<Option<File>> {
        self.0.file(entry)
    }

    fn advanced(&self, bytes: u64) {
        self.1.advance(bytes);
    }
}

/// The length of the archive of an index, but for the second headers of long names and the like.
pub(crate) fn archive_size(index: &Index) -> u64 {
    const RECORD: u64 = 512;
    let sizes = index.entries().iter().map(|entry| match entry.kind {
        Kind::File { size, .. } => RECORD + size.next_multiple_of(RECORD),
        _ => RECORD,
    });
    sizes.sum::<u64>() + 2 * RECORD
}

/// The length of the files of an index.
pub(crate) fn content_size(index: &Index) -> u64 {
    let sizes = index.entries().iter().map(|entry| match entry.kind {
        Kind::File { size, .. } => size,
        _ => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_each_hundredth_part_and_never_too_much() {
        let told = Mutex::new(Vec::new());
        let meter = Meter::new(250 * MEBIBYTE, |done| told.lock().unwrap().push(done / MEBIBYTE));
        for _ in 0..6 {
            meter.advance(MEBIBYTE);
        }
        meter.advance(300 * MEBIBYTE);
        meter.advance(300 * MEBIBYTE);
        drop(meter);
        assert_eq!(told.into_inner().unwrap(), [3, 6, 250]);
    }

    #[test]
    fn what_is_small_is_not_worth_a_word() {
        let told = Mutex::new(0);
        let meter = Meter::new(1000, |_| *told.lock().unwrap() += 1);
        io::copy(&mut io::repeat(1).take(1000), &mut Counted(io::sink(), &meter)).unwrap();
        drop(meter);
        assert_eq!(told.into_inner().unwrap(), 0);
    }
}
