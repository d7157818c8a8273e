//! Finding what a command changed in a tree that was there before, without an overlay.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dfbuild_image::TreePath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use crate::scan::{self, ScanOptions, list};
use crate::{Error, Index, View};

/// Turns what was changed since `before` in the directory `root`, which held the tree of `below`,
/// into a layer: writes its archive to `tar` and gives its index.
///
/// What is a change is decided as in [`upper::scan`](crate::upper::scan); the layer of a command is
/// the same, whether it ran here or over an overlay. Hard links are the exception, because an
/// overlay takes them apart: what is written to one name here shows at all of them, and a new name
/// brings the old ones into the layer.
///
/// What was in `root` at `before` and is not in `below` belongs to nobody's layer, unless it changed.
///
/// # Errors
/// [`Error::Changed`] if a file changes while it is read.
pub fn scan(
    root: &Path,
    before: &Baseline,
    below: &View,
    options: &ScanOptions,
    tar: &mut dyn Write,
) -> Result<Index, Error> {
    scan::run(root, scan::Mode::InPlace(before), below, options, tar)
}

/// How every name in a directory looked at one moment.
///
/// A file that still looks the same is the same: whoever writes to it changes its `ctime`, which
/// nobody can set. The clock of a file system goes in steps, of a jiffy or up to two seconds, so that
/// holds only if the clock has gone on since the file was last changed; git calls others racily
/// clean. Such files are read.
#[derive(Debug)]
pub struct Baseline {
    states: HashMap<TreePath, State>,
    /// Whatever was changed before this can be told from what is changed later.
    settled: Time,
}

/// How a name looks, in comparison with before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It has not been touched.
    Same,
    /// It may have other content.
    Doubtful,
    /// It is new, or something about it is.
    Changed,
}

/// Seconds and nanoseconds.
type Time = (i64, i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    inode: (u64, u64),
    mode: u32,
    owner: (u32, u32),
    size: i64,
    device: u64,
    modified: Time,
    changed: Time,
}

impl State {
    fn of(stat: &Stat) -> Self {
        // Their types differ between architectures.
        let nanoseconds = |value| i64::try_from(value).unwrap_or_default();
        Self {
            inode: (stat.st_dev, stat.st_ino),
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            size: stat.st_size,
            device: stat.st_rdev,
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
        }
    }
}

impl Baseline {
    /// Takes note of everything below `root`, and waits a moment for the clock of its file system.
    pub fn take(root: &Path) -> Result<Self, Error> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let error = |errno: Errno| Error::io("open", root)(errno.into());
        let open = rustix::fs::open(root, flags, Mode::empty()).map_err(error)?;
        let mut states = HashMap::new();
        walk(root, &open, &TreePath::ROOT, &mut states)?;
        let newest = states.values().map(|state: &State| state.changed).max();
        let settled = settle(&open, newest.unwrap_or_default()).map_err(error)?;
        Ok(Self { states, settled })
    }

    /// Takes `path` for something that was not there.
    pub fn forget(&mut self, path: &TreePath) {
        self.states.remove(path);
    }

    pub(crate) fn compare(&self, path: &TreePath, stat: &Stat) -> Compared {
        match self.states.get(path) {
            Some(state) if *state != State::of(stat) => Compared::Changed,
            None => Compared::Changed,
            Some(state) => {
                // Of the others, what `ctime` might hide cannot be changed.
                let has_content = FileType::from_raw_mode(state.mode) == FileType::RegularFile;
                if has_content && state.changed >= self.settled {
                    Compared::Doubtful
                } else {
                    Compared::Same
                }
            }
        }
    }
}

fn walk(
    root: &Path,
    directory: &OwnedFd,
    path: &TreePath,
    states: &mut HashMap<TreePath, State>,
) -> Result<(), Error> {
    for name in list(directory, root, path)? {
        let inside = path.join(&name);
        let name = OsStr::from_bytes(&name);
        let error = |errno: Errno| Error::io("read", inside.below(root))(errno.into());
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(error)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(error)?;
            walk(root, &open, &inside, states)?;
        }
        states.insert(inside, State::of(&stat));
    }
    Ok(())
}

/// How often the clock is asked, a millisecond apart. A jiffy is ten of them at most; whoever has a
/// slower clock reads some files more.
const TRIES: usize = 20;

/// Waits until the clock that stamps changes is past `newest`, as far as that is soon, and tells it.
fn settle(root: &OwnedFd, newest: Time) -> Result<Time, Errno> {
    let mut tries = 0;
    loop {
        // To set a time, even to what it is, is a change.
        let stat = rustix::fs::fstat(root.as_fd())?;
        let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(root.as_fd(), &times)?;
        let now = State::of(&rustix::fs::fstat(root.as_fd())?).changed;
        tries += 1;
        if now > newest || tries == TRIES {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_changed_in_the_same_moment_is_doubtful() {
        let root = tempfile::tempdir().expect("there is a temporary folder");
        let file = root.path().join("file");
        fs::write(&file, "x").expect("the folder is ours");
        let mut baseline = Baseline::take(root.path()).expect("the folder is ours");
        let stat = || rustix::fs::stat(&file).expect("it was written");
        let path = TreePath::from("file");
        assert_eq!(baseline.compare(&path, &stat()), Compared::Same);
        assert_eq!(baseline.compare(&TreePath::from("other"), &stat()), Compared::Changed);
        let settled = baseline.settled;
        baseline.settled = baseline.states[&path].changed;
        assert_eq!(baseline.compare(&path, &stat()), Compared::Doubtful);
        baseline.settled = settled;
        fs::write(&file, "y").expect("the folder is ours");
        assert_eq!(baseline.compare(&path, &stat()), Compared::Changed);
        baseline.forget(&path);
        assert!(baseline.states.is_empty());
    }
}
