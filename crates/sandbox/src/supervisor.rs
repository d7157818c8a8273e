//! The parent of the command: starts it, ends it when the host ends, and keeps its exit status.
//!
//! It shares the memory and the file table of the host (`CLONE_VM | CLONE_FILES`), so it costs a
//! stack and a task, and holds no descriptor open that the host has closed. All its signals are
//! blocked, and it leads a session of its own, so neither Ctrl-C nor a kill of the process group
//! ends it before its work is done. It ends when the command has ended, and never outlives both.
#![expect(unsafe_code, reason = "a process that shares memory with the host")]

use std::ffi::{c_int, c_void};
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::report::{Failure, Shared};
use crate::{Step, init, sys};

/// The process; `argument` is a `Shared`.
pub(crate) extern "C" fn supervise(argument: *mut c_void) -> c_int {
    // SAFETY: the host keeps the structure until this process has been reaped.
    let shared = unsafe { &*argument.cast::<Shared>() };
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"sandbox-watch");
    // A host that ignores SIGCHLD would make the kernel throw the exit status away.
    sys::reset_signal_action(libc::SIGCHLD);
    let started = start(shared);
    if let Err(errno) = started {
        shared.fail(Failure { step: Step::Namespaces, index: 0, errno });
    }
    // SAFETY: the host keeps the descriptor open until it has read the event.
    let ready = unsafe { BorrowedFd::borrow_raw(shared.ready) };
    let _ = rustix::io::write(ready, &1_u64.to_ne_bytes());
    if started.is_ok() {
        watch(shared);
    }
    sys::exit(0)
}

/// Returns once the command has executed its program, or ended.
fn start(shared: &Shared) -> Result<(), Errno> {
    // SAFETY: the host keeps the plan until the command has executed its program.
    let namespaces = unsafe { &*shared.plan }.namespaces;
    let flags = namespaces | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let argument = std::ptr::from_ref(shared).cast_mut().cast::<c_void>();
    let clone = |flags| {
        // SAFETY: stack and argument live until the host has seen the event, which is after the
        // process has executed its program or ended; `init::run` never returns.
        unsafe { sys::clone(init::run, shared.stack, flags, argument, shared.pidfd.as_ptr()) }
    };
    match clone(flags) {
        // A kernel without cgroup namespaces.
        Err(Errno::INVAL) => clone(flags & !libc::CLONE_NEWCGROUP),
        other => other,
    }
}

fn watch(shared: &Shared) {
    // SAFETY: the host keeps both descriptors open until this process has been reaped; when the host
    // is dead, the file table is this process's alone.
    let (host, command) = unsafe {
        let command = shared.pidfd.load(Ordering::Relaxed);
        (BorrowedFd::borrow_raw(shared.host), BorrowedFd::borrow_raw(command))
    };
    let mut alive = true;
    loop {
        let mut events = [PollFd::new(&command, PollFlags::IN), PollFd::new(&host, PollFlags::IN)];
        let count = if alive { 2 } else { 1 };
        let _ = poll(&mut events[..count], None);
        if !events[0].revents().is_empty() {
            break;
        }
        if alive && !events[1].revents().is_empty() {
            alive = false;
            let _ = rustix::process::pidfd_send_signal(command, Signal::KILL);
        }
    }
    if let Ok(ended) = sys::wait_for_end(command) {
        shared.ended(&ended);
    }
}
