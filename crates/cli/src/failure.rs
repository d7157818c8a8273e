use std::collections::VecDeque;
use std::io::{self, Write};

use dfbuild::{Error, LineIndex, StepError, with_causes};

use crate::cause::Cause;
use crate::progress::Capture;
use crate::source::Source;
use crate::step::Step;
use crate::{diagnostics, excerpt, meant, reasons};

/// Why there is no image, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// One line.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hints: Vec<String>,
    /// The same for programs.
    pub(crate) cause: Cause,
}

impl Failure {
    /// The words for an error.
    pub(crate) fn of(error: &Error, source: &Source) -> Self {
        Self {
            message: message(error, source),
            hints: hints(error, source.service.as_deref()),
            cause: Cause::of(error, source),
        }
    }

    /// The words for an error of a command that does not build. Errors are written to be read after
    /// "failed to".
    pub(crate) fn outside_build(error: &Error) -> Self {
        let message = format!("failed to {}", with_causes(error));
        Self { message, hints: hints(error, None), ..Self::default() }
    }

    /// Writes the hints and then the message, so that a log ends with it.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for hint in &self.hints {
            writeln!(out, "hint: {hint}")?;
        }
        writeln!(out, "ERROR: {}", self.message)
    }
}

/// Writes a Dockerfile's mistakes: each at its place, then a line for whoever reads the end of a log.
pub(crate) fn write_dockerfile(
    out: &mut impl Write,
    error: &Error,
    source: &Source,
    colour: bool,
) -> io::Result<()> {
    let Error::Dockerfile { diagnostics, .. } = error else { return Ok(()) };
    writeln!(out, "{}\n", diagnostics::render(source, diagnostics, colour))?;
    Failure::of(error, source).write(out)
}

/// Writes what a failed step left: its output, whole unless `shown` says that it was on the screen
/// already, and its place in the Dockerfile.
pub(crate) fn write_step(
    out: &mut impl Write,
    step: &Step,
    output: Capture,
    shown: bool,
    source: &Source,
) -> io::Result<()> {
    /// How much of what was shown is shown again.
    const REPEATED: usize = 20;
    const RULE: &str = "------";
    let mut lines = output.lines().peekable();
    if lines.peek().is_some() {
        writeln!(out, "{RULE}\n > {}:", step.label())?;
        if shown {
            let (count, last) = tail(lines, REPEATED);
            if count > last.len() {
                writeln!(out, "({} lines above)", count - last.len())?;
            }
            last.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        } else {
            lines.try_for_each(|line| writeln!(out, "{line}"))?;
        }
        writeln!(out, "{RULE}")?;
    }
    out.write_all(
        excerpt::of(source, &LineIndex::new(&source.text), step.line..=step.last_line).as_bytes(),
    )
}

/// The number of lines, and the last ones.
fn tail(lines: impl Iterator<Item = String>, keep: usize) -> (usize, VecDeque<String>) {
    let (mut count, mut last) = (0, VecDeque::with_capacity(keep));
    for line in lines {
        count += 1;
        if last.len() == keep {
            last.pop_front();
        }
        last.push_back(line);
    }
    (count, last)
}

fn message(error: &Error, source: &Source) -> String {
    match error {
        Error::Dockerfile { diagnostics, .. } => {
            format!("failed to build: {}", diagnostics::one_line(source, diagnostics))
        }
        Error::Step { step, source } => match &**source {
            StepError::NotCached { reasons } => {
                let why = reasons::line(reasons);
                format!("failed to build from the cache alone: {} is not in it: {why}", step.text)
            }
            source => format!("failed to build: failed to solve: {}", with_causes(source)),
        },
        // These begin with a verb of their own.
        Error::Transfer { .. } | Error::Option { .. } | Error::Context { .. } => {
            format!("failed to {}", with_causes(error))
        }
        Error::Cancelled | Error::TimedOut { .. } => format!("failed to {error}"),
        _ => format!("failed to build: {}", with_causes(error)),
    }
}

/// What to do about it; `service` is the one of a compose file that failed.
fn hints(error: &Error, service: Option<&str>) -> Vec<String> {
    let bomb = || error.is_bomb().then(|| TRUST.to_owned());
    let shell = has_shell(error).then(|| SHELL.to_owned());
    let hints = flag_hint(error, service).into_iter().chain(error.hint());
    let mut hints: Vec<String> = hints.collect();
    if hints.is_empty() {
        hints.extend(bomb().or_else(|| system_hint(error)));
    }
    hints.extend(shell);
    hints
}

/// Whether a command failed that `dfbuild shell` can look at.
pub(crate) fn has_shell(error: &Error) -> bool {
    let Error::Step { source, .. } = error else { return false };
    matches!(**source, StepError::ExitCode { .. } | StepError::Signal { .. })
}

/// How to go on.
const SHELL: &str = "`dfbuild shell` opens a shell where it failed";

/// What to do about an archive that is taken for a bomb.
const TRUST: &str = "--trust-archives unpacks it nevertheless";

