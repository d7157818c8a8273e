use std::io;
use std::path::{Path, PathBuf};

use dfbuild_image::Digest;

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, as a verb: `create`, `read`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
    /// A blob whose bytes do not have its digest.
    #[error("blob {expected} is corrupt: its bytes have digest {found}")]
    CorruptBlob {
        /// The digest in its name.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A blob that is not there.
    #[error("no blob {digest} in {}", layout.display())]
    NoBlob {
        /// Which one.
        digest: Digest,
        /// The image layout that was searched.
        layout: PathBuf,
    },
    /// A folder that is not an OCI image layout.
    #[error("{} is not an OCI image layout: {reason}", path.display())]
    NotALayout {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A document that cannot be understood.
    #[error("malformed {what} {digest}: {source}")]
    Malformed {
        /// `manifest`, `index` or `configuration`.
        what: &'static str,
        /// The blob.
        digest: Digest,
        /// Where it fails.
        source: serde_json::Error,
    },
    /// No such tag in an image layout.
    #[error("no image `{tag}` in {}{}", layout.display(), list(known))]
    NoTag {
        /// The tag that was asked for.
        tag: String,
        /// The image layout.
        layout: PathBuf,
        /// The tags that it has.
        known: Vec<String>,
    },
    /// An image, or an index of images, for other platforms.
    #[error("it is for {}, and not for {platform}", available.join(", "))]
    NoPlatform {
        /// The platform that was asked for.
        platform: String,
        /// The platforms that there are.
        available: Vec<String>,
    },
}

fn list(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; it has {}", known.join(", ")) }
}

/// Adds what was tried on which path to an error of the operating system.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|error| Error::Io {
            action,
            path: path.as_ref().to_owned(),
            source: error.into(),
        })
    }
}
