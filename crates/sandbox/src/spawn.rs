#![expect(unsafe_code, reason = "starts a process that shares this memory")]

use std::ffi::{OsStr, c_void};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::child::Supervision;
use crate::plan::{MountSource, Plan};
use crate::report::{Failure, Shared};
use crate::sys::{self, Stack};
use crate::{Child, Error, Spec, Step, Streams, mounts, supervisor};

/// The command's setup holds a page of overlay options and the descriptors of all mounts.
const COMMAND_STACK: usize = 256 << 10;
const SUPERVISOR_STACK: usize = 64 << 10;

/// Runs a command in its sandbox; returns once the program is executed.
///
/// Standard input is empty. May be called from many threads at the same time.
pub fn spawn(spec: &Spec) -> Result<Child, Error> {
    let mut plan = Plan::new(spec)?;
    let streams = Pipes::new().map_err(host("create pipes"))?;
    plan.streams = [&streams.input, &streams.output, &streams.error].map(AsRawFd::as_raw_fd);
    let supervision = launch(&plan).map_err(|error| describe(spec, &plan, &error))?;
    Ok(Child::new(supervision, streams.stdout, streams.stderr))
}

/// The same with the caller's streams.
pub fn spawn_with(spec: &Spec, streams: Streams) -> Result<Child, Error> {
    let mut plan = Plan::new(spec)?;
    let above = |fd| above_standard(fd).map_err(host("duplicate a stream"));
    let fds = [above(streams.input)?, above(streams.output)?, above(streams.error)?];
    plan.streams = [&fds[0], &fds[1], &fds[2]].map(AsRawFd::as_raw_fd);
    plan.controls_terminal = streams.controls_terminal;
    let supervision = launch(&plan).map_err(|error| describe(spec, &plan, &error))?;
    Ok(Child::with_streams(supervision))
}

/// Why `launch` failed: in this process or in the new one.
#[derive(Debug)]
pub(crate) enum LaunchError {
    Host(&'static str, Errno),
    Command(Failure),
    /// Somebody killed the supervisor.
    Lost,
}

/// Starts the supervisor and waits until the command has executed its program.
pub(crate) fn launch(plan: &Plan) -> Result<Supervision, LaunchError> {
    let failed = |operation| move |errno| LaunchError::Host(operation, errno);
    let command_stack = Stack::new(COMMAND_STACK).map_err(failed("allocate a stack"))?;
    let stack = Stack::new(SUPERVISOR_STACK).map_err(failed("allocate a stack"))?;
    let host = pidfd_open(getpid(), PidfdFlags::empty()).map_err(failed("open a pidfd"))?;
    let ready = eventfd(0, EventfdFlags::CLOEXEC).map_err(failed("create an event descriptor"))?;
    let shared =
        Arc::new(Shared::new(plan, command_stack.top(), host.as_raw_fd(), ready.as_raw_fd()));

    // No handler of the host may run in a process that shares its memory.
    let mask = sys::set_signal_mask(u64::MAX);
    let started = start_supervisor(&stack, &shared);
    let is_ready = started.as_ref().is_ok_and(|supervisor| wait_until_ready(supervisor, &ready));
    sys::set_signal_mask(mask);

    let supervisor = started.map_err(failed("start the supervisor"))?;
    let pidfd = shared.pidfd.load(Ordering::Acquire);
    // SAFETY: the kernel put the pidfd of the command into the file table that we share with the
    // supervisor, and nobody else owns it. The supervisor's stands in when there is no command: the
    // supervision is dropped right away.
    let command = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    let failure = shared.failure();
    let command = match command {
        Some(command) => command,
        None => supervisor.try_clone().expect("the table has room for one more descriptor"),
    };
    let supervision = Supervision {
        supervisor,
        command: Arc::new(command),
        shared,
        _host: host,
        stack: Some(stack),
        reaped: false,
    };
    // Unless it is ready the command must have ended before its stack and plan go away: dropping the
    // supervision sees to it.
    match failure {
        Some(failure) => {
            drop(supervision);
            Err(LaunchError::Command(failure))
        }
        None if is_ready => Ok(supervision),
        None => {
            drop(supervision);
            Err(LaunchError::Lost)
        }
    }
}

fn start_supervisor(stack: &Stack, shared: &Shared) -> Result<OwnedFd, Errno> {
    let pidfd = AtomicI32::new(-1);
    let argument = std::ptr::from_ref(shared).cast_mut().cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_PIDFD;
    // SAFETY: `Supervision` keeps stack and structure until it has reaped the supervisor, and so does
    // `launch` until there is one; `supervise` never returns.
    unsafe { sys::clone(supervisor::supervise, stack.top(), flags, argument, pidfd.as_ptr())? };
    // SAFETY: the kernel made the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd.load(Ordering::Relaxed)) })
}

/// Returns when the supervisor says so or is gone.
fn wait_until_ready(supervisor: &OwnedFd, ready: &OwnedFd) -> bool {
    loop {
        let mut events =
            [PollFd::new(ready, PollFlags::IN), PollFd::new(supervisor, PollFlags::IN)];
        match poll(&mut events, None) {
            Ok(0) | Err(Errno::INTR) => {}
            _ => return !events[0].revents().is_empty(),
        }
    }
}

/// The three pipes; the ends of the command close on drop here and live on in the command.
struct Pipes {
    input: OwnedFd,
    output: OwnedFd,
    error: OwnedFd,
    stdout: PipeReader,
    stderr: PipeReader,
}

impl Pipes {
    fn new() -> io::Result<Self> {
        let (input, _) = io::pipe()?;
        let (stdout, output) = io::pipe()?;
        let (stderr, error) = io::pipe()?;
        Ok(Self {
            input: above_standard(input.into())?,
            output: above_standard(output.into())?,
            error: above_standard(error.into())?,
            stdout,
            stderr,
        })
    }
}

/// A host without standard streams gets pipes numbered 0 to 2, which would overwrite each other.
fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    const FIRST: RawFd = 3;
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), FIRST)?)
}

