use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dfbuild_image::Entry;
use dfbuild_layer::Contents;

use crate::cancel::Cancel;
use crate::error::Error;

/// What ends a build before its end. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cancel: Cancel,
    deadline: Option<(Instant, Duration)>,
    /// A part of the build failed; the others need not go on.
    failed: AtomicBool,
}

impl Ending {
    pub(crate) fn new(cancel: &Cancel, deadline: Option<(Instant, Duration)>) -> Self {
        let cancel = cancel.clone();
        Self(Arc::new(Inner { cancel, deadline, failed: AtomicBool::new(false) }))
    }

    /// The same wishes of the caller, for an attempt in which nothing has failed yet.
    pub(crate) fn anew(&self) -> Self {
        Self::new(&self.0.cancel, self.0.deadline)
    }

    /// Ends the build because a part of it failed.
    pub(crate) fn fail(&self) {
        self.0.failed.store(true, Ordering::SeqCst);
    }

    /// Whether there is no point in going on.
    pub(crate) fn is_near(&self) -> bool {
        self.0.failed.load(Ordering::SeqCst) || self.reason().is_some()
    }

    /// Why the caller wants it to end.
    pub(crate) fn reason(&self) -> Option<Error> {
        if self.0.cancel.is_cancelled() {
            return Some(Error::Cancelled);
        }
        let (_, limit) = self.0.deadline.filter(|(at, _)| Instant::now() >= *at)?;
        Some(Error::TimedOut { limit })
    }

    /// What an error means for the caller: that it wanted the end, if it did.
    pub(crate) fn instead_of(&self, error: Error) -> Error {
        self.reason().unwrap_or(error)
    }

    /// An error once the build is to end. What it says is never shown: the reason is.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_near() { Err(io::Error::other("the build was ended")) } else { Ok(()) }
    }

    /// A reader or writer that fails once the build is to end.
    pub(crate) fn watch<T>(&self, inner: T) -> Watched<T> {
        Watched { inner, ending: self.clone() }
    }
}

/// A reader, a writer or files that fail once the build is to end.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: T,
    ending: Ending,
}

impl<T> Watched<T> {
    pub(crate) fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ending.check()?;
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ending.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Contents for Watched<&dyn Contents> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        self.ending.check()?;
        Ok(Box::new(self.ending.watch(self.inner.open(entry)?)))
    }

    fn file(&self, entry: &Entry) -> io::Result<Option<File>> {
        self.ending.check()?;
        self.inner.file(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_fails_at_the_end() {
        let cancel = Cancel::new();
        let ending = Ending::new(&cancel, None);
        let mut reader = ending.watch(&b"ab"[..]);
        let mut writer = ending.watch(Vec::new());
        assert_eq!(reader.read(&mut [0]).unwrap(), 1);
        assert_eq!(writer.write(b"a").unwrap(), 1);
        cancel.cancel();
        assert!(reader.read(&mut [0]).is_err());
        assert!(writer.write(b"a").is_err());
        assert!(matches!(ending.reason(), Some(Error::Cancelled)));
    }

    #[test]
    fn a_failure_is_no_reason_of_the_callers() {
        let ending = Ending::new(&Cancel::new(), None);
        ending.fail();
        assert!(ending.is_near());
        assert!(ending.reason().is_none());
        assert!(!ending.anew().is_near());
    }

    #[test]
    fn a_deadline_that_has_passed() {
        let limit = Duration::from_secs(1);
        let ending = Ending::new(&Cancel::new(), Some((Instant::now(), limit)));
        assert!(
            matches!(ending.reason(), Some(Error::TimedOut { limit: found }) if found == limit)
        );
    }
}
