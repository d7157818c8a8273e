//! `UpdateAlone` and `CacheInLayer`: package managers.

use super::shell::Call;
use super::{CACHE_IN_LAYER, Step, UPDATE_ALONE, found, insert_behind};
use crate::ast::{InstructionKind, MountKind, Run};
use crate::lint::Finding;
use crate::lint::linter::Linter;

/// `shipped`: whether the layers of the stage are in the image.
pub(super) fn check(linter: &mut Linter, steps: &[Step], shipped: bool) {
    let mut pip_keeps_nothing = false;
    for step in steps {
        let sets = |name: &str| step.instruction.original.text().contains(name);
        if matches!(step.instruction.kind, InstructionKind::Env(_) | InstructionKind::Arg(_)) {
            pip_keeps_nothing |= sets("PIP_NO_CACHE_DIR");
        }
        let Some(run) = step.run() else { continue };
        update_alone(linter, step, run);
        if shipped {
            for finding in caches(linter.source, step, run, pip_keeps_nothing) {
                linter.advise(step.instruction.comments, finding);
            }
        }
    }
}

fn is_apt(call: &Call) -> bool {
    matches!(call.program.as_str(), "apt-get" | "apt" | "aptitude")
}

/// Whether something that is not apt itself may use the lists: a script, or a command line made elsewhere.
fn is_other_use(call: &Call) -> bool {
    let words = || call.words.iter().chain([&call.program]);
    words().any(|it| it.contains("install") || it.contains("apt-get") || it.contains('$'))
        && !(is_apt(call) && call.operands().next() == Some("update"))
}

fn update_alone(linter: &mut Linter, step: &Step, run: &Run) {
    if cache_mounts(run).iter().any(|it| it.contains("/var/lib/apt")) {
        return;
    }
    let does = |words: &[&str]| {
        step.calls
            .iter()
            .any(|it| is_apt(it) && it.operands().next().is_some_and(|word| words.contains(&word)))
    };
    if does(&["update"])
        && !does(&["install", "upgrade", "dist-upgrade", "full-upgrade", "build-dep", "satisfy"])
    {
        let other_use = step.calls.iter().any(is_other_use);
        if other_use {
            return;
        }
        let detail = "Package lists are updated in a step of their own, which stays cached when the packages below change".to_owned();
        let help = "write `apt-get update && apt-get install …` in one RUN";
        linter
            .advise(step.instruction.comments, found(UPDATE_ALONE, step.instruction, detail, help));
    }
}

fn caches(source: &str, step: &Step, run: &Run, pip_keeps_nothing: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let instruction = step.instruction;
    let mounted = |path: &str| cache_mounts(run).iter().any(|it| it.contains(path));
    let removes = |path: &str| {
        step.calls.iter().any(|it| {
            matches!(it.program.as_str(), "rm" | "find")
                && it.words.iter().any(|word| word.contains(path))
        })
    };
    let call = |program: &str, word: &str| step.calls.iter().find(|it| it.is(program, word));
    let mut push = |detail: &str, help: &str, fix: Option<(&str, &str)>| {
        let mut finding = found(CACHE_IN_LAYER, instruction, detail.to_owned(), help);
        finding.fix = fix.and_then(|(at, text)| insert_behind(source, instruction, at, text));
        findings.push(finding);
    };

    let apt = |word: &str| call("apt-get", word).or_else(|| call("apt", word)).is_some();
    if apt("update") && apt("install") && !removes("/var/lib/apt") && !mounted("/var/lib/apt") {
        push(
            "apt's package lists stay in the layer",
            "end the RUN with `&& rm -rf /var/lib/apt/lists/*`, or use `--mount=type=cache,target=/var/lib/apt`",
            None,
        );
    }
    let apk = call("apk", "add");
    if apk.is_some_and(|it| !it.has_option(&["--no-cache"]))
        && !removes("/var/cache/apk")
        && !mounted("/var/cache/apk")
        && !mounted("/etc/apk/cache")
    {
        push(
            "apk's package lists stay in the layer",
            "write `apk add --no-cache …`",
            Some(("apk add", " --no-cache")),
        );
    }
    for program in ["yum", "dnf", "microdnf", "zypper"] {
        let cleaned = call(program, "clean").is_some() || removes("/var/cache");
        let installs = call(program, "install").is_some();
        if installs && !cleaned && !mounted("/var/cache") {
            let detail = format!("{program}'s caches stay in the layer");
            push(&detail, &format!("end the RUN with `&& {program} clean all`"), None);
        }
    }
    for program in ["pip", "pip3"] {
        let Some(install) = call(program, "install") else { continue };
        let told = pip_keeps_nothing
            || install.has_option(&["--no-cache-dir", "--cache-dir"])
            || instruction.original.text().contains("PIP_NO_CACHE_DIR");
        if !told && !removes(".cache") && !mounted(".cache") && call(program, "cache").is_none() {
            let at = format!("{program} install");
            push(
                "pip's downloads stay in the layer",
                "write `pip install --no-cache-dir …`, or use `--mount=type=cache,target=/root/.cache/pip`",
                Some((&at, " --no-cache-dir")),
            );
        }
    }
    let npm = ["install", "ci", "i"].iter().any(|word| call("npm", word).is_some());
    if npm && call("npm", "cache").is_none() && !removes(".npm") && !mounted(".npm") {
        push(
            "npm's downloads stay in the layer",
            "end the RUN with `&& npm cache clean --force`, or use `--mount=type=cache,target=/root/.npm`",
            None,
        );
    }
    findings
}

/// Where directories that are in no layer are mounted.
fn cache_mounts(run: &Run) -> Vec<String> {
    let mounts = run.mounts().filter_map(|it| it.resolve(&mut |value| Ok(value.to_owned())).ok());
    mounts
        .filter(|it| matches!(it.kind, MountKind::Cache | MountKind::Tmpfs))
        .filter_map(|it| it.target)
        .collect()
}