fn host(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Host { operation, source }
}

/// Names what a failure was about.
pub(crate) fn describe(spec: &Spec, plan: &Plan, error: &LaunchError) -> Error {
    let failure = match *error {
        LaunchError::Command(failure) => failure,
        LaunchError::Lost => return Error::Lost,
        LaunchError::Host(operation, errno) => {
            return Error::Host { operation, source: errno.into() };
        }
    };
    let source = failure.errno.into();
    let setup = |path: Option<PathBuf>, source| Error::Setup { step: failure.step, path, source };
    let target = || spec.mounts.get(failure.index).map(|mount| mount.target().clone());
    match failure.step {
        Step::Namespaces => Error::Namespaces { source },
        Step::MountTarget => Error::MountTarget { target: target().unwrap_or_default(), source },
        Step::MountSource => Error::MountSource { path: mount_source(plan, failure.index), source },
        Step::Directory => Error::Directory { path: spec.cwd.clone(), source },
        Step::User => Error::User { uid: spec.user.uid, gid: spec.user.gid, source },
        Step::Exec => {
            Error::Exec { path: spec.args.first().map(PathBuf::from).unwrap_or_default(), source }
        }
        Step::OverlayLower => setup(lower(spec, failure.index), source),
        Step::OverlayUpper | Step::RootDirectory => setup(Some(spec.upper.clone()), source),
        Step::OverlayWork | Step::AttachRoot => setup(Some(spec.work.clone()), source),
        Step::Mount => setup(target(), source),
        Step::Device => setup(mounts::device_path(failure.index), source),
        Step::Mask => setup(mounts::masked_path(failure.index), source),
        Step::Rlimit => {
            setup(spec.rlimits.get(failure.index).map(|limit| (&limit.name).into()), source)
        }
        _ => setup(None, source),
    }
}

fn mount_source(plan: &Plan, index: usize) -> PathBuf {
    let path = plan.mounts.get(index).map(|mount| match &mount.source {
        MountSource::Bind { path, .. } => path.as_c_str(),
        MountSource::Overlay { subpath, .. } => subpath.as_c_str(),
        MountSource::Tmpfs { .. } | MountSource::File(_) => c"",
    });
    path.map(|path| Path::new(OsStr::from_bytes(path.to_bytes())).to_path_buf()).unwrap_or_default()
}

/// The kernel gets the topmost layer first.
fn lower(spec: &Spec, index: usize) -> Option<PathBuf> {
    spec.lower.iter().rev().nth(index).cloned()
}