/// What flags do about it, of which the library knows nothing.
fn flag_hint(error: &Error, service: Option<&str>) -> Option<String> {
    let source = match error {
        Error::Step { source, .. } => source,
        Error::Context { path, .. } if !path.exists() => return meant::folder(path),
        Error::NoDockerfile { path, .. } => {
            let other = path.with_file_name("Containerfile");
            if other.is_file() {
                return Some(format!("there is a Containerfile: -f {}", other.display()));
            }
            return Some(
                "-f FILE names the Dockerfile, -f - reads it from standard input".to_owned(),
            );
        }
        _ => return None,
    };
    step_hint(source, service)
}

/// What flags, or a compose file, do about a step.
fn step_hint(error: &StepError, service: Option<&str>) -> Option<String> {
    match error {
        StepError::NoSshAgent { id } => {
            Some(format!("give it with --ssh {id}, and SSH_AUTH_SOCK set"))
        }
        StepError::SecretLeak { .. } => Some(
            "remove the file in the same RUN; --secret-leak=warn builds nevertheless".to_owned(),
        ),
        StepError::ExitCode { missing_secrets, .. } if !missing_secrets.is_empty() => {
            let missing = missing_secrets.iter().map(|id| match service {
                Some(service) => format!("secret {id} (`secrets` under `build` of {service})"),
                None => format!("secret {id} (--secret id={id},src=FILE)"),
            });
            Some(format!("not given to it: {}", missing.collect::<Vec<_>>().join(", ")))
        }
        StepError::NotFound { above: true, .. } => Some(
            "`..` does not lead out of it: build with the folder above as context, or give the \
             other folder with --build-context NAME=DIR and copy with --from=NAME"
                .to_owned(),
        ),
        StepError::NoSecret { id } => Some(match service {
            Some(service) => format!(
                "name it in `services.{service}.build.secrets: [{id}]`, and say at the top where it \
                 is: `secrets: {{{id}: {{file: FILE}}}}`, or `environment: NAME`"
            ),
            None => format!("give it with --secret id={id},src=FILE"),
        }),
        _ => None,
    }
}

/// What to do about an answer of the operating system, wherever in the causes it is.
fn system_hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let text = match io_kind(error)? {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some of it, or write elsewhere (--root DIR moves the store)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the store is on a read-only file system, where only what is cached can be built: keep \
             it elsewhere with --root DIR"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What it was made of, if it was made of another error, says more.
        return error.get_ref().and_then(|inner| io_kind(inner)).or(Some(error.kind()));
    }
    io_kind(error.source()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::step;

    fn exit(code: i32) -> Error {
        let source = StepError::ExitCode {
            command: "/bin/sh -c make".into(),
            code,
            missing_secrets: Vec::new(),
            script: None,
        };
        // The step of an error cannot be made here; only its cause is looked at.
        Error::Option { option: source.to_string(), reason: String::new() }
    }

    #[test]
    fn messages() {
        let source = Source::default();
        let not_found = || io::Error::from(io::ErrorKind::NotFound);
        for (error, expect) in [
            (
                Error::NoDockerfile { path: "/x/Dockerfile".into(), source: not_found() },
                "failed to build: read Dockerfile /x/Dockerfile: entity not found",
            ),
            (Error::Cancelled, "failed to finish the build: it was cancelled"),
            (
                Error::Image {
                    name: "base".into(),
                    reason: "no such image".into(),
                    hint: None,
                    line: None,
                    source: None,
                },
                "failed to build: find image base: no such image",
            ),
        ] {
            assert_eq!(message(&error, &source), expect);
        }
        assert!(
            message(&exit(3), &source).contains(
                "process \"/bin/sh -c make\" did not complete successfully: exit code: 3"
            )
        );
    }

    #[test]
    fn secrets_are_given_where_a_build_is_described() {
        let hint = |service| step_hint(&StepError::NoSecret { id: "s".into() }, service);
        assert_eq!(hint(None).unwrap(), "give it with --secret id=s,src=FILE");
        assert_eq!(
            hint(Some("web")).unwrap(),
            "name it in `services.web.build.secrets: [s]`, and say at the top where it is: \
             `secrets: {s: {file: FILE}}`, or `environment: NAME`"
        );
    }

    #[test]
    fn hints_come_before_the_message() {
        let failure =
            Failure { message: "failed".into(), hints: vec!["try".into()], ..Failure::default() };
        let mut out = Vec::new();
        failure.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "hint: try\nERROR: failed\n");
    }

    fn step_text(output: &[u8], shown: bool) -> String {
        let source = Source::standard_input("FROM a\nRUN make\n");
        let mut out = Vec::new();
        let step = step(1, "build", 2, 2, "RUN make");
        write_step(&mut out, &step, Capture::of(output), shown, &source).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failed_step() {
        assert_eq!(
            step_text(b"cc a.c\nerror", true),
            "\
------
 > [build 2/2] RUN make:
cc a.c
error
------
Dockerfile:2
--------------------
   1 |     FROM a
   2 | >>> RUN make
--------------------
"
        );
    }

    #[test]
    fn output_is_whole_where_it_was_not_shown() {
        let long = (1..=30).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        let hidden = step_text(long.as_bytes(), false);
        assert!(hidden.contains("line 1\n") && hidden.contains("line 30\n"));
        let shown = step_text(long.as_bytes(), true);
        assert!(shown.contains("(10 lines above)\nline 11\n") && shown.contains("line 30\n"));
        assert!(!step_text(b"", true).contains("------\n >"));
    }
}
