//! `dfbuild check`.

mod github;
mod json;
mod sarif;
mod text;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use dfbuild::dockerfile::lint::{Level, LintOptions, Problem, Report, lint};
use dfbuild::dockerfile::{Parsed, parse};
use dfbuild::{Diagnostic, DiagnosticKind, Platform, Severity};

use crate::args::{CheckArgs, CheckFormat, KeyValue};
use crate::ignore_file::IgnoreFile;
use crate::source::Source;
use crate::{diagnostics, report};

/// The rule that errors and doubts of the parser go by.
const SYNTAX: &str = "DockerfileSyntax";
/// What it is about.
const SYNTAX_DOC: &str = "The Dockerfile has an error, or very likely means something else";

/// What came of looking at a file.
struct Checked {
    source: Source,
    report: Report,
    /// Errors, and the parser's own doubts.
    diagnostics: Vec<Diagnostic>,
    strict: bool,
}

/// Looks at a Dockerfile.
pub(crate) fn run(args: &CheckArgs, environment: &dyn Fn(&str) -> Option<String>) -> ExitCode {
    let checked = match check(args, environment) {
        Ok(checked) => checked,
        Err(text) => return report::error(&text),
    };
    // Rust's own buffer ends at each line.
    let mut out = BufWriter::new(io::stdout().lock());
    let shown_apart = !checked.diagnostics.is_empty()
        && matches!(args.format, CheckFormat::Text | CheckFormat::Json);
    let written = match args.format {
        CheckFormat::Text => out.write_all(text::render(&checked).as_bytes()),
        CheckFormat::Json => json::write(&mut out, &checked),
        CheckFormat::Sarif => sarif::write(&mut out, &checked),
        CheckFormat::Github => out.write_all(github::render(&checked).as_bytes()),
    };
    // Where nobody reads, the exit code still tells.
    let _ = written.and_then(|()| out.flush());
    if shown_apart {
        let colour = io::stderr().is_terminal() && environment("NO_COLOR").is_none();
        let text = diagnostics::render(&checked.source, &checked.diagnostics, colour);
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
    if checked.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Checked {
    /// How many findings count.
    fn count(&self) -> usize {
        let counts = |level| self.strict || level == Level::Warning;
        let findings = self.report.findings.iter().filter(|finding| counts(finding.level)).count();
        findings + if self.strict { self.doubts().count() } else { 0 }
    }

    /// What the parser takes for a mistake, though it builds.
    fn doubts(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|it| !it.is_error())
    }

    fn is_good(&self) -> bool {
        self.count() == 0
            && self.report.violation.is_none()
            && !self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

fn check(
    args: &CheckArgs,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Checked, String> {
    let is_dockerfile = args.context.is_file() || args.context == Path::new("-");
    let (context, path) = match &args.file {
        Some(file) => (args.context.as_path(), file.clone()),
        // Whoever names a file means it.
        None if is_dockerfile => {
            let folder = args.context.parent().filter(|folder| *folder != Path::new(""));
            (folder.unwrap_or(Path::new(".")), args.context.clone())
        }
        None => (args.context.as_path(), args.context.join("Dockerfile")),
    };
    let source = Source::open(&path, &mut io::stdin().lock())?;
    let on_disk = Some(path.as_path()).filter(|path| *path != Path::new("-"));
    let ignore = IgnoreFile::find(context, on_disk)?;
    let parsed = parse(&source.text);
    let options = LintOptions {
        ignore: ignore.map(|file| file.set).filter(|set| !set.is_empty()),
        compat: args.compat,
        ..options(&args.build_arg, args.target.as_ref(), args.platform.as_ref(), environment)
    };
    let report = lint(&source.text, &parsed, &options);
    let diagnostics = problems(&parsed, report.error.as_ref(), args.compat);
    Ok(Checked { source, report, diagnostics, strict: args.strict })
}

/// What flags say of a build.
pub(crate) fn options(
    build_args: &[KeyValue],
    target: Option<&String>,
    platform: Option<&Platform>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> LintOptions {
    let mut values = BTreeMap::new();
    for argument in build_args {
        if let Some(value) = argument.value.clone().or_else(|| environment(&argument.name)) {
            values.insert(argument.name.clone(), value);
        }
    }
    let host = Platform::host();
    LintOptions {
        build_args: values,
        target: target.cloned(),
        platform: platform.unwrap_or(&host).to_string(),
        build_platform: host.to_string(),
        ..LintOptions::default()
    }
}

/// The errors of a file; if it has none, that which stops its conversion.
fn problems(parsed: &Parsed, error: Option<&Problem>, compat: bool) -> Vec<Diagnostic> {
    // A rule says the same.
    let doubled = |it: &&Diagnostic| it.kind != DiagnosticKind::EmptyContinuation;
    let wanted = |it: &&Diagnostic| it.is_error() || !compat;
    let mut found: Vec<Diagnostic> =
        parsed.diagnostics.iter().filter(doubled).filter(wanted).cloned().collect();
    if !found.iter().any(Diagnostic::is_error)
        && let Some(error) = error
    {
        let kind = DiagnosticKind::Value;
        found.push(Diagnostic::new(Severity::Error, kind, &error.message, error.span));
    }
    found
}
