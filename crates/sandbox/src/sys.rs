//! System calls that rustix has no function for, without `errno`.
//!
//! The supervisor runs beside the thread whose thread-local storage it inherited, so nothing here
//! may touch thread-local storage; that rules out the wrappers of the C library.
#![expect(unsafe_code, reason = "raw system calls")]

use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// Makes a system call with up to six arguments.
///
/// # Safety
///
/// The arguments have to be valid for the call: pointers point to live memory of the right size.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    let result: usize;
    // SAFETY: the convention of the kernel: rcx and r11 are clobbered, the result is in rax; the
    // caller vouches for the arguments.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    check(result)
}

/// Makes a system call with up to six arguments.
///
/// # Safety
///
/// The arguments have to be valid for the call: pointers point to live memory of the right size.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    let result: usize;
    // SAFETY: the convention of the kernel: the number is in x8, the result in x0; the caller vouches
    // for the arguments.
    unsafe {
        std::arch::asm!("svc 0", in("x8") number, inlateout("x0") args[0] => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3],
            in("x4") args[4], in("x5") args[5], options(nostack));
    }
    check(result)
}

/// The last page of the address space stands for error numbers.
fn check(result: usize) -> Result<usize, Errno> {
    match i32::try_from(result.wrapping_neg()) {
        Ok(number @ 1..4096) => Err(Errno::from_raw_os_error(number)),
        _ => Ok(result),
    }
}

fn word(fd: RawFd) -> usize {
    (fd as isize).cast_unsigned()
}

/// Ends the calling process.
pub(crate) fn exit(code: c_int) -> ! {
    loop {
        // SAFETY: takes no pointer.
        let _ = unsafe { syscall(libc::SYS_exit_group, [word(code), 0, 0, 0, 0, 0]) };
    }
}

/// Sets one attribute set on a mount; `recursive` for all below it.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a C string and the structure is passed with its size.
    unsafe {
        syscall(
            libc::SYS_mount_setattr,
            [
                word(mount.as_raw_fd()),
                c"".as_ptr() as usize,
                word(flags),
                (&raw const attr) as usize,
                size_of::<libc::mount_attr>(),
                0,
            ],
        )?;
    }
    Ok(())
}

/// Closes all descriptors from `first` on.
pub(crate) fn close_from(first: RawFd) {
    let last = u32::MAX as usize;
    // SAFETY: takes no pointer; the caller is a process about to execute a program.
    let done = unsafe { syscall(libc::SYS_close_range, [word(first), last, 0, 0, 0, 0]) };
    if done.is_err() {
        for fd in first..1024 {
            close(fd);
        }
    }
}

/// Closes a descriptor of the sandbox process.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: takes no pointer.
    let _ = unsafe { syscall(libc::SYS_close, [word(fd), 0, 0, 0, 0, 0]) };
}

/// Makes `to` a copy of `from`, which differ; the copy survives `execve`.
pub(crate) fn dup_to(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    unsafe { syscall(libc::SYS_dup3, [word(from), word(to), 0, 0, 0, 0]) }.map(drop)
}

/// Gives up ownership: the sandbox process closes all its descriptors at once before it executes.
pub(crate) fn keep(fd: OwnedFd) -> BorrowedFd<'static> {
    // SAFETY: the descriptor stays open until `close_from` or `close`, after which it is not used.
    unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) }
}

/// A set of signals as the kernel has it: signal n is bit n-1.
pub(crate) type SignalSet = u64;

/// Replaces the signal mask of this thread and returns the one before.
pub(crate) fn set_signal_mask(set: SignalSet) -> SignalSet {
    let mut old: SignalSet = 0;
    // SAFETY: both sets live and have the size that is passed.
    let _ = unsafe {
        syscall(
            libc::SYS_rt_sigprocmask,
            [
                word(libc::SIG_SETMASK),
                (&raw const set) as usize,
                (&raw mut old) as usize,
                size_of::<SignalSet>(),
                0,
                0,
            ],
        )
    };
    old
}

