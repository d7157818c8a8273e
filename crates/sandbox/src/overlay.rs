use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags,
};

use crate::plan;
use crate::report::Failure;
use crate::sys::{self, FdPath};
use crate::{Error, IdMode, OverlayApi, Privileges, Spec, Step, mounts};

/// An overlay to mount.
#[derive(Debug)]
pub(crate) struct OverlayPlan {
    /// The topmost first, as the kernel wants them.
    lower: Vec<CString>,
    /// The lowest layer is the scratch directory, covered by an empty file system.
    padded: bool,
    upper: Option<(CString, CString)>,
    /// Attributes in `user.overlay.*`: `trusted.*` takes a capability in the initial user namespace.
    userxattr: bool,
    nodev: bool,
    api: OverlayApi,
}

impl OverlayPlan {
    pub(crate) fn new(
        spec: &Spec,
        lower: &[impl AsRef<Path>],
        upper: Option<(&Path, &Path)>,
    ) -> Result<Self, Error> {
        let mut lower: Vec<_> =
            lower.iter().rev().map(|path| plan::path(path.as_ref())).collect::<Result<_, _>>()?;
        if lower.is_empty() {
            let what = "overlay".to_owned();
            return Err(Error::Invalid { what, reason: "there is no lower directory" });
        }
        // The kernel wants two lower directories when there is no upper one.
        let padded = upper.is_none() && lower.len() == 1;
        if padded {
            lower.push(plan::path(&spec.work)?);
        }
        let upper = match upper {
            Some((upper, work)) => Some((plan::path(upper)?, plan::path(work)?)),
            None => None,
        };
        Ok(Self {
            lower,
            padded,
            upper,
            userxattr: spec.id_mode != IdMode::Root,
            nodev: spec.privileges != Privileges::Insecure,
            api: spec.overlay_api,
        })
    }
}

/// Options that every kernel may ignore. `off` for redirects would be wrong: kernels that always
/// follow them turn it into `follow`, which contradicts `userxattr`.
const OPTIONS: [(&CStr, &CStr); 3] =
    [(c"redirect_dir", c"nofollow"), (c"index", c"off"), (c"metacopy", c"off")];

/// Mounts an overlay that is attached nowhere yet. `scratch` is an existing directory.
pub(crate) fn mount(plan: &OverlayPlan, scratch: &CStr) -> Result<BorrowedFd<'static>, Failure> {
    if !plan.padded {
        return mount_any(plan, scratch);
    }
    mounts::cover(scratch).map_err(Failure::at(Step::OverlayLower))?;
    let mounted = mount_any(plan, scratch)?;
    detach(scratch).map_err(Failure::at(Step::OverlayLower))?;
    Ok(mounted)
}

fn mount_any(plan: &OverlayPlan, scratch: &CStr) -> Result<BorrowedFd<'static>, Failure> {
    match plan.api {
        OverlayApi::Descriptors => by_context(plan, true),
        OverlayApi::Names => by_context(plan, false),
        OverlayApi::Options => by_options(plan, scratch),
        OverlayApi::Auto => {
            let known = |result: &Result<_, Failure>| !matches!(result, Err(failure) if unknown_to_kernel(failure));
            let mounted = by_context(plan, true);
            if known(&mounted) {
                return mounted;
            }
            let mounted = by_context(plan, false);
            if known(&mounted) {
                return mounted;
            }
            by_options(plan, scratch)
        }
    }
}

/// Whether the kernel does not know the way: no such call, or no such option for the first layer.
fn unknown_to_kernel(failure: &Failure) -> bool {
    match failure.step {
        Step::OverlayOpen => failure.errno == Errno::NOSYS,
        Step::OverlayLower => failure.errno == Errno::INVAL && failure.index == 0,
        _ => false,
    }
}

