use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read};

/// Opens what is to be sent, from its beginning.
pub(crate) type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read>> + 'a;

/// Bytes that are sent in parts, each of which may have to be sent again.
pub(crate) struct Upload<'a> {
    open: &'a Open<'a>,
    progress: &'a dyn Fn(u64),
    /// A reader and its position, kept between parts that follow each other.
    reader: RefCell<Option<(Box<dyn Read>, u64)>>,
    failure: Cell<Option<io::Error>>,
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl<'a> Upload<'a> {
    pub(crate) fn new(open: &'a Open<'a>, progress: &'a dyn Fn(u64)) -> Self {
        Self { open, progress, reader: RefCell::new(None), failure: Cell::new(None) }
    }

    /// `length` bytes from `offset`.
    pub(crate) fn part(&self, offset: u64, length: u64) -> io::Result<Part<'_>> {
        let kept = self.reader.borrow_mut().take().filter(|&(_, position)| position <= offset);
        let (mut reader, position) = match kept {
            Some(kept) => kept,
            None => ((self.open)()?, 0),
        };
        let skip = offset - position;
        let skipped = io::copy(&mut (&mut reader).take(skip), &mut io::sink())?;
        if skipped < skip {
            return Err(too_short());
        }
        *self.reader.borrow_mut() = Some((reader, offset));
        (self.progress)(offset);
        Ok(Part { upload: self, left: length })
    }

    /// Why the last part could not be read to its end.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.failure.take()
    }
}

fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "there is less of it than its descriptor says")
}

/// A part of an [`Upload`].
#[derive(Debug)]
pub(crate) struct Part<'a> {
    upload: &'a Upload<'a>,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let mut kept = self.upload.reader.borrow_mut();
        let (reader, position) = kept.as_mut().expect("a part is made with a reader");
        let result = match reader.read(&mut buffer[..most]) {
            Ok(0) => Err(too_short()),
            other => other,
        };
        match result {
            Ok(count) => {
                *position += count as u64;
                self.left -= count as u64;
                (self.upload.progress)(*position);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                // The transport reports its own error; this one says what really happened.
                let kind = error.kind();
                self.upload.failure.set(Some(error));
                *kept = None;
                Err(io::Error::new(kind, "the source failed"))
            }
        }
    }
}