/// Gives all signals their default action, ignored ones too.
pub(crate) fn reset_signal_actions() {
    for signal in 1..=64 {
        reset_signal_action(signal);
    }
}

/// Gives a signal its default action.
pub(crate) fn reset_signal_action(signal: c_int) {
    // The kernel's own structure: handler, flags, restorer, mask; all zero is the default action.
    let action = [0_u64; 4];
    // SAFETY: the action has the kernel's size; SIGKILL and SIGSTOP give EINVAL, which is fine.
    let _ = unsafe {
        syscall(
            libc::SYS_rt_sigaction,
            [word(signal), action.as_ptr() as usize, 0, size_of::<SignalSet>(), 0, 0],
        )
    };
}

/// Calls `prctl` with two arguments that are not pointers.
pub(crate) fn prctl(option: c_int, value: usize) -> Result<usize, Errno> {
    // SAFETY: only options without pointers are used.
    unsafe { syscall(libc::SYS_prctl, [word(option), value, 0, 0, 0, 0]) }
}

/// Sets the file mode creation mask.
pub(crate) fn umask(mask: u32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { syscall(libc::SYS_umask, [mask as usize, 0, 0, 0, 0, 0]) };
}

/// Sets a resource limit; one that may not be raised is set as high as it may be.
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    match prlimit(resource, Some([soft, hard])) {
        Err(Errno::PERM) => {
            let [_, limit] = prlimit(resource, None)?;
            prlimit(resource, Some([soft.min(limit), hard.min(limit)])).map(drop)
        }
        other => other.map(drop),
    }
}

fn prlimit(resource: u32, new: Option<[u64; 2]>) -> Result<[u64; 2], Errno> {
    let mut old = [0_u64; 2];
    let pointer = new.as_ref().map_or(0, |limits| limits.as_ptr() as usize);
    // SAFETY: both structures live and have the layout of `rlimit64`.
    unsafe {
        syscall(
            libc::SYS_prlimit64,
            [0, resource as usize, pointer, old.as_mut_ptr() as usize, 0, 0],
        )?;
    }
    Ok(old)
}

/// How a process ended, and the processor time that it and those it waited for took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// `si_code`.
    pub(crate) code: c_int,
    /// `si_status`.
    pub(crate) status: c_int,
    /// In microseconds, as the next one.
    pub(crate) user: u64,
    pub(crate) system: u64,
}

/// The kernel's own `waitid`, which also says what the process took (waitid(2), "C library/kernel
/// differences").
pub(crate) fn wait_for_end(process: BorrowedFd<'_>) -> Result<Ended, Errno> {
    // SAFETY: both are structures of integers and of a union of such.
    let (mut info, mut usage) =
        unsafe { (std::mem::zeroed::<libc::siginfo_t>(), std::mem::zeroed::<libc::rusage>()) };
    // SAFETY: both structures live and are the kernel's.
    unsafe {
        syscall(
            libc::SYS_waitid,
            [
                libc::P_PIDFD as usize,
                word(process.as_raw_fd()),
                (&raw mut info) as usize,
                word(libc::WEXITED),
                (&raw mut usage) as usize,
                0,
            ],
        )?;
    }
    let micros = |time: libc::timeval| {
        let part = |part: i64| u64::try_from(part).unwrap_or(0);
        part(time.tv_sec) * 1_000_000 + part(time.tv_usec)
    };
    // SAFETY: what `waitid` fills in is about a child.
    let status = unsafe { info.si_status() };
    let (user, system) = (micros(usage.ru_utime), micros(usage.ru_stime));
    Ok(Ended { code: info.si_code, status, user, system })
}

/// Executes a program; returns only the error.
///
/// # Safety
///
/// `args` and `env` point to arrays of C strings that end with a null pointer.
pub(crate) unsafe fn execve(
    path: &CStr,
    args: *const *const libc::c_char,
    env: *const *const libc::c_char,
) -> Errno {
    // SAFETY: the caller vouches for the arrays.
    let result = unsafe {
        syscall(libc::SYS_execve, [path.as_ptr() as usize, args as usize, env as usize, 0, 0, 0])
    };
    result.err().unwrap_or(Errno::IO)
}

