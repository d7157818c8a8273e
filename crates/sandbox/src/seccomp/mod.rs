//! System call filters.
//!
//! Two filters make Docker's profile, because a filter of seccompiler has one action for what it
//! matches: the list of what is allowed, and one in front of it that answers `ENOSYS` to `clone3` (whose
//! flags a filter cannot see, so that the C library falls back to `clone`) and to calls newer than the
//! list (as runc does), and that looks after 32-bit programs.
//!
//! The compiled programs are constants of the architecture; compiling takes longer than the rest of a
//! step's preparation, so they are kept for the life of the process.

mod compat;
mod profile;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// Docker's default profile, to be loaded in this order.
pub(crate) fn docker() -> [&'static [sock_filter]; 2] {
    // Immutable once made, the same for every caller: not state.
    static ALLOWED: OnceLock<BpfProgram> = OnceLock::new();
    static COMPAT: OnceLock<BpfProgram> = OnceLock::new();
    [
        ALLOWED.get_or_init(|| {
            let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
            compile(profile::allowed(), denied, SeccompAction::Allow)
        }),
        COMPAT.get_or_init(compat::program),
    ]
}

/// Pretends that calls which need more than one id have worked, as Charliecloud does.
///
/// With a single mapped id every change of an owner or of ids fails, and so do device nodes. Package
/// managers take that for a fatal error although nothing they do depends on it. Calls that would look
/// at the result (`stat`, `getuid`) see that nothing has happened. 32-bit programs get no emulation.
pub(crate) fn root_emulation() -> &'static [sock_filter] {
    static EMULATION: OnceLock<BpfProgram> = OnceLock::new();
    EMULATION
        .get_or_init(|| compile(profile::emulated(), SeccompAction::Allow, SeccompAction::Errno(0)))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> BpfProgram {
    let filter = SeccompFilter::new(rules, otherwise, matched, architecture());
    let program = filter.and_then(BpfProgram::try_from).expect("the rules are constant and fit");
    leave_other_architectures(program)
}

/// Loads the architecture of a call, compares it, kills the process if it is another: so begins a
/// filter of seccompiler. That would kill 32-bit programs; `compat` is there for them.
fn leave_other_architectures(mut program: BpfProgram) -> BpfProgram {
    const ARCHITECTURE_CHECK_FAILED: usize = 2;
    const RETURN: u16 = 0x06;
    let verdict = &mut program[ARCHITECTURE_CHECK_FAILED];
    assert!(
        verdict.code == RETURN && verdict.k == libc::SECCOMP_RET_KILL_PROCESS,
        "seccompiler is pinned to a version that begins a filter so"
    );
    verdict.k = libc::SECCOMP_RET_ALLOW;
    program
}

fn architecture() -> TargetArch {
    if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 }
}

/// One comparison of the lower half of an argument.
fn argument(index: u8, operator: SeccompCmpOp, value: u32) -> SeccompRule {
    let condition =
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, u64::from(value));
    condition
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .expect("a system call has six arguments")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_compile_and_fit() {
        for program in docker().into_iter().chain([root_emulation()]) {
            assert!(program.len() > 10 && program.len() <= 4096, "{}", program.len());
        }
    }
}
