use seccompiler::{BpfProgram, sock_filter};

use super::profile::{self, NAMESPACE_FLAGS, NEWEST};

/// Docker's profile as one program.
///
/// Native calls: `ENOSYS` for `clone3`, whose flags a filter cannot see, so that the C library falls
/// back to `clone`; `ENOSYS` for numbers beyond the list, as runc does; `EPERM` for what is not on it.
///
/// Calls of 32-bit programs: Docker applies its list to them too. Here the calls which that list
/// leaves out are denied by number, since no table of 32-bit numbers is at hand on a 64-bit build;
/// the numbers have not changed since they were assigned.
pub(super) fn program() -> BpfProgram {
    let foreign = foreign();
    let mut program = vec![load(ARCHITECTURE)];
    // Jump over the foreign part when the call is native.
    program.push(jump_if_equal(NATIVE, u8::try_from(foreign.len()).expect("a short program"), 0));
    program.extend(foreign);
    program.extend(native());
    program
}

/// Few ranges and not many comparisons: the kernel runs the program once for every call number when
/// it is loaded, which was a tenth of the time of a step with one comparison per call.
fn native() -> BpfProgram {
    let mut program = vec![
        load(NUMBER),
        jump_if_equal(CLONE3, 1, 0),
        jump_if_greater(NEWEST, 0, 1),
        errno(libc::ENOSYS),
    ];
    for (first, last) in ranges(profile::allowed()) {
        program.extend([jump_if_at_least(first, 0, 2), jump_if_greater(last, 1, 0), allow()]);
    }
    program.extend([
        jump_if_equal(profile::CLONE, 0, 3),
        load(FIRST_ARGUMENT),
        jump_if_any_bit(NAMESPACE_FLAGS, 1, 0),
        allow(),
        load(NUMBER),
        jump_if_equal(profile::SOCKET, 0, 3),
        load(FIRST_ARGUMENT),
        // The address family of virtual machine sockets is not namespaced.
        jump_if_equal(libc::AF_VSOCK.unsigned_abs(), 1, 0),
        allow(),
        load(NUMBER),
        jump_if_equal(profile::PERSONALITY, 1, 0),
        errno(libc::EPERM),
        load(FIRST_ARGUMENT),
    ]);
    for personality in profile::PERSONALITIES {
        program.extend([jump_if_equal(personality, 0, 1), allow()]);
    }
    program.push(errno(libc::EPERM));
    program
}

/// Consecutive numbers, as first and last.
fn ranges(mut numbers: Vec<u32>) -> Vec<(u32, u32)> {
    numbers.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number <= *last + 1 => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Must not jump beyond its end: a verdict in every branch.
fn foreign() -> BpfProgram {
    let mut program = vec![load(NUMBER)];
    for range in FOREIGN_DENIED {
        let (first, last) = (range.0, range.1);
        if first == last {
            program.extend([jump_if_equal(first, 0, 1), errno(libc::EPERM)]);
        } else {
            program.extend([
                jump_if_at_least(first, 0, 2),
                jump_if_greater(last, 1, 0),
                errno(libc::EPERM),
            ]);
        }
    }
    program.extend([
        jump_if_equal(CLONE3, 1, 0),
        jump_if_greater(NEWEST, 0, 1),
        errno(libc::ENOSYS),
        jump_if_equal(FOREIGN_CLONE, 0, 3),
        load(FIRST_ARGUMENT),
        jump_if_any_bit(NAMESPACE_FLAGS, 0, 1),
        errno(libc::EPERM),
        allow(),
    ]);
    program
}

/// The same on all architectures, as all numbers from 403 on.
const CLONE3: u32 = 435;
/// The same in both 32-bit tables.
const FOREIGN_CLONE: u32 = 120;

/// Ranges of calls that need capabilities which a container does not have, or that are not namespaced.
#[cfg(target_arch = "x86_64")]
const FOREIGN_DENIED: &[(u32, u32)] = &[
    (21, 22),   // mount, umount
    (25, 25),   // stime
    (51, 52),   // acct, umount2
    (74, 74),   // sethostname
    (79, 79),   // settimeofday
    (86, 88),   // uselib, swapon, reboot
    (101, 101), // ioperm
    (103, 103), // syslog
    (110, 111), // iopl, vhangup
    (113, 113), // vm86old
    (115, 115), // swapoff
    (121, 121), // setdomainname
    (127, 131), // create_module, init_module, delete_module, get_kernel_syms, quotactl
    (134, 135), // bdflush, sysfs
    (149, 149), // _sysctl
    (166, 167), // vm86, query_module
    (169, 169), // nfsservctl
    (217, 217), // pivot_root
    (253, 253), // lookup_dcookie
    (264, 264), // clock_settime
    (274, 276), // mbind, get_mempolicy, set_mempolicy
    (283, 283), // kexec_load
    (286, 288), // add_key, request_key, keyctl
    (294, 294), // migrate_pages
    (310, 310), // unshare
    (317, 317), // move_pages
    (336, 336), // perf_event_open
    (338, 338), // fanotify_init
    (342, 342), // open_by_handle_at
    (346, 346), // setns
    (349, 350), // kcmp, finit_module
    (357, 357), // bpf
    (374, 374), // userfaultfd
    (404, 404), // clock_settime64
    (425, 433), // io_uring, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick
    (438, 438), // pidfd_getfd
    (440, 440), // process_madvise
    (442, 443), // mount_setattr, quotactl_fd
    (450, 450), // set_mempolicy_home_node
    (457, 458), // statmount, listmount
];

/// Ranges of calls that need capabilities which a container does not have, or that are not namespaced.
#[cfg(target_arch = "aarch64")]
const FOREIGN_DENIED: &[(u32, u32)] = &[
    (21, 21),   // mount
    (51, 52),   // acct, umount2
    (74, 74),   // sethostname
    (79, 79),   // settimeofday
    (86, 88),   // uselib, swapon, reboot
    (103, 103), // syslog
    (111, 111), // vhangup
    (115, 115), // swapoff
    (121, 121), // setdomainname
    (128, 131), // init_module, delete_module, quotactl
    (134, 135), // bdflush, sysfs
    (149, 149), // _sysctl
    (169, 169), // nfsservctl
    (218, 218), // pivot_root
    (249, 249), // lookup_dcookie
    (262, 262), // clock_settime
    (309, 311), // add_key, request_key, keyctl
    (319, 321), // mbind, get_mempolicy, set_mempolicy
    (337, 337), // unshare
    (344, 344), // move_pages
    (347, 347), // kexec_load
    (364, 364), // perf_event_open
    (367, 367), // fanotify_init
    (371, 371), // open_by_handle_at
    (375, 375), // setns
    (378, 379), // kcmp, finit_module
    (386, 386), // bpf
    (388, 388), // userfaultfd
    (400, 401), // migrate_pages, kexec_file_load
    (404, 404), // clock_settime64
    (425, 433), // io_uring, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick
    (438, 438), // pidfd_getfd
    (440, 440), // process_madvise
    (442, 443), // mount_setattr, quotactl_fd
    (450, 450), // set_mempolicy_home_node
    (457, 458), // statmount, listmount
];

/// The kernel's name of the architecture in `seccomp_data`.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
/// The kernel's name of the architecture in `seccomp_data`.
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// Offsets in `seccomp_data`; the first argument on a little-endian machine, its lower half.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

fn load(offset: u32) -> sock_filter {
    sock_filter { code: 0x20, jt: 0, jf: 0, k: offset }
}

fn jump_if_equal(value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: 0x15, jt: yes, jf: no, k: value }
}

