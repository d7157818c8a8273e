use serde::{Deserialize, Serialize};

use crate::{Digest, TreePath};

/// One path of a layer, or of a tree that becomes one (OCI image-spec, layer.md).
///
/// Ids are the image's, whatever they are mapped to on this machine. Times are whole seconds, as
/// layers keep them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub kind: Kind,
    /// Permission, set-id and sticky bits, at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970-01-01 UTC; may be negative.
    pub mtime: i64,
    /// The value of `security.capability`, the one extended attribute that layers keep.
    pub capability: Option<Vec<u8>>,
}

impl Entry {
    /// An entry of root's, without a capability, made at `mtime`.
    pub fn new(path: impl Into<TreePath>, kind: Kind, mode: u32, mtime: i64) -> Self {
        Self { path: path.into(), kind, mode, uid: 0, gid: 0, mtime, capability: None }
    }

    /// The entry that hides `path` of the layers below. Its time is 1970-01-01, as containerd
    /// writes it.
    pub fn whiteout(path: impl Into<TreePath>) -> Self {
        Self::new(path, Kind::Whiteout, 0, 0)
    }
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A directory.
    Directory {
        /// Whether it hides what the layers below have in it.
        opaque: bool,
    },
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Digest of the content.
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: Vec<u8>,
    },
    /// Another name of a file of the same layer; the other fields of the entry repeat that file's.
    HardLink {
        /// The file's first path in the order of the layer.
        target: TreePath,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// Hides the path of the layers below.
    Whiteout,
}

impl Kind {
    /// A directory that shows what lies below it.
    pub const DIRECTORY: Self = Self::Directory { opaque: false };

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }
}
