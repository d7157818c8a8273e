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

use crate::args::ComposeArgs;
use crate::report;
use files::Files;

/// Builds the services.
pub(crate) fn run(args: &ComposeArgs, root: PathBuf, debug: bool) -> ExitCode {
    let files = match Files::read(args, &|name| std::env::var(name).ok()) {
        Ok(files) => files,
        Err(text) => return report::error(&text),
    };
    let wanted = match wanted(args, &files) {
        Ok(wanted) => wanted,
        Err(text) => return report::error(&text),
    };
    if args.print {
        return print(args, &files, &wanted);
    }
    run::build(args, &files, wanted, root, debug)
}

/// What else `docker compose` does.
const OTHER_VERBS: [&str; 17] = [
    "config", "cp", "create", "down", "exec", "kill", "logs", "ls", "ps", "pull", "push",
    "restart", "rm", "run", "start", "stop", "up",
];

/// The services that were asked for, and those whose images they name as contexts.
fn wanted(args: &ComposeArgs, files: &Files) -> Result<BTreeSet<String>, String> {
    let services = &files.project.services;
    let mut names: Vec<&str> = args.services.iter().map(String::as_str).collect();
    // `docker compose build web`.
    if names.first() == Some(&"build") && !services.contains_key("build") {
        names.remove(0);
    }
    let mut rest: Vec<String> = if names.is_empty() {
        let active =
            |service: &&Service| service.build.is_some() && service.is_active(&args.profile);
        services.values().filter(active).map(|service| service.name.clone()).collect()
    } else {
        names.into_iter().map(str::to_owned).collect()
    };
    if rest.is_empty() {
        return Err("there is no service with a `build` section".to_owned());
    }
    let mut wanted = BTreeSet::new();
    for name in &rest {
        if services.get(name).is_some_and(|service| service.build.is_none()) {
            let _ = writeln!(
                io::stderr().lock(),
                "notice: {name} has no `build` section: its image is pulled by whoever runs it"
            );
        }
    }
    while let Some(name) = rest.pop() {
        let Some(service) = services.get(&name) else {
            if OTHER_VERBS.contains(&name.as_str()) {
                return Err(format!(
                    "`dfbuild compose` builds, and starts nothing: `docker compose {name}` is for that"
                ));
            }
            let known: Vec<_> = services.keys().map(String::as_str).collect();
            return Err(format!("there is no service `{name}`: there are {}", known.join(", ")));
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
        if writeln!(out, "dfbuild {}", words.join(" ")).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
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
    fn words_for_shells() {
        for (word, expect) in
            [("a=b/c", "a=b/c"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")]
        {
            assert_eq!(quoted(word), expect);
        }
    }
}