fn by_context(plan: &OverlayPlan, descriptors: bool) -> Result<BorrowedFd<'static>, Failure> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map(sys::keep)
        .map_err(Failure::at(Step::OverlayOpen))?;
    let set = |key: &CStr, path: &CStr| {
        let directory = mounts::directory_at(path)?;
        let result = if descriptors {
            rustix::mount::fsconfig_set_fd(context, key, directory)
        } else {
            // A string may have 255 bytes, a path may have more.
            let name = FdPath::new(directory.as_raw_fd());
            rustix::mount::fsconfig_set_string(context, key, name.as_c_str())
        };
        sys::close(directory.as_raw_fd());
        result
    };
    if plan.userxattr {
        rustix::mount::fsconfig_set_flag(context, c"userxattr")
            .map_err(Failure::at(Step::OverlayOpen))?;
    }
    for (key, value) in OPTIONS {
        let _ = rustix::mount::fsconfig_set_string(context, key, value);
    }
    for (index, lower) in plan.lower.iter().enumerate() {
        set(c"lowerdir+", lower).map_err(Failure::at_index(Step::OverlayLower, index))?;
    }
    if let Some((upper, work)) = &plan.upper {
        // Nothing here has to survive a crash: a step that did not end is run again.
        let _ = rustix::mount::fsconfig_set_flag(context, c"volatile");
        set(c"upperdir", upper).map_err(Failure::at(Step::OverlayUpper))?;
        set(c"workdir", work).map_err(Failure::at(Step::OverlayWork))?;
    }
    rustix::mount::fsconfig_create(context).map_err(Failure::at(Step::OverlayCreate))?;
    let mut attributes = MountAttrFlags::empty();
    if plan.nodev {
        attributes |= MountAttrFlags::MOUNT_ATTR_NODEV;
    }
    let mounted = rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(Failure::at(Step::OverlayCreate))?;
    sys::close(context.as_raw_fd());
    Ok(sys::keep(mounted))
}

/// `mount` takes one page of options, including the terminating null.
const PAGE: usize = 4096;

fn by_options(plan: &OverlayPlan, scratch: &CStr) -> Result<BorrowedFd<'static>, Failure> {
    let mut options = Options { bytes: [0; PAGE], length: 0 };
    options
        .push(b"redirect_dir=nofollow,index=off,metacopy=off")
        .map_err(Failure::at(Step::OverlayOpen))?;
    if plan.userxattr {
        options.push(b",userxattr").map_err(Failure::at(Step::OverlayOpen))?;
    }
    for (index, lower) in plan.lower.iter().enumerate() {
        let separator: &[u8] = if index == 0 { b",lowerdir=" } else { b":" };
        options
            .push_directory(separator, lower)
            .map_err(Failure::at_index(Step::OverlayLower, index))?;
    }
    if let Some((upper, work)) = &plan.upper {
        options.push_directory(b",upperdir=", upper).map_err(Failure::at(Step::OverlayUpper))?;
        options.push_directory(b",workdir=", work).map_err(Failure::at(Step::OverlayWork))?;
    }
    let flags = if plan.nodev { MountFlags::NODEV } else { MountFlags::empty() };
    let without_volatile = options.length;
    if plan.upper.is_some() {
        options.push(b",volatile").map_err(Failure::at(Step::OverlayOpen))?;
    }
    let attempt =
        |data: &CStr| rustix::mount::mount(c"overlay", scratch, c"overlay", flags, Some(data));
    match attempt(options.as_c_str()) {
        // Linux 5.10 brought `volatile`.
        Err(Errno::INVAL) => {
            options.truncate(without_volatile);
            attempt(options.as_c_str())
        }
        other => other,
    }
    .map_err(Failure::at(Step::OverlayCreate))?;
    // From here on as if it had come from a context: attached nowhere.
    let mounted = clone_tree(CWD, scratch, false).map_err(Failure::at(Step::OverlayCreate))?;
    detach(scratch).map_err(Failure::at(Step::OverlayCreate))?;
    Ok(mounted)
}

/// A copy of the mount at a path, attached nowhere.
pub(crate) fn clone_tree(
    directory: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
) -> Result<BorrowedFd<'static>, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(directory, path, flags).map(sys::keep)
}

/// Takes the topmost mount at a path away.
pub(crate) fn detach(path: &CStr) -> Result<(), Errno> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

struct Options {
    bytes: [u8; PAGE],
    length: usize,
}

impl Options {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let end = self.length + bytes.len();
        // The last byte stays zero.
        if end >= PAGE {
            return Err(Errno::TOOBIG);
        }
        self.bytes[self.length..end].copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// The descriptor stays open until the program is executed.
    fn push_directory(&mut self, separator: &[u8], path: &CStr) -> Result<(), Errno> {
        let directory = mounts::directory_at(path)?;
        self.push(separator)?;
        self.push(FdPath::new(directory.as_raw_fd()).as_bytes())
    }

    fn truncate(&mut self, length: usize) {
        self.bytes[length..].fill(0);
        self.length = length;
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).expect("the last byte is zero")
    }
}
