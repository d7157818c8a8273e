//! Capabilities, ids and system call filters of the command.
#![expect(unsafe_code, reason = "raw system calls")]

use std::ffi::c_int;

use rustix::io::Errno;
use seccompiler::sock_filter;

use crate::plan::Plan;
use crate::report::Failure;
use crate::{Step, sys};

/// The 14 capabilities of a Docker container: chown, `dac_override`, fowner, fsetid, kill, setgid,
/// setuid, setpcap, `net_bind_service`, `net_raw`, `sys_chroot`, mknod, `audit_write`, setfcap.
pub(crate) const DOCKER_CAPABILITIES: u64 = 0xa804_25fb;

/// Becomes what the command is to be, with `no_new_privs` left off as Docker has it.
pub(crate) fn take(plan: &Plan) -> Result<(), Failure> {
    if !plan.insecure {
        drop_bounding_set().map_err(Failure::at(Step::Capabilities))?;
    }
    // Without `no_new_privs` loading a filter takes CAP_SYS_ADMIN, so it comes before the rest; the
    // filters allow all that follows.
    for filter in &plan.filters {
        load(filter).map_err(Failure::at(Step::Seccomp))?;
    }
    if let Some(groups) = &plan.groups {
        set_groups(groups).map_err(Failure::at(Step::Groups))?;
    }
    set_ids(libc::SYS_setresgid, plan.gid).map_err(Failure::at(Step::User))?;
    // Leaving uid 0 clears the effective and permitted sets.
    set_ids(libc::SYS_setresuid, plan.uid).map_err(Failure::at(Step::User))?;
    if plan.uid == 0 && !plan.insecure {
        set_capabilities(DOCKER_CAPABILITIES).map_err(Failure::at(Step::Capabilities))?;
    }
    Ok(())
}

fn drop_bounding_set() -> Result<(), Errno> {
    for capability in 0..64 {
        if DOCKER_CAPABILITIES & (1 << capability) != 0 {
            continue;
        }
        match sys::prctl(libc::PR_CAPBSET_DROP, capability) {
            // The kernel knows no more.
            Err(Errno::INVAL) => break,
            other => other?,
        };
    }
    // Nothing may come back through the ambient set of the host.
    let _ = sys::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as usize);
    Ok(())
}

fn load(filter: &[sock_filter]) -> Result<(), Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut().cast() };
    // SAFETY: the program and its instructions, which have the kernel's layout, live.
    unsafe {
        sys::syscall(
            libc::SYS_seccomp,
            [libc::SECCOMP_SET_MODE_FILTER as usize, 0, (&raw const program) as usize, 0, 0, 0],
        )?;
    }
    Ok(())
}

fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the array lives and has that many elements.
    unsafe {
        sys::syscall(libc::SYS_setgroups, [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0])?;
    }
    Ok(())
}

fn set_ids(call: libc::c_long, id: u32) -> Result<(), Errno> {
    let id = id as usize;
    // SAFETY: takes no pointer.
    unsafe { sys::syscall(call, [id, id, id, 0, 0, 0]) }.map(drop)
}

/// Keeps those of `wanted` that this process has.
fn set_capabilities(wanted: u64) -> Result<(), Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    // Effective, permitted and inheritable, first the lower halves.
    let mut sets = [[0_u32; 3]; 2];
    let call = |number, sets: *mut [u32; 3]| {
        // SAFETY: header and sets live and have the layout of the kernel's version 3.
        unsafe { sys::syscall(number, [(&raw const header) as usize, sets as usize, 0, 0, 0, 0]) }
    };
    call(libc::SYS_capget, sets.as_mut_ptr())?;
    for (index, set) in sets.iter_mut().enumerate() {
        let half = u32::try_from((wanted >> (32 * index)) & 0xffff_ffff).expect("32 bits");
        let allowed = set[1] & half;
        *set = [allowed, allowed, 0];
    }
    call(libc::SYS_capset, sets.as_mut_ptr()).map(drop)
}
