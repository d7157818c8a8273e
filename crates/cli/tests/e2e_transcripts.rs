//! What people see: each file of `transcripts` is a session of a shell, run again and compared.
//!
//! A line that begins with `$ ` is a command, those behind it that begin with `> ` belong to it, and
//! below stands what it prints, on standard output and error. `? 1` is its exit code unless it is 0.
//! What differs from run to run stands in brackets. The session `registry` has one, at `$REGISTRY`. `SNAPSHOTS=overwrite` writes the files anew.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dfbuild_testkit::{Bed, DebianRegistry, RegistrySetup, Who, run_or_skip};
use snapbox::{Data, Redactions};

/// A test for each session.
macro_rules! sessions {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            play(stringify!($name));
        })*

        /// The names of all.
        const SESSIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

sessions![
    build,
    build_refused,
    compose,
    dockerfile,
    docker_words,
    explain,
    errors,
    failing_run,
    images,
    images_refused,
    machine,
    registry,
    store,
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

#[test]
fn every_file_is_played() {
    let mut files: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let mut sessions = SESSIONS.to_vec();
    sessions.sort_unstable();
    assert_eq!(files, sessions);
}

/// The commands of all sessions, and what they print.
fn all() -> String {
    let texts =
        SESSIONS.iter().map(|name| fs::read_to_string(folder().join(format!("{name}.txt"))));
    texts.collect::<Result<String, _>>().unwrap()
}

#[test]
fn every_command_is_in_a_session() {
    // Its page is made from the grammar.
    let page = folder().join("../../../../docs/book/src/reference/commands.md");
    let page = fs::read_to_string(page).unwrap();
    let all = all();
    let mut count = 0;
    for command in page.lines().filter_map(|line| line.strip_prefix("## ")) {
        count += 1;
        let typed =
            regex::Regex::new(&format!(r"(?m)^[$>] (.*[|&;] *|[A-Z_]+=\S+ )?dfbuild {command}\b"));
        assert!(typed.unwrap().is_match(&all), "`dfbuild {command}` is in no session");
    }
    assert!(count > 25, "{count} commands were found");
}

/// What a session shows of each kind of error of the library.
const ERRORS: &[(&str, &str)] = &[
    ("Error::Context", "nowhere as build context: there is no such folder"),
    ("Error::Dockerfile", "unknown instruction: FORM"),
    ("Error::Export", "export to no/such/image.tar"),
    ("Error::IgnoreFile", ".dockerignore line 2: syntax error in pattern"),
    ("Error::Image", "find image missing: no local image"),
    ("Error::Io", "read ./.dockerignore: Is a directory"),
    ("Error::LoadContext", "load build context https://host/app.tar"),
    ("Error::NoDockerfile", "failed to build: read Dockerfile ./Dockerfile"),
    ("Error::Option", "failed to use --output type=docker"),
    ("Error::Step", "failed to solve: process"),
    ("Error::Store", "failed to create /proc/nothing"),
    ("Error::TimedOut", "failed to finish the build within 1s"),
    ("Error::Transfer", "failed to pull"),
    ("StepError::BadPattern", "\"[a\": syntax error in pattern"),
    ("StepError::Checksum", "digest mismatch [DIGEST]"),
    ("StepError::Clash", "there is no folder nowhere/at"),
    ("StepError::ExitCode", "did not complete successfully: exit code: 127"),
    ("StepError::Io", "write no/such/image.tar"),
    ("StepError::Loop", "too many levels of symbolic links"),
    ("StepError::NoSecret", "secret token: not found"),
    ("StepError::NoSshAgent", "no SSH key \"default\" forwarded from the client"),
    ("StepError::NotCached", "failed to build from the cache alone"),
    ("StepError::NotFound", "leaves it out (*.log)"),
    ("StepError::Remote", "fetch https://host/file: the network is needed for it"),
    ("StepError::SecretLeak", "secret token is in /kept"),
    ("StepError::Unsupported", "security.insecure is not allowed"),
    ("StepError::User", "unable to find user nobodyatall"),
];

/// Kinds that no session can bring about, and what tests them.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("Error::Cancelled", "dfbuild/tests/worker.rs", "it was cancelled"),
    ("Error::Layer", "layer/tests/archive.rs", "Error::"),
    ("Error::Relayed", "dfbuild/src/relayed.rs", "there_and_back"),
    ("Error::Sandbox", "dfbuild/tests/without_features.rs", "Error::Sandbox"),
    ("Error::Worker", "dfbuild/tests/worker.rs", "Error::Worker"),
    ("StepError::Cancelled", "cli/tests/e2e_endings.rs", "130"),
    ("StepError::Commit", "cli/tests/e2e_contexts.rs", "expected checksum to match"),
    ("StepError::Context", "context/src/walk.rs", "Error::"),
    ("StepError::ContextChanged", "dfbuild/tests/fakes.rs", "StepError::ContextChanged"),
    ("StepError::Damaged", "cli/tests/e2e_damage.rs", "damage"),
    ("StepError::ForeignPlatform", "cli/tests/e2e_outputs.rs", "cannot run a command for"),
    ("StepError::Layer", "layer/tests/archive.rs", "Error::"),
    ("StepError::NotKept", "dfbuild/tests/fakes.rs", "NotKept"),
    ("StepError::Relayed", "dfbuild/src/relayed.rs", "there_and_back"),
    ("StepError::Sandbox", "sandbox/tests/root.rs", "Error::"),
    ("StepError::Signal", "dfbuild/src/exit_code.rs", "StepError::Signal"),
    ("StepError::Store", "cli/tests/e2e_damage.rs", "damage"),
    ("StepError::UrlChanged", "cli/tests/e2e_add.rs", "changed while it was fetched"),
];

