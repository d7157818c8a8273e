use std::fs::File;
use std::io::{self, Seek, Write};

/// Where a blob is written to.
pub trait BlobSink {
    /// Takes the next bytes, all of them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Forgets what was written: the blob comes again, since what came had another digest. An
    /// error ends the download.
    fn restart(&mut self) -> io::Result<()>;
}

impl BlobSink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl BlobSink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.rewind()
    }
}

/// A sink that cannot forget: a blob with a wrong digest is an error at once. Connections may
/// still be lost and taken up again.
#[derive(Debug)]
pub struct OneWay<W>(pub W);

impl<W: Write> BlobSink for OneWay<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
