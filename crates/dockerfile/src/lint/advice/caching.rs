//! `ArgTooEarly` and `CopyBeforeInstall`: steps that run again for no reason.

use super::shell::Call;
use super::{ARG_TOO_EARLY, COPY_BEFORE_INSTALL, Step, found};
use crate::ast::{InstructionKind, Source};
use crate::lint::linter::Linter;

pub(super) fn check(linter: &mut Linter, steps: &[Step]) {
    for (at, step) in steps.iter().enumerate() {
        arg_too_early(linter, step, &steps[at + 1..]);
        copy_before_install(linter, step, &steps[at + 1..]);
    }
}

/// An argument with steps between it and its first use.
fn arg_too_early(linter: &mut Linter, step: &Step, below: &[Step]) {
    let InstructionKind::Arg(arg) = &step.instruction.kind else { return };
    for declaration in &arg.declarations {
        let name = declaration.name.as_str();
        // The platform is the same for all builds that share a cache.
        if name.starts_with("TARGET") || name.starts_with("BUILD") {
            continue;
        }
        // Nobody knows which commands look at an argument that nothing names.
        let Some(first_use) = below.iter().position(|it| mentions(it, name)) else { continue };
        let between = below[..first_use].iter().filter(|it| it.run().is_some()).count();
        if between == 0 {
            continue;
        }
        let line = below[first_use].instruction.lines.start;
        let steps = if between == 1 { "RUN" } else { "RUNs" };
        let detail = format!(
            "ARG {name} is first used in line {line}, but {between} {steps} in between will run again when its value changes"
        );
        let help = format!("move it down to right above line {line}");
        let mut finding = found(ARG_TOO_EARLY, step.instruction, detail, help);
        finding.span = declaration.name.span;
        linter.advise(step.instruction.comments, finding);
    }
}

/// Whether an instruction has the name as a word of its own.
fn mentions(step: &Step, name: &str) -> bool {
    let in_text = |text: &str| {
        text.match_indices(name).any(|(at, _)| {
            let is_word = |it: char| it.is_alphanumeric() || it == '_';
            !text[..at].ends_with(is_word) && !text[at + name.len()..].starts_with(is_word)
        })
    };
    let heredocs = match &step.instruction.kind {
        InstructionKind::Run(run) => run.heredocs.iter().any(|it| in_text(&it.content)),
        InstructionKind::Copy(copy) => copy.sources.iter().any(|it| match it {
            Source::Heredoc(heredoc) => in_text(&heredoc.content),
            Source::Path(_) => false,
        }),
        _ => false,
    };
    heredocs || in_text(&step.instruction.original.text())
}

/// Everything is copied, and dependencies are installed after that.
fn copy_before_install(linter: &mut Linter, step: &Step, below: &[Step]) {
    let sources = match &step.instruction.kind {
        InstructionKind::Copy(copy) if copy.from().is_none() => &copy.sources,
        InstructionKind::Add(add) => &add.sources,
        _ => return,
    };
    let whole = |source: &Source| match source {
        Source::Path(path) => matches!(path.as_str(), "." | "./" | "/" | "./." | "*" | "./*"),
        Source::Heredoc(_) => false,
    };
    if !sources.iter().any(whole) {
        return;
    }
    let install = below.iter().find_map(|it| Some((it, it.calls.iter().find_map(installs)?)));
    let Some((install, (what, manifest))) = install else { return };
    let line = install.instruction.lines.start;
    let detail = format!(
        "All files are copied before `{what}` in line {line}, which any change of them repeats"
    );
    let help = match manifest {
        Some(manifest) => format!("copy {manifest} alone first, then install, then copy the rest"),
        None => format!("move line {line} above the copy: it does not need the files"),
    };
    linter.advise(
        step.instruction.comments,
        found(COPY_BEFORE_INSTALL, step.instruction, detail, help),
    );
}

/// What a command installs dependencies with, and the files it takes them from.
fn installs(call: &Call) -> Option<(String, Option<&'static str>)> {
    let first = call.operands().next().unwrap_or_default();
    let second = call.operands().nth(1).unwrap_or_default();
    let what = || format!("{} {first}", call.program);
    let manifest = match (call.program.as_str(), first) {
        ("pip" | "pip3", "install") if call.has_option(&["-r", "--requirement"]) => {
            "requirements.txt"
        }
        ("npm", "install" | "ci" | "i") if second.is_empty() => {
            "package.json and package-lock.json"
        }
        ("yarn", "" | "install") => "package.json and yarn.lock",
        ("pnpm", "install" | "i" | "fetch") if second.is_empty() => {
            "package.json and pnpm-lock.yaml"
        }
        ("bun", "install") if second.is_empty() => "package.json and bun.lock",
        ("composer", "install") => "composer.json and composer.lock",
        ("bundle", "install") => "Gemfile and Gemfile.lock",
        ("go", "mod") if second == "download" => "go.mod and go.sum",
        ("cargo", "fetch") => "Cargo.toml and Cargo.lock",
        ("poetry", "install") => "pyproject.toml and poetry.lock",
        ("uv", "sync") => "pyproject.toml and uv.lock",
        ("pipenv", "install" | "sync") => "Pipfile and Pipfile.lock",
        ("dotnet", "restore") => "the project files",
        ("mvn", "dependency:go-offline" | "dependency:resolve") => "pom.xml",
        ("apt-get" | "apt" | "dnf" | "yum" | "microdnf", "install") | ("apk", "add") => {
            // A package from the context needs it.
            let local = call.operands().any(|it| it.contains('/') || it.starts_with('.'));
            return if local { None } else { Some((what(), None)) };
        }
        _ => return None,
    };
    let what = if first.is_empty() { call.program.clone() } else { what() };
    Some((what, Some(manifest)))
}
