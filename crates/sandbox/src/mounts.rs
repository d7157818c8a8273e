//! What a container expects to find mounted, and the mounts of the specification.
//!
//! All targets are resolved inside the root and used as descriptors, so a symbolic link in an image
//! leads nowhere else.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use crate::overlay::{clone_tree, detach, mount as mount_overlay};
use crate::plan::{FilePlan, MountPlan, MountSource, Plan};
use crate::report::Failure;
use crate::{Step, sys};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// Device nodes of the host that are shown. They are bound and not made: that works in a user
/// namespace too, and everything else can be mounted `nodev`. Read-only protects the owner and mode
/// of the host's nodes; reading and writing the devices is not affected.
const DEVICES: [&CStr; 6] = [c"null", c"zero", c"full", c"random", c"urandom", c"tty"];

/// Links in `/dev` as runc makes them.
const LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// The paths that Docker hides, because they tell about the host or change it.
pub(crate) const MASKED: [&CStr; 12] = [
    c"proc/acpi",
    c"proc/asound",
    c"proc/interrupts",
    c"proc/kcore",
    c"proc/keys",
    c"proc/latency_stats",
    c"proc/timer_list",
    c"proc/timer_stats",
    c"proc/sched_debug",
    c"proc/scsi",
    c"sys/firmware",
    c"sys/devices/virtual/powercap",
];

/// The paths that Docker makes read-only.
pub(crate) const READ_ONLY: [&CStr; 5] =
    [c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"];

/// Mounts `/proc`, `/dev` and `/sys` in `root`.
pub(crate) fn standard(plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
    proc(root).map_err(Failure::at(Step::Proc))?;
    dev(plan, root)?;
    sys_fs(plan, root).map_err(Failure::at(Step::Sys))?;
    if !plan.insecure {
        mask(root)?;
    }
    Ok(())
}

/// Whether `/proc` can be mounted: a container around us may hide parts of its own, and then it
/// cannot.
pub(crate) fn probe() -> Result<(), Errno> {
    filesystem(c"proc", &[], NOSUID | NODEV | NOEXEC).map(drop)
}

fn proc(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let mounted = filesystem(c"proc", &[], NOSUID | NODEV | NOEXEC)?;
    attach(mounted, resolve(root, c"proc")?)
}

fn dev(plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let options = [(c"mode", c"755"), (c"size", c"65536k")];
    let dev = resolve(root, c"dev")
        .and_then(|target| {
            let mounted = filesystem(c"tmpfs", &options, NOSUID | NODEV | NOEXEC)?;
            attach(mounted, target)?;
            Ok(mounted)
        })
        .map_err(Failure::at(Step::Dev))?;
    for (index, name) in DEVICES.iter().enumerate() {
        device(dev, name).map_err(Failure::at_index(Step::Device, index))?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, dev, name).map_err(Failure::at(Step::Dev))?;
    }
    dev_pts(dev).map_err(Failure::at(Step::DevPts))?;
    let options = [(c"mode", c"1777"), (c"size", plan.shm_size.as_c_str())];
    directory(dev, c"shm", c"tmpfs", &options, NOSUID | NODEV)
        .map_err(Failure::at(Step::DevShm))?;
    match directory(dev, c"mqueue", c"mqueue", &[], NOSUID | NODEV | NOEXEC) {
        // A kernel without POSIX message queues.
        Err(Errno::NODEV) => Ok(()),
        other => other.map_err(Failure::at(Step::DevMqueue)),
    }
}

fn device(dev: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // `/dev/`, the longest name and a null byte fit.
    let mut path = [0_u8; 16];
    path[..5].copy_from_slice(b"/dev/");
    path[5..5 + name.count_bytes()].copy_from_slice(name.to_bytes());
    let path = CStr::from_bytes_until_nul(&path).expect("the rest is zero");
    let source = match clone_tree(CWD, path, false) {
        // A container around us may not have all of them.
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    set_attributes(source, NOSUID | NOEXEC | RDONLY, false)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o666)).map(sys::keep)?;
    attach(source, target)
}

fn dev_pts(dev: BorrowedFd<'_>) -> Result<(), Errno> {
    let options =
        [(c"newinstance", c""), (c"ptmxmode", c"0666"), (c"mode", c"0620"), (c"gid", c"5")];
    match directory(dev, c"pts", c"devpts", &options, NOSUID | NOEXEC) {
        // The group `tty` is not mapped into this user namespace.
        Err(Errno::INVAL) => directory(dev, c"pts", c"devpts", &options[..3], NOSUID | NOEXEC),
        other => other,
    }
}

