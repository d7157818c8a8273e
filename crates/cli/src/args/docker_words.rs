//! What fingers and scripts type that know docker: its groups of commands, and `--flag=true`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Commands that docker has and dfbuild has not, and what to do instead.
const ELSEWHERE: [(&[&str], &str); 10] = [
    (
        &["login", "logout"],
        "dfbuild keeps no passwords: it reads those that `docker login`, or `skopeo login --authfile \
         ~/.docker/config.json`, has written",
    ),
    (
        &[
            "ps",
            "exec",
            "start",
            "stop",
            "attach",
            "container",
            "create",
            "kill",
            "pause",
            "port",
            "rename",
            "restart",
            "stats",
            "top",
            "unpause",
            "update",
            "wait",
        ],
        "there are no containers: `dfbuild run IMAGE COMMAND` runs a command in an image, and \
         `dfbuild shell` opens a shell in one",
    ),
    (&["commit"], "write a Dockerfile that begins `FROM IMAGE`, and build that"),
    (
        &["export", "import"],
        "`dfbuild build --output FOLDER` writes the files of an image, `ADD FILE.tar /` reads some",
    ),
    (&["bake"], "`dfbuild compose` builds several images in one run, those of a compose file"),
    (&["search"], "look for images on the page of the registry"),
    (&["volume"], "there are no volumes: `dfbuild run -v FOLDER:TARGET` shows a folder"),
    (&["network"], "commands have this machine's network, or none with `--network none`"),
    (
        &[
            "context", "events", "info", "node", "plugin", "secret", "service", "stack", "swarm",
            "trust", "config", "manifest",
        ],
        "there is no daemon: `dfbuild doctor` tells of this machine, `dfbuild du` of the store",
    ),
    (&["buildx", "builder", "image", "system"], "`dfbuild --help` lists the commands there are"),
];

/// What buildx has to do with builders.
const BUILDERS: [&str; 8] =
    ["create", "inspect", "install", "ls", "rm", "stop", "use", "uninstall"];

/// A word in the place of a command that docker would know and dfbuild does not; `next` is the word
/// behind it.
pub(crate) fn elsewhere(word: &str, next: Option<&str>) -> Option<&'static str> {
    if word == "buildx" && next.is_some_and(|next| BUILDERS.contains(&next)) {
        return Some("there are no builders to make or to choose: dfbuild builds itself");
    }
    ELSEWHERE.iter().find(|(names, _)| names.contains(&word)).map(|(_, instead)| *instead)
}

/// Rewrites docker's groups from the argument `at` on: `buildx build` is `build`, `image ls` is
/// `images`, `help tag` is `tag --help`.
pub(super) fn ungroup(args: &mut Vec<OsString>, at: usize) {
    let word = |at: usize| args.get(at).and_then(|arg| arg.to_str());
    let command = match (word(at), word(at + 1)) {
        (Some("help"), None) => return replace(args, at, 1, &["--help"]),
        (Some("help"), Some(command)) => {
            let command = command.to_owned();
            return replace(args, at, 2, &[&command, "--help"]);
        }
        (Some("version"), _) => return replace(args, at, 1, &["--version"]),
        (Some("buildx" | "builder" | "image"), Some("build" | "b")) => "build",
        (Some("buildx" | "builder" | "image" | "system"), Some("prune")) => "prune",
        (Some("buildx"), Some("du")) | (Some("system"), Some("df")) => "du",
        (Some("buildx"), Some("bake")) => "bake",
        (Some("buildx"), Some("version")) => "--version",
        (Some("image"), Some("ls" | "list")) => "images",
        (
            Some("image"),
            Some(
                command
                @ ("history" | "inspect" | "load" | "pull" | "push" | "rm" | "save" | "tag"),
            ),
        ) => {
            let command = command.to_owned();
            return replace(args, at, 2, &[&command]);
        }
        _ => return,
    };
    replace(args, at, 2, &[command]);
}

fn replace(args: &mut Vec<OsString>, at: usize, count: usize, with: &[&str]) {
    args.splice(at..at + count, with.iter().map(OsString::from));
}

/// Flags without a value that docker lets have one.
const SWITCHES: [&str; 12] = [
    "check",
    "compress",
    "debug",
    "disable-content-trust",
    "force-rm",
    "load",
    "no-cache",
    "pull",
    "push",
    "quiet",
    "rm",
    "squash",
];

/// Rewrites `--no-cache=true` to `--no-cache`, takes away what `--no-cache=false` switches off, and
/// joins `--timings` with the page behind it, which is no context.
pub(super) fn switches(args: &mut Vec<OsString>) {
    let mut kept: Vec<OsString> = Vec::with_capacity(args.len());
    for arg in args.drain(..) {
        let is_page = Path::new(&arg).extension().is_some_and(|extension| extension == "html");
        if let Some(last) = kept.last_mut().filter(|last| is_page && *last == "--timings") {
            last.push("=");
            last.push(&arg);
            continue;
        }
        match switch(&arg) {
            Some((name, true)) => kept.push(format!("--{name}").into()),
            Some((name, false)) => kept.retain(|arg| *arg != *format!("--{name}")),
            None => kept.push(arg),
        }
    }
    *args = kept;
}

fn switch(arg: &OsStr) -> Option<(&str, bool)> {
    let (name, value) = arg.to_str()?.strip_prefix("--")?.split_once('=')?;
    let value = match value {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => true,
        "0" | "f" | "F" | "false" | "False" | "FALSE" => false,
        _ => return None,
    };
    SWITCHES.contains(&name).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn groups() {
        for (line, expect) in [
            ("d buildx build -t a .", "d build -t a ."),
            ("d builder prune -f", "d prune -f"),
            ("d image ls -q", "d images -q"),
            ("d image rm a", "d rm a"),
            ("d system df", "d du"),
            ("d buildx bake", "d bake"),
            ("d help", "d --help"),
            ("d help tag", "d tag --help"),
            ("d version", "d --version"),
            ("d image", "d image"),
            ("d -t image ls", "d -t image ls"),
        ] {
            let mut args = words(line);
            ungroup(&mut args, 1);
            assert_eq!(args, words(expect), "{line}");
        }
    }

    #[test]
    fn values_of_switches() {
        for (line, expect) in [
            ("--no-cache=true --pull=1 .", "--no-cache --pull ."),
            ("--no-cache --no-cache=false .", "."),
            ("--provenance=false --timings=json .", "--provenance=false --timings=json ."),
            ("--quiet=maybe .", "--quiet=maybe ."),
            ("--timings t.html .", "--timings=t.html ."),
            ("--timings .", "--timings ."),
        ] {
            let mut args = words(line);
            switches(&mut args);
            assert_eq!(args, words(expect), "{line}");
        }
    }

    #[test]
    fn what_is_elsewhere() {
        for (word, next, part) in [
            ("login", None, "docker login"),
            ("volume", Some("ls"), "there are no volumes"),
            ("export", None, "--output FOLDER"),
            ("buildx", Some("ls"), "no builders"),
            ("buildx", Some("frobnicate"), "--help"),
        ] {
            assert!(elsewhere(word, next).unwrap().contains(part), "{word}");
        }
        assert!(elsewhere("biuld", None).is_none());
    }
}
