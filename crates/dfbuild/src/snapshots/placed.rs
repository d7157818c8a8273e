use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dfbuild_image::TreePath;
use dfbuild_layer::Index;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::StepError;
use crate::steps::stubs::{Stub, Stubs};

/// The places for mounts that were made in a tree. Commands had that tree before and have it after:
/// no link in it is followed.
#[derive(Debug, Default)]
pub(super) struct Placed {
    lasting: Vec<TreePath>,
    /// What holds something comes before it.
    passing: Vec<TreePath>,
}

impl Placed {
    /// Makes them. The directories that they are in keep their times.
    pub(super) fn new(stubs: &Stubs<'_>, root: &Path) -> Result<Self, StepError> {
        let mut placed = Self::default();
        for (path, stub, lasts) in stubs.all() {
            let made = within(root, path, |parent, name| make(parent, name, stub));
            made.map_err(|errno| StepError::io("create", path.below(root))(errno.into()))?;
            let group = if lasts { &mut placed.lasting } else { &mut placed.passing };
            group.push(path.clone());
        }
        Ok(placed)
    }

    /// Those that become part of the layer.
    pub(super) fn lasting(&self) -> &[TreePath] {
        &self.lasting
    }

    /// Removes the others again, but for those that a command made its own: they are in its layer.
    pub(super) fn remove(&self, root: &Path, layer: &Index) -> Result<(), StepError> {
        for path in self.passing.iter().rev().filter(|path| layer.get(path).is_none()) {
            match within(root, path, remove) {
                // The command removed it, or put something in the place of what holds it, or left
                // in it what no layer takes, such as a socket.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NOTEMPTY) => {}
                Err(errno) => {
                    return Err(StepError::io("remove", path.below(root))(errno.into()));
                }
            }
        }
        Ok(())
    }
}

fn make(parent: &OwnedFd, name: &OsStr, stub: Stub) -> Result<(), Errno> {
    match stub {
        Stub::Directory => match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        },
        Stub::File => {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}

fn remove(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(parent, name, flags)
}

/// Changes a name in a directory, which keeps its time.
fn within(
    root: &Path,
    path: &TreePath,
    change: impl FnOnce(&OwnedFd, &OsStr) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = rustix::fs::open(root, flags, Mode::empty())?;
    for name in path.parent().unwrap_or_default().names() {
        let name = OsStr::from_bytes(name);
        directory = rustix::fs::openat(&directory, name, flags, Mode::empty())?;
    }
    let stat = rustix::fs::fstat(&directory)?;
    change(&directory, OsStr::from_bytes(path.name().unwrap_or(b".")))?;
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds };
    rustix::fs::futimens(&directory, &Timestamps { last_access: time, last_modification: time })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, UNIX_EPOCH};

    use dfbuild_layer::View;

    use super::*;

    /// A tree with places for `/run/secrets/x` and `/etc/hosts`, where `/etc` is there.
    fn placed(root: &Path) -> Placed {
        fs::create_dir(root.join("etc")).unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(7);
        fs::File::open(root.join("etc")).unwrap().set_modified(then).unwrap();
        let view = View::new(vec![]);
        let mut stubs = Stubs::new(&view);
        stubs.need_lasting("/etc").unwrap();
        stubs.need("/etc/hosts", false).unwrap();
        stubs.need("/run/secrets/x", false).unwrap();
        Placed::new(&stubs, root).unwrap()
    }

    #[test]
    fn places_come_and_go_and_leave_no_trace() {
        let root = tempfile::tempdir().unwrap();
        let placed = placed(root.path());
        assert_eq!(placed.lasting(), ["etc".into()]);
        assert!(root.path().join("etc/hosts").is_file());
        assert!(root.path().join("run/secrets/x").is_file());
        placed.remove(root.path(), &Index::new(vec![]).unwrap()).unwrap();
        let left: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["etc"]);
        let etc = fs::metadata(root.path().join("etc")).unwrap();
        assert_eq!(etc.modified().unwrap(), UNIX_EPOCH + Duration::from_secs(7));
        assert_eq!(fs::read_dir(root.path().join("etc")).unwrap().count(), 0);
    }

    #[test]
    fn links_that_a_command_left_lead_nowhere() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let placed = placed(root.path());
        fs::create_dir(outside.path().join("secrets")).unwrap();
        fs::write(outside.path().join("secrets/x"), "precious").unwrap();
        fs::remove_dir_all(root.path().join("run")).unwrap();
        symlink(outside.path(), root.path().join("run")).unwrap();
        // As if nobody had noticed that it changed.
        placed.remove(root.path(), &Index::new(vec![]).unwrap()).unwrap();
        assert!(outside.path().join("secrets/x").exists());
    }
}
