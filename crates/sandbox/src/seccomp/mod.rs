//! System call filters.
//!
//! The compiled programs are constants of the architecture; compiling takes longer than the rest of a
//! step's preparation, so they are kept for the life of the process.

mod docker;
mod profile;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// Docker's default profile.
pub(crate) fn docker() -> &'static [sock_filter] {
    // Immutable once made, the same for every caller: not state.
    static DOCKER: OnceLock<BpfProgram> = OnceLock::new();
    DOCKER.get_or_init(docker::program)
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
/// filter of seccompiler. That would kill 32-bit programs, which `docker` looks after.
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
        for program in [docker(), root_emulation()] {
            assert!(program.len() > 10 && program.len() <= 4096, "{}", program.len());
        }
    }
}
