use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Statx, makedev};

/// What the file system says of a file, whichever call it was asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Type and permissions, as in `st_mode`.
    pub(crate) mode: u32,
    pub(crate) links: u64,
    /// The numbers of a device.
    pub(crate) special: (u32, u32),
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
}

impl From<&Metadata> for FileStat {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: metadata.mode(),
            links: metadata.nlink(),
            special: device(metadata.rdev()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl From<&Statx> for FileStat {
    fn from(statx: &Statx) -> Self {
        Self {
            device: makedev(statx.stx_dev_major, statx.stx_dev_minor),
            inode: statx.stx_ino,
            mode: statx.stx_mode.into(),
            links: statx.stx_nlink.into(),
            special: (statx.stx_rdev_major, statx.stx_rdev_minor),
            size: statx.stx_size,
            modified: (statx.stx_mtime.tv_sec, statx.stx_mtime.tv_nsec.into()),
            changed: (statx.stx_ctime.tv_sec, statx.stx_ctime.tv_nsec.into()),
        }
    }
}

/// Linux's encoding of device numbers in 64 bits (glibc `gnu_dev_major`).
#[expect(clippy::cast_possible_truncation, reason = "the masks leave 32 bits")]
fn device(number: u64) -> (u32, u32) {
    let major = (number >> 8) & 0xfff | (number >> 32) & 0xffff_f000;
    let minor = number & 0xff | (number >> 12) & 0xffff_ff00;
    (major as u32, minor as u32)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{AtFlags, CWD, StatxFlags};

    use super::*;

    #[test]
    fn both_calls_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "content").unwrap();
        for path in [folder.path(), &file, "/dev/null".as_ref(), "/proc/self".as_ref()] {
            let metadata = std::fs::symlink_metadata(path).unwrap();
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let statx = rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS).unwrap();
            assert_eq!(FileStat::from(&metadata), FileStat::from(&statx), "{}", path.display());
        }
    }
}
