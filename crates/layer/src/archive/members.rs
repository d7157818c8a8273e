use std::io::{self, Read};

use dfbuild_image::TreePath;

use crate::Error;

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name as written.
    pub name: Vec<u8>,
    /// The name cleaned, within the root.
    pub path: TreePath,
    /// What it is.
    pub kind: MemberKind,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in whole seconds, rounded down.
    pub mtime: i64,
    /// The value of `security.capability`.
    pub capability: Option<Vec<u8>>,
}

/// What a [`Member`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file of this many bytes, which are read from [`Members`].
    File {
        /// Length in bytes.
        size: u64,
    },
    /// Another name of a member before it.
    HardLink {
        /// The name, cleaned, within the root.
        target: TreePath,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: Vec<u8>,
    },
    /// A directory.
    Directory,
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
}

/// Reads the members of the tar archive `read` one after the other.
pub fn members<R: Read>(read: R) -> Members<R> {
    Members { read }
}

/// The members of an archive. As a reader it gives the content of the member that
/// [`Members::advance`] returned last.
#[derive(Debug)]
pub struct Members<R> {
    read: R,
}

impl<R: Read> Members<R> {
    /// The next member, after skipping what was not read of the one before; `None` at the end.
    pub fn advance(&mut self) -> Result<Option<Member>, Error> {
        unimplemented!()
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.read(buffer)
    }
}
