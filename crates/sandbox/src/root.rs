use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::overlay::{self, OverlayPlan, clone_tree};
use crate::report::Failure;
use crate::{Error, Privileges, Spec, Step, plan, sys};

/// The root file system of a command.
#[derive(Debug)]
pub(crate) enum RootPlan {
    /// Directories merged by overlayfs.
    Overlay(OverlayPlan),
    /// A directory as it is.
    Directory { path: CString, nodev: bool },
}

impl RootPlan {
    pub(crate) fn new(spec: &Spec) -> Result<Self, Error> {
        if spec.lower.is_empty() {
            let nodev = spec.privileges != Privileges::Insecure;
            return Ok(Self::Directory { path: plan::path(&spec.upper)?, nodev });
        }
        OverlayPlan::new(spec, &spec.lower, Some((&spec.upper, &spec.work))).map(Self::Overlay)
    }

    /// Makes the root, attached nowhere yet. `scratch` is an existing directory.
    pub(crate) fn mount(&self, scratch: &CStr) -> Result<BorrowedFd<'static>, Failure> {
        match self {
            Self::Overlay(plan) => overlay::mount(plan, scratch),
            Self::Directory { path, nodev } => {
                bind(path, *nodev).map_err(Failure::at(Step::RootDirectory))
            }
        }
    }
}

/// What an overlay does not take over from the file system that its directories are on, and a bind
/// mount does.
const INHERITED: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

fn bind(path: &CStr, nodev: bool) -> Result<BorrowedFd<'static>, Errno> {
    let mounted = clone_tree(CWD, path, false)?;
    let (set, clear) = if nodev {
        (MountAttrFlags::MOUNT_ATTR_NODEV, INHERITED & !MountAttrFlags::MOUNT_ATTR_NODEV)
    } else {
        (MountAttrFlags::empty(), INHERITED)
    };
    match sys::mount_setattr(mounted, set.bits().into(), clear.bits().into(), false) {
        // In a user namespace such attributes of the host are locked.
        Err(Errno::PERM) => sys::mount_setattr(mounted, set.bits().into(), 0, false)?,
        other => other?,
    }
    Ok(mounted)
}