/// `SIOCSIFFLAGS`.
const SET_INTERFACE_FLAGS: usize = 0x8914;

/// Brings the loopback interface of the current network namespace up.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    let socket = unsafe {
        syscall(
            libc::SYS_socket,
            [word(libc::AF_INET), word(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC), 0, 0, 0, 0],
        )?
    };
    // The structure `ifreq`: a name of 16 bytes, then a union of 24 bytes that begins with the flags.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    let up = u16::try_from(libc::IFF_UP).expect("the flag is 1");
    request[16..18].copy_from_slice(&up.to_ne_bytes());
    // SAFETY: the request has the size of `ifreq`.
    unsafe {
        syscall(
            libc::SYS_ioctl,
            [socket, SET_INTERFACE_FLAGS, request.as_ptr() as usize, 0, 0, 0],
        )?;
    }
    Ok(())
}

/// Starts a process that runs `entry(argument)` on `stack` and shares this memory.
///
/// # Safety
///
/// `flags` contain `CLONE_VM`. `stack` and `argument` outlive the process, or its `execve`. `entry`
/// follows the rules of this module and never returns.
pub(crate) unsafe fn clone(
    entry: extern "C" fn(*mut c_void) -> c_int,
    stack: *mut c_void,
    flags: c_int,
    argument: *mut c_void,
    pidfd: *mut c_int,
) -> Result<(), Errno> {
    // SAFETY: the caller vouches for the memory. The wrapper of the C library is used because it
    // knows how to start a function on another stack; it writes `errno` only when it fails, while
    // the thread that owns the storage is waiting.
    let pid = unsafe { libc::clone(entry, stack, flags, argument, pidfd) };
    if pid < 0 {
        return Err(last_error());
    }
    Ok(())
}

fn last_error() -> Errno {
    let error = std::io::Error::last_os_error();
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Formats `/proc/self/fd/N` without allocating.
pub(crate) struct FdPath {
    bytes: [u8; 32],
    length: usize,
}

impl FdPath {
    pub(crate) fn new(fd: RawFd) -> Self {
        let mut path = Self { bytes: [0; 32], length: 0 };
        path.push(b"/proc/self/fd/");
        let mut digits = [0_u8; 10];
        let mut count = 0;
        let mut rest = fd.unsigned_abs();
        loop {
            digits[count] = b'0' + u8::try_from(rest % 10).expect("a digit");
            count += 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        for index in (0..count).rev() {
            path.push(&digits[index..=index]);
        }
        path
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).expect("the rest of the buffer is zero")
    }
}

/// A stack with a guard page below it.
#[derive(Debug)]
pub(crate) struct Stack {
    base: *mut c_void,
    size: usize,
}

/// The largest page size of the supported architectures.
const GUARD: usize = 64 << 10;

impl Stack {
    /// Maps a stack of `size` bytes; pages cost something only once they are touched.
    pub(crate) fn new(size: usize) -> Result<Self, Errno> {
        let size = size + GUARD;
        // SAFETY: a new anonymous mapping touches no other memory.
        let base = unsafe {
            syscall(
                libc::SYS_mmap,
                [
                    0,
                    size,
                    word(libc::PROT_READ | libc::PROT_WRITE),
                    word(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE),
                    usize::MAX,
                    0,
                ],
            )?
        };
        let stack = Self { base: base as *mut c_void, size };
        // SAFETY: the range is the lower end of the mapping above.
        unsafe {
            syscall(libc::SYS_mprotect, [base, GUARD, word(libc::PROT_NONE), 0, 0, 0])?;
        }
        Ok(stack)
    }

    /// Where the stack begins: it grows down.
    pub(crate) fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(self.size)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours; whoever used it as a stack has ended.
        let _ = unsafe { syscall(libc::SYS_munmap, [self.base as usize, self.size, 0, 0, 0, 0]) };
    }
}

// SAFETY: a stack is memory that nobody refers to but the process that runs on it.
unsafe impl Send for Stack {}
// SAFETY: as above.
unsafe impl Sync for Stack {}
