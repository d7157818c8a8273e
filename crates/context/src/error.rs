use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with a context.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
