//! When things of the store were last used: their modification times.

use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

/// A stamp that is younger is left alone: reading a store must not mean to write it.
const PRECISION: Duration = Duration::from_secs(60 * 60);

/// Notes that a file of the store was used, if that was not noted within the hour. A store that
/// cannot be written to has no use for it.
pub(crate) fn used(path: &Path, known: &Metadata) {
    let modified = known.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    if SystemTime::now().duration_since(modified).is_ok_and(|age| age >= PRECISION) {
        stamp(path);
    }
}

/// Notes that a file was used now.
pub(crate) fn stamp(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access: keep, last_modification: now };
    let _ = utimensat(CWD, path, &times, AtFlags::empty());
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_stamp_is_renewed_once_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        let ago = |minutes: u64| SystemTime::now() - Duration::from_secs(60 * minutes);
        let recent = ago(50);
        file.set_modified(recent).unwrap();
        used(&path, &fs::metadata(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), recent);
        file.set_modified(ago(70)).unwrap();
        used(&path, &fs::metadata(&path).unwrap());
        assert!(fs::metadata(&path).unwrap().modified().unwrap() > recent);
    }
}