fn sys_fs(plan: &Plan, root: BorrowedFd<'_>) -> Result<(), Errno> {
    let target = resolve(root, c"sys")?;
    let mut flags = NOSUID | NODEV | NOEXEC;
    if !plan.insecure {
        flags |= RDONLY;
    }
    match filesystem(c"sysfs", &[], flags) {
        Ok(mounted) => {
            attach(mounted, target)?;
            if plan.cgroups {
                // Only shown where it can be: some programs read their limits there.
                let _ = cgroups(root, flags);
            }
            Ok(())
        }
        // In a user namespace it takes a network namespace of the same owner; the host's network is
        // shown by the host's /sys.
        Err(Errno::PERM) => {
            let mounted = clone_tree(CWD, c"/sys", true)?;
            set_attributes(mounted, flags, true)?;
            attach(mounted, target)
        }
        Err(errno) => Err(errno),
    }
}

fn cgroups(root: BorrowedFd<'_>, flags: MountAttrFlags) -> Result<(), Errno> {
    attach(filesystem(c"cgroup2", &[], flags)?, resolve(root, c"sys/fs/cgroup")?)
}

fn mask(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let null = resolve(root, c"dev/null").map_err(Failure::at(Step::Mask))?;
    for (index, path) in MASKED.iter().enumerate() {
        mask_path(root, path, null).map_err(Failure::at_index(Step::Mask, index))?;
    }
    for (index, path) in READ_ONLY.iter().enumerate() {
        read_only_path(root, path).map_err(Failure::at_index(Step::Mask, MASKED.len() + index))?;
    }
    Ok(())
}

fn mask_path(root: BorrowedFd<'_>, path: &CStr, null: BorrowedFd<'_>) -> Result<(), Errno> {
    let target = match resolve(root, path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let stat = rustix::fs::fstat(target)?;
    let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        filesystem(c"tmpfs", &[(c"size", c"0")], NOSUID | NODEV | NOEXEC | RDONLY)?
    } else {
        clone_tree(null, c"", false)?
    };
    attach(cover, target)
}

fn read_only_path(root: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let target = match resolve(root, path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let cover = clone_tree(target, c"", true)?;
    set_attributes(cover, RDONLY, true)?;
    attach(cover, target)
}

/// Makes a mount of the specification that is attached nowhere yet. Must run before the root is
/// attached at `scratch`.
pub(crate) fn prepare(
    plan: &Plan,
    mount: &MountPlan,
    index: usize,
) -> Result<BorrowedFd<'static>, Failure> {
    let source = Failure::at_index(Step::MountSource, index);
    let failed = Failure::at_index(Step::Mount, index);
    let nodev = if plan.insecure { MountAttrFlags::empty() } else { NODEV };
    let mut attributes = if mount.read_only { RDONLY } else { MountAttrFlags::empty() };
    let mut whole_tree = false;
    let mounted = match &mount.source {
        MountSource::Bind { path, recursive, device } => {
            whole_tree = *recursive;
            if !device {
                attributes |= nodev;
            }
            clone_tree(CWD, path, *recursive).map_err(source)?
        }
        MountSource::Tmpfs { size, mode } => {
            let options = [(c"mode", mode.as_c_str()), (c"size", size.as_deref().unwrap_or(c""))];
            let count = if size.is_some() { 2 } else { 1 };
            filesystem(c"tmpfs", &options[..count], NOSUID | NODEV).map_err(&failed)?
        }
        MountSource::File(file) => {
            let mounted = filesystem(c"tmpfs", &[(c"mode", c"755")], NOSUID | NODEV);
            let written = mounted.and_then(|mounted| {
                write_file(mounted, file)?;
                subtree(mounted, FILE, &plan.scratch)
            });
            written.map_err(&failed)?
        }
        MountSource::Overlay { overlay, subpath } => {
            let mounted =
                mount_overlay(overlay, &plan.scratch).map_err(|failure| failed(failure.errno))?;
            if subpath.is_empty() {
                mounted
            } else {
                subtree(mounted, subpath, &plan.scratch).map_err(source)?
            }
        }
    };
    if !attributes.is_empty() {
        set_attributes(mounted, attributes, whole_tree).map_err(failed)?;
    }
    Ok(mounted)
}

/// The name of the one file in the file system of a [`MountSource::File`].
const FILE: &CStr = c"file";

fn write_file(directory: BorrowedFd<'_>, file: &FilePlan) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    let open = rustix::fs::openat(directory, FILE, flags, mode).map(sys::keep)?;
    let mut rest = file.content.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(open, rest) {
            Err(Errno::INTR) => {}
            written => rest = &rest[written?..],
        }
    }
    let (uid, gid) = (Uid::from_raw(file.uid), Gid::from_raw(file.gid));
    rustix::fs::fchown(open, Some(uid), Some(gid))?;
    rustix::fs::fchmod(open, Mode::from_raw_mode(file.mode))?;
    sys::close(open.as_raw_fd());
    Ok(())
}

