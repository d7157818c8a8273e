//! `dfbuild compose`: the images of a compose file, in one run.

mod command_line;
mod files;
mod images;
mod joined;
mod order;
mod run;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use dfbuild_compose::Service;

use crate::args::{ComposeArgs, ProgressArg, docker_verb};
use crate::report;
use files::{Files, did_you_mean};

/// Builds the services.
pub(crate) fn run(args: &ComposeArgs, root: PathBuf, debug: bool) -> ExitCode {
    let files = match Files::read(args, &|name| std::env::var(name).ok()) {
        Ok(files) => files,
        Err(text) => return report::error(&text),
    };
    let is_quiet = args.transfer.quiet || args.transfer.progress == ProgressArg::Quiet;
    let mut notices: Vec<String> = files.project.notices.iter().filter_map(files::text).collect();
    if is_quiet {
        // As with docker compose, which does not keep quiet about its file.
        tell(&std::mem::take(&mut notices));
    }
    notices.extend(args.docker.notices());
    let wanted = wanted(args, &files, &mut notices);
    if (args.print || wanted.is_err()) && !is_quiet {
        tell(&notices);
    }
    match wanted {
        Ok(wanted) if args.print => print(args, &files, &wanted),
        Ok(wanted) => run::build(args, &files, (wanted, &notices), root, debug),
        Err(text) => report::error(&text),
    }
}

fn tell(notices: &[String]) {
    for text in notices {
        let _ = writeln!(io::stderr().lock(), "notice: {text}");
    }
}

/// The services that were asked for, and those whose images they name as contexts.
fn wanted(
    args: &ComposeArgs,
    files: &Files,
    notices: &mut Vec<String>,
) -> Result<BTreeSet<String>, String> {
    let services = &files.project.services;
    let mut names: Vec<&str> = args.services.iter().map(String::as_str).collect();
    // `docker compose build web`.
    if names.first() == Some(&"build") && !services.contains_key("build") {
        names.remove(0);
    }
    let first = names.first().filter(|name| !services.contains_key(**name));
    if let Some(text) = first.and_then(|name| docker_verb(name)) {
        return Err(text);
    }
    if services.is_empty() {
        return Err(format!("there are no services in {}", files.names));
    }
    let mut rest: Vec<String> = if names.is_empty() {
        let active =
            |service: &&Service| service.build.is_some() && service.is_active(&files.profiles);
        services.values().filter(active).map(|service| service.name.clone()).collect()
    } else {
        names.into_iter().map(str::to_owned).collect()
    };
    if rest.is_empty() {
        return Err(format!("there is no service with a `build` section in {}", files.names));
    }
    let mut wanted = BTreeSet::new();
    for name in &rest {
        if services.get(name).is_some_and(|service| service.build.is_none()) {
            notices.push(format!(
                "{name} has no `build` section: its image is pulled by whoever runs it"
            ));
        }
    }
    while let Some(name) = rest.pop() {
        let Some(service) = services.get(&name) else {
            let known: Vec<_> = services.keys().map(String::as_str).collect();
            let meant = did_you_mean(&name, known.iter().copied());
            let known = known.join(", ");
            return Err(format!("there is no service `{name}`: there are {known}{meant}"));
        };
        // Without a `build` section its image is somebody else's.
        let Some(build) = &service.build else { continue };
        if wanted.insert(name) {
            let others = build.additional_contexts.iter();
            let others = others.filter_map(|(_, value)| value.strip_prefix("service:"));
            rest.extend(others.map(str::to_owned));
        }
    }
    Ok(wanted)
}

/// Prints what each build would be as a command line.
fn print(args: &ComposeArgs, files: &Files, wanted: &BTreeSet<String>) -> ExitCode {
    let mut out = io::stdout().lock();
    for name in wanted {
        let line = command_line::of(&files.project.services[name], files, args);
        let words: Vec<_> = line.arguments.iter().map(|word| quoted(word)).collect();
        let inline = line.dockerfile.as_deref().map(heredoc).unwrap_or_default();
        if writeln!(out, "dfbuild {}{inline}", words.join(" ")).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A Dockerfile as a shell gives it to the command before it.
fn heredoc(text: &str) -> String {
    let mut end = "EOF".to_owned();
    while text.lines().any(|line| line == end) {
        end.push('F');
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!(" <<'{end}'\n{text}{gap}{end}")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerfiles_for_shells() {
        for (text, expect) in [
            ("FROM a\n", " <<'EOF'\nFROM a\nEOF"),
            ("FROM a", " <<'EOF'\nFROM a\nEOF"),
            ("RUN <<EOF\nls\nEOF\n", " <<'EOFF'\nRUN <<EOF\nls\nEOF\nEOFF"),
        ] {
            assert_eq!(heredoc(text), expect);
        }
    }

    #[test]
    fn words_for_shells() {
        for (word, expect) in
            [("a=b/c", "a=b/c"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")]
        {
            assert_eq!(quoted(word), expect);
        }
    }
}
