/// What the exit code of a command means, where it has a meaning that people look for.
///
/// ```
/// let text = dfbuild::explain_exit_code(127).unwrap();
/// assert!(text.contains("not in the image or not in PATH"));
/// assert_eq!(dfbuild::explain_exit_code(1), None);
/// ```
pub fn explain_exit_code(code: i32) -> Option<String> {
    match code {
        126 => Some(
            "exit code 126: the program is there, but cannot be executed: its mode, its `#!` line, \
             or it is for another processor"
                .to_owned(),
        ),
        127 => Some(
            "exit code 127: the program, or the interpreter or loader that it names, is not in \
             the image or not in PATH"
                .to_owned(),
        ),
        129..=159 => {
            let signal = code - 128;
            let text = explain_signal(signal)?;
            Some(format!("exit code {code} is 128 + {signal}: {text}"))
        }
        _ => None,
    }
}

/// What a signal that killed a command means.
///
/// ```
/// let text = dfbuild::explain_signal(9).unwrap();
/// assert!(text.contains("very likely because memory ran out"));
/// ```
pub fn explain_signal(signal: i32) -> Option<String> {
    let text = match signal {
        1 => "SIGHUP: the terminal went away",
        2 => "SIGINT: interrupted",
        4 => "SIGILL: an instruction that this processor does not have",
        6 => "SIGABRT: the program gave up by itself",
        7 => "SIGBUS: a file that it had mapped was cut short, or /dev/shm is full (shm-size)",
        8 => "SIGFPE: an arithmetic error",
        9 => "SIGKILL: killed from outside, very likely because memory ran out",
        11 => "SIGSEGV: the program crashed",
        13 => "SIGPIPE: it wrote to a pipe that nobody reads",
        15 => "SIGTERM: told to end",
        24 => "SIGXCPU: over the limit of processor time (ulimit cpu)",
        25 => "SIGXFSZ: over the limit of file size (ulimit fsize)",
        31 => "SIGSYS: a system call that is not allowed",
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StepError;

    #[test]
    fn a_failed_command_has_a_hint() {
        let failed = |code| StepError::ExitCode {
            command: "x".into(),
            code,
            missing_secrets: Vec::new(),
            script: None,
        };
        assert!(failed(137).hint().unwrap().contains("memory"));
        assert_eq!(failed(1).hint(), None);
        let killed = StepError::Signal { command: "x".into(), signal: 11 };
        assert!(killed.hint().unwrap().contains("crashed"));
    }

    #[test]
    fn codes() {
        assert!(explain_exit_code(137).unwrap().starts_with("exit code 137 is 128 + 9: SIGKILL"));
        assert!(explain_exit_code(127).unwrap().contains("not in PATH"));
        assert!(explain_exit_code(126).unwrap().contains("cannot be executed"));
        assert!(explain_signal(9).unwrap().contains("memory"));
        for code in [1, 2, 100, 128, 160, 255] {
            assert_eq!(explain_exit_code(code), None, "{code}");
        }
    }
}
