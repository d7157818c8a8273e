use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal};

use crate::report::Shared;
use crate::sys::Stack;
use crate::{CpuTime, Error, Exit};

/// A command that runs in its sandbox. Dropping it kills and reaps all of its processes.
#[derive(Debug)]
#[must_use = "dropping it kills the command"]
pub struct Child {
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    exit: Option<Exit>,
    supervision: Supervision,
}

/// A handle that kills the command from elsewhere, and does nothing once it has ended.
#[derive(Clone, Debug)]
pub struct Killer(Arc<OwnedFd>);

impl Killer {
    /// Kills every process of the sandbox.
    pub fn kill(&self) {
        kill(self.0.as_fd());
    }

    /// Sends a signal to the command. As the first process of its namespace it hears only of those
    /// that it waits for.
    pub fn signal(&self, number: i32) {
        // The only errors are that it has ended, and that there is no such signal.
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ = pidfd_send_signal(&*self.0, signal);
        }
    }
}

impl Child {
    pub(crate) fn new(supervision: Supervision, stdout: PipeReader, stderr: PipeReader) -> Self {
        Self { stdout: Some(stdout), stderr: Some(stderr), exit: None, supervision }
    }

    /// A command with streams of the caller's.
    pub(crate) fn with_streams(supervision: Supervision) -> Self {
        Self { stdout: None, stderr: None, exit: None, supervision }
    }

    /// The read end of the command's standard output, the first time.
    pub fn stdout(&mut self) -> Option<PipeReader> {
        self.stdout.take()
    }

    /// The read end of the command's standard error, the first time.
    pub fn stderr(&mut self) -> Option<PipeReader> {
        self.stderr.take()
    }

    /// Waits until the command and with it every process of the sandbox has ended.
    pub fn wait(&mut self) -> Result<Exit, Error> {
        loop {
            if let Some(exit) = self.wait_until(None)? {
                return Ok(exit);
            }
        }
    }

    /// Looks whether the command has ended.
    pub fn try_wait(&mut self) -> Result<Option<Exit>, Error> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Waits for at most `timeout`.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Exit>, Error> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// The processor time that the command took, once it has ended and that was noticed. `None` before,
    /// and if somebody killed the process that watched it.
    pub fn cpu(&self) -> Option<CpuTime> {
        self.exit.and_then(|_| self.supervision.shared.cpu())
    }

    /// Kills every process of the sandbox: the command is pid 1 of its pid namespace.
    pub fn kill(&self) {
        kill(self.pidfd());
    }

    /// The pidfd of the command, for polling. It is no child of this process and cannot be waited for.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.supervision.command.as_fd()
    }

    /// A handle to kill the command from another thread.
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.supervision.command))
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<Option<Exit>, Error> {
        if self.exit.is_none() && self.supervision.ended(deadline)? {
            self.exit = Some(self.supervision.exit()?);
        }
        Ok(self.exit)
    }
}

fn kill(pidfd: BorrowedFd<'_>) {
    // The only error is that the process has ended.
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
}

/// The supervisor and what it uses: it must be reaped before any of this goes away.
#[derive(Debug)]
pub(crate) struct Supervision {
    /// The pidfd of the supervisor.
    pub(crate) supervisor: OwnedFd,
    /// The pidfd of the command.
    pub(crate) command: Arc<OwnedFd>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) _host: OwnedFd,
    pub(crate) stack: Option<Stack>,
    pub(crate) reaped: bool,
}

impl Supervision {
    /// Waits for the supervisor; the host has no other business with it.
    fn ended(&self, deadline: Option<Instant>) -> Result<bool, Error> {
        loop {
            let timeout = deadline.map(|deadline| {
                let rest = deadline.saturating_duration_since(Instant::now());
                Timespec {
                    tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: rest.subsec_nanos().into(),
                }
            });
            let mut events = [PollFd::new(&self.supervisor, PollFlags::IN)];
            match poll(&mut events, timeout.as_ref()) {
                Ok(0) if deadline.is_some() => return Ok(false),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => {
                    return Err(Error::Host {
                        operation: "wait for the supervisor",
                        source: errno.into(),
                    });
                }
            }
        }
    }

    fn exit(&mut self) -> Result<Exit, Error> {
        self.reap();
        match self.shared.end() {
            Some((libc::CLD_EXITED, code)) => Ok(Exit::Code(code)),
            Some((_, signal)) => Ok(Exit::Signal(signal)),
            None => Err(Error::Lost),
        }
    }

    /// Reaps the supervisor, which has ended or is about to.
    fn reap(&mut self) {
        if self.reaped {
            return;
        }
        // The supervisor has no exit signal, so that a host which waits for any child does not take
        // it; it takes __WALL to wait for such a process.
        let options =
            WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(libc::__WALL.cast_unsigned());
        let supervisor = WaitId::PidFd(self.supervisor.as_fd());
        // Any other error means that it is not ours any more, as after a fork of the host.
        while let Err(Errno::INTR) = rustix::process::waitid(supervisor.clone(), options) {}
        self.reaped = true;
        if self.shared.end().is_none() {
            // Somebody killed the supervisor. Its death kills the command, unless that has changed
            // its ids; make sure of it.
            kill(self.command.as_fd());
            let mut events = [PollFd::new(&*self.command, PollFlags::IN)];
            while matches!(poll(&mut events, None), Err(Errno::INTR)) {}
        }
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        if !self.reaped {
            kill(self.command.as_fd());
            self.reap();
        }
        drop(self.stack.take());
    }
}
