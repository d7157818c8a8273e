//! The process that becomes the command, from `clone` to `execve`.
//!
//! It shares memory with the host. It neither allocates nor locks, calls the kernel directly, and
//! does not unwind. Descriptors are not closed one by one: it closes all before it executes.
#![expect(unsafe_code, reason = "a process that shares memory with the host")]

use std::convert::Infallible;
use std::ffi::{CStr, c_int, c_void};

use rustix::fs::{Access, AtFlags, CWD, FileType, StatxFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;

use crate::plan::{Plan, Program};
use crate::report::{Failure, Shared};
use crate::{Step, credentials, mounts, overlay, sys};

/// The process; `argument` is a `Shared`.
pub(crate) extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: the host keeps the structure and the plan until this process has executed its program
    // or ended.
    let (shared, plan) = unsafe {
        let shared = &*argument.cast::<Shared>();
        (shared, &*shared.plan)
    };
    match become_command(plan) {
        Ok(None) => {}
        Ok(Some(never)) => match never {},
        Err(failure) => shared.fail(failure),
    }
    sys::exit(0)
}

/// The most mounts a specification may have: their descriptors are held on the stack.
pub(crate) const MOST_MOUNTS: usize = 256;

fn become_command(plan: &Plan) -> Result<Option<Infallible>, Failure> {
    sys::reset_signal_actions();
    die_with_supervisor()?;
    let _ = rustix::process::setsid();
    sys::umask(0);
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(Failure::at(Step::PrivateMounts))?;

    let mut prepared = [None; MOST_MOUNTS];
    for (index, mount) in plan.mounts.iter().enumerate() {
        prepared[index] = Some(mounts::prepare(plan, mount, index)?);
    }
    let root = plan.root.mount(&plan.scratch)?;
    mounts::directory_at(&plan.scratch)
        .and_then(|scratch| mounts::attach(root, scratch))
        .map_err(Failure::at(Step::AttachRoot))?;
    if plan.probe {
        mounts::probe().map_err(Failure::at(Step::Proc))?;
        return Ok(None);
    }
    mounts::standard(plan, root)?;
    for (index, mount) in plan.mounts.iter().enumerate() {
        let mounted = prepared[index].expect("prepared above");
        let target = mounts::target(root, mount, mounted)
            .map_err(Failure::at_index(Step::MountTarget, index))?;
        mounts::attach(mounted, target).map_err(Failure::at_index(Step::Mount, index))?;
    }
    if plan.read_only_root {
        mounts::refuse_writes(root).map_err(Failure::at(Step::AttachRoot))?;
    }
    change_root(root).map_err(Failure::at(Step::Pivot))?;

    rustix::system::sethostname(plan.hostname.to_bytes()).map_err(Failure::at(Step::Hostname))?;
    if plan.namespaces & libc::CLONE_NEWNET != 0 {
        sys::loopback_up().map_err(Failure::at(Step::Loopback))?;
    }
    connect_streams(plan).map_err(Failure::at(Step::Streams))?;
    for (index, (resource, soft, hard)) in plan.rlimits.iter().enumerate() {
        sys::set_rlimit(*resource, *soft, *hard).map_err(Failure::at_index(Step::Rlimit, index))?;
    }
    sys::umask(0o022);
    // As runc: before the change of user if that works, since root may enter any directory.
    let entered = rustix::process::chdir(&*plan.cwd);
    credentials::take(plan)?;
    if entered.is_err() {
        rustix::process::chdir(&*plan.cwd).map_err(Failure::at(Step::Directory))?;
    }
    // A change of ids clears it.
    die_with_supervisor()?;
    sys::set_signal_mask(0);
    Err(execute(plan))
}

fn die_with_supervisor() -> Result<(), Failure> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize)
        .map(drop)
        .map_err(Failure::at(Step::DeathSignal))
}

fn change_root(root: std::os::fd::BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(root)?;
    match rustix::process::pivot_root(c".", c".") {
        Ok(()) => overlay::detach(c".")?,
        // The root is the initial RAM file system, which cannot be pivoted away: cover it.
        Err(Errno::INVAL) => {
            rustix::mount::mount_move(c".", c"/")?;
            rustix::process::chroot(c".")?;
        }
        Err(errno) => return Err(errno),
    }
    rustix::process::chdir(c"/")
}

fn connect_streams(plan: &Plan) -> Result<(), Errno> {
    for (stream, from) in (0..).zip(plan.streams) {
        sys::dup_to(from, stream)?;
    }
    if plan.controls_terminal {
        // This process leads a session of its own and has no terminal yet.
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
    }
    sys::close_from(3);
    Ok(())
}

fn execute(plan: &Plan) -> Failure {
    let errno = match &plan.program {
        Program::Path(program) => execute_program(plan, program),
        // As runc: the first file that may be executed is the one; if that fails there is no further
        // search.
        Program::Search(candidates) => candidates
            .iter()
            .find(|program| check_executable(program).is_ok())
            .map_or(Errno::NOENT, |program| execute_program(plan, program)),
    };
    Failure { step: Step::Exec, index: 0, errno }
}

fn execute_program(plan: &Plan, program: &CStr) -> Errno {
    if let Err(errno) = check_executable(program) {
        return errno;
    }
    // SAFETY: both arrays end with a null pointer and live in the plan.
    unsafe { sys::execve(program, plan.args.as_ptr(), plan.env.as_ptr()) }
}

fn check_executable(program: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::statx(CWD, program, AtFlags::empty(), StatxFlags::TYPE)?;
    if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, program, Access::EXEC_OK, AtFlags::empty())
}
