use std::io;
use std::path::PathBuf;

use dfbuild_image::{Entry, TreePath};

/// Why a layer could not be read, written, scanned or unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of this machine could not be used.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An owner that this user cannot give files to: the ids are not mapped in its namespace.
    #[error("give {path} to {uid}:{gid}: no such ids are mapped for this user")]
    Owner {
        /// The entry.
        path: TreePath,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The content of an entry could not be opened or read.
    #[error("read the content of {path}")]
    Content {
        /// The entry.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// The archive could not be read from its source.
    #[error("read the layer archive")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// The archive could not be written to its sink.
    #[error("write the layer archive")]
    Write {
        /// Why.
        source: io::Error,
    },
    /// Two entries of an index have one path.
    #[error("index a layer that holds {path} twice")]
    Duplicate {
        /// The path.
        path: TreePath,
    },
    /// An entry lies below something that is not a directory.
    #[error("place {path}: {ancestor} is not a directory")]
    NotDirectory {
        /// The entry.
        path: TreePath,
        /// What is in its way.
        ancestor: TreePath,
    },
    /// A hard link names nothing that could be linked.
    #[error("link {path} to {target}, which is not there")]
    LinkTarget {
        /// The link.
        path: TreePath,
        /// What it names.
        target: TreePath,
    },
    /// Symbolic links that lead round in a circle, or more of them than anybody follows.
    #[error("resolve {path}: too many levels of symbolic links")]
    Loop {
        /// The path that was resolved.
        path: TreePath,
    },
    /// A file differs from what its entry says.
    #[error("read {path}: the file changed meanwhile")]
    Changed {
        /// The file.
        path: TreePath,
    },
    /// The encoded index is not one, is damaged, or is of another version.
    #[error("decode a layer index: {reason}")]
    Index {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The archive breaks a rule of tar or of layers.
    #[error("read member `{member}` of the archive: {reason}")]
    Malformed {
        /// The name of the member, as written.
        member: String,
        /// The rule.
        reason: String,
    },
    /// The archive has more entries than the limits allow.
    #[error("unpack an archive of {entries} entries or more: more than any honest archive")]
    Bomb {
        /// Entries so far.
        entries: u64,
    },
    /// A directory of an overlay was renamed by reference, which no layer can express.
    #[error("scan {}: the overlay was mounted with redirected directories", path.display())]
    Redirect {
        /// The directory.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Why owner, mode or times of `entry` could not be set at `place`. What the kernel calls an
    /// invalid argument are the ids: user_namespaces(7).
    pub(crate) fn describe(
        entry: &Entry,
        place: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let (path, uid, gid, place) = (entry.path.clone(), entry.uid, entry.gid, place.into());
        move |source| match source.kind() {
            io::ErrorKind::InvalidInput => Self::Owner { path, uid, gid },
            _ => Self::Io { action: "describe", path: place, source },
        }
    }

    pub(crate) fn read(source: io::Error) -> Self {
        Self::Read { source }
    }

    pub(crate) fn write(source: io::Error) -> Self {
        Self::Write { source }
    }

    pub(crate) fn malformed(member: &[u8], reason: impl Into<String>) -> Self {
        let member = String::from_utf8_lossy(member).into_owned();
        Self::Malformed { member, reason: reason.into() }
    }
}
