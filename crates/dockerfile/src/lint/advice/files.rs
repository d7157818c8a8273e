//! `RewrittenFiles`, `AddForCopy` and `SecretCopied`: what `COPY` and `ADD` bring.

use super::{ADD_FOR_COPY, REWRITTEN_FILES, SECRET_COPIED, Step, found};
use crate::ast::{Add, InstructionKind, Source};
use crate::diagnostic::Fix;
use crate::git_ref;
use crate::lint::copy::clean;
use crate::lint::linter::Linter;
use crate::span::Word;

pub(super) fn check(linter: &mut Linter, steps: &[Step]) {
    // Where files were copied to, and by which line.
    let mut copied: Vec<(String, usize)> = Vec::new();
    let mut working_dir = "/".to_owned();
    for step in steps {
        match &step.instruction.kind {
            InstructionKind::Workdir(workdir) => {
                working_dir = absolute(&working_dir, &workdir.path.value);
            }
            InstructionKind::Copy(copy) => {
                copied
                    .push((absolute(&working_dir, &copy.dest.value), step.instruction.lines.start));
                if copy.from().is_none() {
                    secrets(linter, step, &copy.sources);
                }
            }
            InstructionKind::Add(add) => {
                copied
                    .push((absolute(&working_dir, &add.dest.value), step.instruction.lines.start));
                secrets(linter, step, &add.sources);
                add_for_copy(linter, step, add);
            }
            InstructionKind::Run(_) => rewritten(linter, step, &copied, &working_dir),
            _ => {}
        }
    }
}

fn absolute(working_dir: &str, path: &str) -> String {
    let path = path.trim_matches('"');
    if path.starts_with('/') { clean(path) } else { clean(&format!("{working_dir}/{path}")) }
}

/// `chown -R` and `chmod -R` over what was copied.
fn rewritten(linter: &mut Linter, step: &Step, copied: &[(String, usize)], working_dir: &str) {
    for call in &step.calls {
        let recursive = call.has_option(&["-R", "--recursive"]);
        if !recursive || !matches!(call.program.as_str(), "chown" | "chmod" | "chgrp") {
            continue;
        }
        // The first word is the owner or the mode.
        let paths = call.operands().skip(1).map(|path| absolute(working_dir, path));
        let hit = paths.into_iter().find_map(|path| {
            let by = copied.iter().find(|(dest, _)| covers(&path, dest))?;
            Some((path, by.1))
        });
        let Some((path, line)) = hit else { continue };
        let program = call.program.as_str();
        let detail = format!(
            "`{program} -R` of {path} stores again the files that line {line} copied there"
        );
        let flag = if program == "chmod" { "--chmod=MODE" } else { "--chown=USER:GROUP" };
        let help = format!("give line {line} the flag `{flag}` and leave this out");
        linter.advise(
            step.instruction.comments,
            found(REWRITTEN_FILES, step.instruction, detail, help),
        );
        return;
    }
}

/// Whether a path is a directory or below it. The whole root is too much to say that it is meant.
fn covers(path: &str, dest: &str) -> bool {
    path != "/" && (dest == path || dest.strip_prefix(path).is_some_and(|it| it.starts_with('/')))
}

/// `ADD` of plain local files.
fn add_for_copy(linter: &mut Linter, step: &Step, add: &Add) {
    let special =
        add.checksum().is_some() || add.keep_git_dir().is_some() || add.unpack().is_some();
    let plain = |source: &Source| match source {
        Source::Path(path) => is_plain(&path.value),
        Source::Heredoc(_) => true,
    };
    if special || !add.sources.iter().all(plain) {
        return;
    }
    let detail = "ADD does the same as COPY here".to_owned();
    let help = "write COPY: nothing is unpacked and nothing fetched";
    let mut finding = found(ADD_FOR_COPY, step.instruction, detail, help);
    let keyword = step.instruction.keyword;
    let lower = step.instruction.keyword_text() == "add";
    finding.span = keyword;
    finding.fix =
        Some(Fix { span: keyword, replacement: if lower { "copy" } else { "COPY" }.to_owned() });
    linter.advise(step.instruction.comments, finding);
}

/// Whether a source is certainly no archive, address or repository.
fn is_plain(source: &str) -> bool {
    const ARCHIVES: [&str; 13] = [
        ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".gz", ".bz2", ".xz", ".zst", ".lzma",
        ".zip", ".jar",
    ];
    let lower = source.to_lowercase();
    !source.contains(['$', '*', '?', '['])
        && !lower.contains("://")
        && !matches!(git_ref::parse(source), Ok(Some(_)))
        && !ARCHIVES.iter().any(|it| lower.ends_with(it))
}

fn secrets(linter: &mut Linter, step: &Step, sources: &[Source]) {
    for source in sources {
        let Source::Path(path) = source else { continue };
        if path.value.contains("://") {
            continue;
        }
        if let Some(name) = secret(path) {
            let detail =
                format!("{name} looks like a secret, and anybody who has the image can read it");
            let help =
                "use `RUN --mount=type=secret` where it is needed, and list it in .dockerignore";
            let mut finding = found(SECRET_COPIED, step.instruction, detail, help);
            finding.span = path.span;
            linter.advise(step.instruction.comments, finding);
        }
    }
}

fn secret<'a>(path: &'a Word) -> Option<&'a str> {
    const NAMES: [&str; 19] = [
        ".env",
        ".npmrc",
        ".netrc",
        "_netrc",
        ".pypirc",
        ".git-credentials",
        ".htpasswd",
        ".pgpass",
        ".my.cnf",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "credentials",
        "credentials.json",
        "kubeconfig",
        ".ssh",
        ".aws",
        ".dockercfg",
    ];
    const ENDINGS: [&str; 8] =
        [".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk"];
    const HARMLESS: [&str; 6] = ["example", "sample", "template", "dist", "public", "test"];
    let name = path.value.trim_end_matches('/').rsplit('/').next()?;
    let lower = name.to_lowercase();
    let of_environment = lower.strip_prefix(".env.").is_some_and(|it| !HARMLESS.contains(&it));
    let ending = ENDINGS.iter().any(|it| lower.ends_with(it));
    let harmless = HARMLESS.iter().any(|it| lower.contains(it));
    let is_secret = NAMES.contains(&lower.as_str()) || of_environment || ending;
    if is_secret && !harmless { Some(name) } else { None }
}
