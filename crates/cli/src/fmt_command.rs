use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use dfbuild::Diagnostic;
use dfbuild::dockerfile::format::format;
use dfbuild::dockerfile::tree;
use similar::Algorithm;
use similar::udiff::unified_diff;

use crate::args::FmtArgs;
use crate::source::{Source, dockerfile_at};
use crate::{diagnostics, report};

/// Formats a Dockerfile.
pub(crate) fn run(args: &FmtArgs) -> ExitCode {
    let source = match Source::open(&args.file, &mut io::stdin().lock()) {
        Ok(source) => source,
        Err(text) => return report::error(&text),
    };
    let mut diagnostics = tree(&source.text).diagnostics;
    diagnostics.retain(Diagnostic::is_error);
    if !diagnostics.is_empty() {
        let text = diagnostics::render(&source, &diagnostics, io::stderr().is_terminal());
        let _ = writeln!(io::stderr().lock(), "{text}");
        return ExitCode::FAILURE;
    }
    let formatted = format(&source.text);
    let changes = formatted != source.text;
    if args.check || args.diff {
        if !changes {
            return ExitCode::SUCCESS;
        }
        let text = if args.diff {
            patch(&source.name, &source.text, &formatted)
        } else {
            format!("{}\n", source.name)
        };
        let _ = io::stdout().lock().write_all(text.as_bytes());
        return ExitCode::FAILURE;
    }
    if args.write && args.file != Path::new("-") {
        return if changes {
            write(&dockerfile_at(&args.file), &source.text, &formatted)
        } else {
            ExitCode::SUCCESS
        };
    }
    let mut out = io::stdout().lock();
    let _ = out.write_all(formatted.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

/// What `patch` takes.
fn patch(name: &str, read: &str, formatted: &str) -> String {
    const CONTEXT: usize = 3;
    unified_diff(Algorithm::Myers, read, formatted, CONTEXT, Some((name, name)))
}

/// Writes the file, unless what was read of it is not all that it holds.
fn write(path: &Path, read: &str, formatted: &str) -> ExitCode {
    match fs::read(path) {
        Ok(bytes) if bytes == read.as_bytes() => {}
        Ok(_) => {
            return report::error(&format!("{} is not UTF-8: it stays as it is", path.display()));
        }
        Err(error) => return report::error(&format!("read {}: {error}", path.display())),
    }
    match fs::write(path, formatted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::error(&format!("write {}: {error}", path.display())),
    }
}
