#![expect(unsafe_code, reason = "shared with processes that are no threads")]

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::plan::Plan;
use crate::sys::Ended;
use crate::{CpuTime, Step};

/// What went wrong in the sandbox process before the command ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    /// Which layer, mount or limit it was.
    pub(crate) index: usize,
    pub(crate) errno: Errno,
}

impl Failure {
    /// An adapter for `map_err`.
    pub(crate) fn at(step: Step) -> impl Fn(Errno) -> Self {
        Self::at_index(step, 0)
    }

    /// An adapter for `map_err` of one of several.
    pub(crate) fn at_index(step: Step, index: usize) -> impl Fn(Errno) -> Self {
        move |errno| Self { step, index, errno }
    }
}

/// The memory through which host, supervisor and command talk.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Valid until the command has executed its program.
    pub(crate) plan: *const Plan,
    /// The top of the command's stack.
    pub(crate) stack: *mut std::ffi::c_void,
    /// The pidfd of the host.
    pub(crate) host: c_int,
    /// The event descriptor that tells the host that the command runs or failed.
    pub(crate) ready: c_int,
    /// The pidfd of the command, written by the kernel; -1 before.
    pub(crate) pidfd: AtomicI32,
    /// A `Step` plus one; 0 when nothing failed.
    step: AtomicU32,
    index: AtomicU32,
    errno: AtomicI32,
    /// `si_code` of the command; 0 until it has ended.
    code: AtomicI32,
    /// `si_status` of the command.
    status: AtomicI32,
    /// What the command took, in microseconds.
    user: AtomicU64,
    system: AtomicU64,
}

// SAFETY: the pointers are used by the supervisor only, and before `spawn` returns; the rest is atomic.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(
        plan: *const Plan,
        stack: *mut std::ffi::c_void,
        host: c_int,
        ready: c_int,
    ) -> Self {
        Self {
            plan,
            stack,
            host,
            ready,
            pidfd: AtomicI32::new(-1),
            step: AtomicU32::new(0),
            index: AtomicU32::new(0),
            errno: AtomicI32::new(0),
            code: AtomicI32::new(0),
            status: AtomicI32::new(0),
            user: AtomicU64::new(0),
            system: AtomicU64::new(0),
        }
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.index.store(u32::try_from(failure.index).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.errno.store(failure.errno.raw_os_error(), Ordering::Relaxed);
        self.step.store(failure.step as u32 + 1, Ordering::Release);
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        let step = self.step.load(Ordering::Acquire).checked_sub(1)?;
        Some(Failure {
            step: Step::ALL[step as usize],
            index: self.index.load(Ordering::Relaxed) as usize,
            errno: Errno::from_raw_os_error(self.errno.load(Ordering::Relaxed)),
        })
    }

    pub(crate) fn ended(&self, ended: &Ended) {
        self.status.store(ended.status, Ordering::Relaxed);
        self.user.store(ended.user, Ordering::Relaxed);
        self.system.store(ended.system, Ordering::Relaxed);
        self.code.store(ended.code, Ordering::Release);
    }

    /// `si_code` and `si_status` once the command has ended.
    pub(crate) fn end(&self) -> Option<(c_int, c_int)> {
        match self.code.load(Ordering::Acquire) {
            0 => None,
            code => Some((code, self.status.load(Ordering::Relaxed))),
        }
    }

    /// What the command took, once it has ended.
    pub(crate) fn cpu(&self) -> Option<CpuTime> {
        let time = |micros: &AtomicU64| Duration::from_micros(micros.load(Ordering::Relaxed));
        self.end().map(|_| CpuTime { user: time(&self.user), system: time(&self.system) })
    }
}