fn jump_if_greater(value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: 0x25, jt: yes, jf: no, k: value }
}

fn jump_if_at_least(value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: 0x35, jt: yes, jf: no, k: value }
}

fn jump_if_any_bit(bits: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: 0x45, jt: yes, jf: no, k: bits }
}

fn errno(number: i32) -> sock_filter {
    sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | number.unsigned_abs() }
}

fn allow() -> sock_filter {
    sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers to a call.
    fn run(program: &[sock_filter], data: [u32; 6]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let instruction = &program[at];
            let test =
                |holds: bool| 1 + usize::from(if holds { instruction.jt } else { instruction.jf });
            at += match instruction.code {
                0x06 => return instruction.k,
                0x20 => {
                    accumulator = data[instruction.k as usize / 4];
                    1
                }
                0x15 => test(accumulator == instruction.k),
                0x25 => test(accumulator > instruction.k),
                0x35 => test(accumulator >= instruction.k),
                0x45 => test(accumulator & instruction.k != 0),
                code => panic!("unknown instruction {code:#x}"),
            };
        }
    }

    #[test]
    fn verdicts() {
        let program = program();
        let check = |number: u32, architecture: u32, argument: u32, expect: u32| {
            let verdict = run(&program, [number, architecture, 0, 0, argument, 0]);
            assert_eq!(verdict, expect, "call {number} of {architecture:#x}");
        };
        let allowed = libc::SECCOMP_RET_ALLOW;
        let error = |number: i32| libc::SECCOMP_RET_ERRNO | number.unsigned_abs();
        let foreign = 0x4000_0003;
        check(0, NATIVE, 0, allowed);
        check(NEWEST, NATIVE, 0, allowed);
        check(NEWEST + 1, NATIVE, 0, error(libc::ENOSYS));
        check(0x4000_0001, NATIVE, 0, error(libc::ENOSYS));
        check(CLONE3, NATIVE, 0, error(libc::ENOSYS));
        check(CLONE3, foreign, 0, error(libc::ENOSYS));
        check(NEWEST + 1, foreign, 0, error(libc::ENOSYS));
        for (first, last) in FOREIGN_DENIED {
            for number in *first..=*last {
                check(number, foreign, 0, error(libc::EPERM));
            }
        }
        for number in profile::allowed() {
            check(number, NATIVE, 0, allowed);
        }
        let denied = [libc::SYS_mount, libc::SYS_bpf, libc::SYS_unshare, libc::SYS_keyctl, 425];
        for number in denied {
            check(number.try_into().unwrap(), NATIVE, 0, error(libc::EPERM));
        }
        check(profile::CLONE, NATIVE, 0x11, allowed);
        check(profile::CLONE, NATIVE, 0x1000_0011, error(libc::EPERM));
        check(profile::SOCKET, NATIVE, 2, allowed);
        check(profile::SOCKET, NATIVE, 40, error(libc::EPERM));
        check(profile::PERSONALITY, NATIVE, 8, allowed);
        check(profile::PERSONALITY, NATIVE, u32::MAX, allowed);
        check(profile::PERSONALITY, NATIVE, 1, error(libc::EPERM));
        check(4, foreign, 0, allowed);
        check(20, foreign, 0, allowed);
        check(434, foreign, 0, allowed);
        check(FOREIGN_CLONE, foreign, 0x11, allowed);
        check(FOREIGN_CLONE, foreign, 0x1000_0011, error(libc::EPERM));
    }
}