/// Where `mounted` is to be attached. Below `/dev`, a file system of our own, and in other mounts what
/// is missing is made: a directory for a directory, else an empty file.
pub(crate) fn target(
    root: BorrowedFd<'_>,
    mount: &MountPlan,
    mounted: BorrowedFd<'_>,
) -> Result<BorrowedFd<'static>, Errno> {
    match resolve(root, &mount.target) {
        Err(Errno::NOENT) if mount.makes_target => {
            make(root, &mount.target, mounted)?;
            resolve(root, &mount.target)
        }
        found => found,
    }
}

/// Longest path that is made; what the kernel takes in one call.
const PATH_MAX: usize = 4096;

fn make(root: BorrowedFd<'_>, path: &CStr, mounted: BorrowedFd<'_>) -> Result<(), Errno> {
    let bytes = path.to_bytes();
    if bytes.len() >= PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let is_directory =
        FileType::from_raw_mode(rustix::fs::fstat(mounted)?.st_mode) == FileType::Directory;
    let mut parent = root;
    let names = bytes.split(|byte| *byte == b'/');
    let mut names = names.filter(|name| !name.is_empty()).peekable();
    while let Some(name) = names.next() {
        let mut buffer = [0_u8; PATH_MAX];
        buffer[..name.len()].copy_from_slice(name);
        let name = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::INVAL)?;
        if names.peek().is_some() || is_directory {
            match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            parent = resolve(parent, name)?;
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(sys::keep)?;
        }
    }
    Ok(())
}

/// Kernels before 6.15 clone only what is attached, so `mounted` is attached for a moment.
fn subtree(
    mounted: BorrowedFd<'_>,
    subpath: &CStr,
    scratch: &CStr,
) -> Result<BorrowedFd<'static>, Errno> {
    attach(mounted, directory_at(scratch)?)?;
    let tree = resolve(mounted, subpath).and_then(|source| clone_tree(source, c"", false));
    detach(scratch)?;
    tree
}

/// Makes a mount read-only, but not those below it.
pub(crate) fn refuse_writes(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    set_attributes(mount, RDONLY, false)
}

/// Puts an empty read-only file system over a directory.
pub(crate) fn cover(path: &CStr) -> Result<(), Errno> {
    let empty = filesystem(c"tmpfs", &[(c"size", c"0")], NOSUID | NODEV | NOEXEC | RDONLY)?;
    attach(empty, directory_at(path)?)
}

/// A directory of the host.
pub(crate) fn directory_at(path: &CStr) -> Result<BorrowedFd<'static>, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map(sys::keep)
}

/// A path inside `root`, whatever symbolic links say.
pub(crate) fn resolve(root: BorrowedFd<'_>, path: &CStr) -> Result<BorrowedFd<'static>, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // A rename elsewhere on the system raced with `..`; the kernel asks to try again.
            Err(Errno::AGAIN) => {}
            other => return other.map(sys::keep),
        }
    }
}

/// A new file system that is attached nowhere yet. An option without a value is a flag.
fn filesystem(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
) -> Result<BorrowedFd<'static>, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map(sys::keep)?;
    rustix::mount::fsconfig_set_string(context, c"source", kind)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context, *key)?;
        } else {
            rustix::mount::fsconfig_set_string(context, *key, *value)?;
        }
    }
    rustix::mount::fsconfig_create(context)?;
    let mounted = rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    sys::close(context.as_raw_fd());
    Ok(sys::keep(mounted))
}

/// Makes a directory and mounts a new file system there.
fn directory(
    parent: BorrowedFd<'_>,
    name: &CStr,
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
) -> Result<(), Errno> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    attach(filesystem(kind, options, attributes)?, resolve(parent, name)?)
}

/// Attaches a mount to a target.
pub(crate) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target, c"", flags)
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    recursive: bool,
) -> Result<(), Errno> {
    sys::mount_setattr(mount, attributes.bits().into(), 0, recursive)
}

/// The path of a device by its index, for messages.
pub(crate) fn device_path(index: usize) -> Option<PathBuf> {
    DEVICES.get(index).map(|name| Path::new("/dev").join(OsStr::from_bytes(name.to_bytes())))
}

/// The masked path by its index, for messages.
pub(crate) fn masked_path(index: usize) -> Option<PathBuf> {
    let name = MASKED.iter().chain(&READ_ONLY).nth(index)?;
    Some(Path::new("/").join(OsStr::from_bytes(name.to_bytes())))
}