#[test]
fn every_kind_of_error_is_in_a_session() {
    let source = folder().join("../../../dfbuild/src/error.rs");
    let source = fs::read_to_string(source).unwrap();
    let all = all();
    let mut kinds = Vec::new();
    for name in ["Error", "StepError"] {
        let (_, body) = source.split_once(&format!("\npub enum {name} {{\n")).unwrap();
        let body = body.split_once("\n}\n").unwrap().0;
        let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
        let variants = variants.filter(|line| line.starts_with(char::is_uppercase));
        let ends = |letter: char| !letter.is_alphanumeric();
        kinds.extend(variants.map(|it| format!("{name}::{}", it.split(ends).next().unwrap())));
    }
    assert!(kinds.len() > 40, "{kinds:?}");
    let crates = folder().join("../../..");
    for (_, file, text) in ELSEWHERE {
        assert!(
            fs::read_to_string(crates.join(file)).unwrap().contains(text),
            "{file}: no `{text}`"
        );
    }
    for (kind, text) in ERRORS {
        assert!(all.contains(text), "{kind}: no `{text}`");
    }
    let mut known: Vec<&str> = ERRORS.iter().map(|(kind, _)| *kind).collect();
    known.extend(ELSEWHERE.iter().map(|(kind, ..)| *kind));
    known.sort_unstable();
    kinds.sort_unstable();
    assert_eq!(known, kinds);
}

fn play(name: &str) {
    run_or_skip(&format!("e2e_transcripts::{name}"), || {
        let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
        bed.base();
        let registry = match name {
            "registry" => Some(DebianRegistry::start(RegistrySetup::default())?),
            _ => None,
        };
        let address = registry.as_ref().map(DebianRegistry::address);
        let path = folder().join(format!("{name}.txt"));
        let script = fs::read_to_string(&path).unwrap();
        let mut played = String::new();
        for command in commands(&script) {
            played.push_str(&command.written);
            played.push_str(&run(&bed, &command.text, address));
        }
        // Backslashes of shells are no separators of paths: what is compared is raw.
        let played = redactions(&bed, address).redact(&played);
        let assert = snapbox::Assert::new().action_env("SNAPSHOTS");
        assert.eq(Data::from(played).raw(), Data::read_from(&path, None).raw());
        Ok(())
    });
}

/// A command of a session.
struct Entered {
    /// The lines of the file, comments before it included.
    written: String,
    /// What the shell gets.
    text: String,
}

fn commands(script: &str) -> Vec<Entered> {
    let mut commands: Vec<Entered> = Vec::new();
    let mut comments = String::new();
    for line in script.lines() {
        if line.starts_with("# ") {
            comments.push_str(&format!("{line}\n"));
        } else if let Some(text) = line.strip_prefix("$ ") {
            let written = format!("{}{line}\n", std::mem::take(&mut comments));
            commands.push(Entered { written, text: text.to_owned() });
        } else if let (Some(text), Some(command)) = (line.strip_prefix("> "), commands.last_mut()) {
            command.written.push_str(&format!("{line}\n"));
            command.text.push_str(&format!("\n{text}"));
        }
    }
    commands
}

/// What the command prints, its exit code, and an empty line.
fn run(bed: &Bed, command: &str, registry: Option<&str>) -> String {
    let mut shell = Command::new("sh");
    let prototype = bed.command();
    let programs = Path::new(env!("CARGO_BIN_EXE_dfbuild")).parent().unwrap();
    shell.arg("-c").arg(format!("exec 2>&1 </dev/null\n{command}")).current_dir(bed.context());
    shell.env_clear().envs(prototype.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()));
    shell.envs(registry.map(|address| ("REGISTRY", address)));
    let output = shell.output().unwrap();
    let mut text = columns(&String::from_utf8(output.stdout).unwrap());
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match output.status.code() {
        Some(0) => {}
        code => text.push_str(&format!("? {}\n", code.unwrap_or(-1))),
    }
    text + "\n"
}

/// Two spaces between columns, whose widths depend on ages and sizes.
fn columns(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let start = line.len() - line.trim_start().len();
        let (indent, rest) = line.split_at(start);
        let words: Vec<&str> =
            rest.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        lines.push_str(&format!("{indent}{}\n", words.join("  ")));
    }
    lines
}

fn redactions(bed: &Bed, registry: Option<&str>) -> Redactions {
    let mut redactions = Redactions::new();
    redactions.insert("[FOLDER]", bed.path().to_owned()).unwrap();
    if let Some(address) = registry {
        redactions.insert("[REGISTRY]", address.to_owned()).unwrap();
    }
    for (name, pattern) in [
        ("[DIGEST]", "sha256:[0-9a-f]{12,64}"),
        ("[BYTES]", r#""Unused":(?<redacted>\d+)"#),
        ("[ID]", r"\b[0-9a-f]{12}\b"),
        ("[BUILD]", r"\b\d{8}-\d{6}-\w{4}\b"),
        ("[TIME]", r"\b20\d\d-\d\d-\d\dT[0-9:.]+Z"),
        ("[AGE]", r"(?:Less than a second|About an? \w+|\d+ (?:seconds?|minutes?)) ago"),
        ("[AGE]", r"(?:less than a second|about an? \w+|\d+ (?:seconds?|minutes?)) old"),
        ("[SECONDS]", r"\b\d+\.\d+ ?s\b"),
        ("[SECONDS]", r"(?m)^#\d+ (?<redacted>\d+\.\d{3})"),
        ("[SIZE]", r"\b\d+(?:\.\d+)? ?[kMG]?B\b"),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        redactions.insert(name, pattern).unwrap();
    }
    redactions
}
