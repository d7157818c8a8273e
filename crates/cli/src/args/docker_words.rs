//! What fingers and scripts type that know docker: its groups of commands, and `--flag=true`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Command;

/// Commands that docker has and dfbuild has not, and what to do instead.
const ELSEWHERE: [(&[&str], &str); 14] = [
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
            "trust", "config",
        ],
        NO_DAEMON,
    ),
    (&["manifest"], MANIFESTS),
    (&["buildx"], "`dfbuild buildx --help` lists what there is of it"),
    (&["builder"], "`dfbuild builder --help` lists what there is of it"),
    (&["image"], "`dfbuild image --help` lists what there is of it"),
    (&["system"], "`dfbuild system --help` lists what there is of it"),
];

const NO_DAEMON: &str =
    "there is no daemon: `dfbuild doctor` tells of this machine, `dfbuild du` of the store";

const MANIFESTS: &str = "`dfbuild build --platform A,B` makes an image for several platforms; `skopeo inspect --raw` and \
     `docker buildx imagetools create` show and join those that a registry has";

/// Commands of docker's groups that dfbuild has not, and what to do instead.
const ELSEWHERE_IN_GROUPS: [(&str, &[&str], &str); 6] = [
    (
        "buildx",
        &["create", "inspect", "install", "ls", "rm", "stop", "use", "uninstall"],
        "there are no builders to make or to choose: dfbuild builds itself",
    ),
    ("buildx", &["imagetools"], MANIFESTS),
    (
        "buildx",
        &["history"],
        "`dfbuild logs` shows what commands of builds wrote, `dfbuild explain --last` why they ran",
    ),
    ("buildx", &["debug"], "`dfbuild shell` opens a shell where a build failed"),
    ("image", &["import"], "`FROM scratch` and `ADD FILE.tar /` make an image of an archive"),
    ("system", &["info", "events"], NO_DAEMON),
];

/// A command of one of docker's groups, and what it is called here.
type GroupCommand = (&'static str, &'static str);

/// Docker's groups of commands.
const GROUPS: [(&str, &[GroupCommand]); 4] = [
    ("buildx", &[("build", "build"), ("b", "build"), ("du", "du"), ("prune", "prune")]),
    ("builder", &[("build", "build"), ("b", "build"), ("prune", "prune")]),
    (
        "image",
        &[
            ("build", "build"),
            ("b", "build"),
            ("history", "history"),
            ("inspect", "inspect"),
            ("list", "images"),
            ("load", "load"),
            ("ls", "images"),
            ("prune", "prune"),
            ("pull", "pull"),
            ("push", "push"),
            ("rm", "rm"),
            ("save", "save"),
            ("tag", "tag"),
        ],
    ),
    ("system", &[("df", "du"), ("prune", "prune")]),
];

/// What to say of a word in the place of a command that docker would know and dfbuild does not; `next` is the word
/// behind it.
pub(crate) fn elsewhere(word: &str, next: Option<&str>) -> Option<String> {
    let (_, instead) = ELSEWHERE.iter().find(|(names, _)| names.contains(&word))?;
    let next = next.filter(|next| !next.starts_with('-') && !commands_of(word).is_empty());
    let Some(next) = next else {
        return Some(format!("dfbuild has no command `{word}`: {instead}"));
    };
    let of_group = ELSEWHERE_IN_GROUPS
        .iter()
        .find(|(group, names, _)| *group == word && names.contains(&next));
    let instead = of_group.map_or(*instead, |(.., instead)| *instead);
    Some(format!("dfbuild has no command `{word} {next}`: {instead}"))
}

/// What else `docker compose` does.
const VERBS: [&str; 36] = [
    "attach", "bridge", "commit", "config", "convert", "cp", "create", "down", "events", "exec",
    "export", "images", "kill", "logs", "ls", "pause", "port", "ps", "publish", "pull", "push",
    "restart", "rm", "run", "scale", "start", "stats", "stop", "top", "unpause", "up", "version",
    "viz", "volumes", "wait", "watch",
];

/// What to say of a word behind `compose` that docker would know and dfbuild does not.
pub(crate) fn verb_of_compose(word: &str) -> Option<String> {
    VERBS.contains(&word).then(|| {
        format!("`dfbuild compose` builds, and starts nothing: `docker compose {word}` is for that")
    })
}

/// Rewrites `--parallel 4` of `docker compose` to `--jobs=4`; without a number it asks for what is
/// done anyway.
pub(super) fn parallel(args: &mut Vec<OsString>) {
    let number = |word: &OsStr| word.to_str()?.parse::<i64>().ok();
    let mut kept: Vec<OsString> = Vec::with_capacity(args.len());
    let mut rest = std::mem::take(args).into_iter().peekable();
    while let Some(arg) = rest.next() {
        let text = arg.to_str().unwrap_or_default();
        let jobs = if text == "--parallel" {
            let jobs = rest.peek().and_then(|next| number(next));
            if jobs.is_some() {
                rest.next();
            }
            jobs
        } else if let Some(value) = text.strip_prefix("--parallel=") {
            number(OsStr::new(value))
        } else {
            kept.push(arg);
            continue;
        };
        // Docker's -1 is as many as there are.
        kept.extend(jobs.filter(|jobs| *jobs > 0).map(|jobs| format!("--jobs={jobs}").into()));
    }
    *args = kept;
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
        (Some("buildx"), Some("bake")) => "bake",
        (Some("buildx"), Some("version")) => "--version",
        (Some(group), Some(name)) => {
            let command = commands_of(group).iter().find(|(theirs, _)| *theirs == name);
            let Some((_, command)) = command else { return };
            command
        }
        _ => return,
    };
    replace(args, at, 2, &[command]);
}

fn commands_of(group: &str) -> &'static [GroupCommand] {
    GROUPS.iter().find(|(name, _)| *name == group).map_or(&[], |(_, commands)| *commands)
}

/// The grammar of a group whose help is asked for, and of nothing else; `grammar` is the whole one.
pub(super) fn group_help(args: &[OsString], at: usize, grammar: &Command) -> Option<Command> {
    let word = |at: usize| args.get(at).and_then(|arg| arg.to_str());
    let (group, Some("--help" | "-h")) = (word(at)?, word(at + 1)) else { return None };
    let (name, commands) = GROUPS.iter().find(|(name, _)| *name == group)?;
    let about = |ours: &str| grammar.find_subcommand(ours).and_then(Command::get_about).cloned();
    // `b` and `list` are short for others.
    let shown = commands.iter().filter(|(theirs, _)| !["b", "list"].contains(theirs));
    let shown = shown.map(|(theirs, ours)| {
        let is = match about(ours) {
            Some(about) if theirs != ours => format!("{about}: `dfbuild {ours}`"),
            about => about.map(|about| about.to_string()).unwrap_or_default(),
        };
        Command::new(*theirs).about(is)
    });
    let help =
        Command::new(*name).bin_name(format!("dfbuild {name}")).disable_help_subcommand(true);
    let help = help.about(format!("What there is of `docker {name}`"));
    Some(help.subcommand_required(true).subcommands(shown))
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
        // As podman, buildah and compose have it.
        "always" | "newer" | "ifnewer" if name == "pull" => true,
        "missing" | "ifmissing" | "never" if name == "pull" => false,
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
    fn help_of_groups() {
        for (line, part) in [
            ("d image --help", "  ls       List images: `dfbuild images`\n"),
            ("d buildx -h", "Usage: dfbuild buildx <COMMAND>"),
            ("d help system", "  df     Show what the store takes"),
        ] {
            let error = crate::args::Cli::read(words(line)).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{line}");
            assert!(error.to_string().contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn every_command_of_a_group_is_one_here() {
        let grammar = <crate::args::Cli as clap::CommandFactory>::command();
        for (_, ours) in GROUPS.iter().flat_map(|(_, commands)| commands.iter()) {
            assert!(grammar.find_subcommand(ours).is_some(), "{ours}");
        }
    }

    #[test]
    fn values_of_switches() {
        for (line, expect) in [
            ("--no-cache=true --pull=1 .", "--no-cache --pull ."),
            ("--no-cache --no-cache=false .", "."),
            ("--pull=always .", "--pull ."),
            ("--pull=missing --no-cache=never .", "--no-cache=never ."),
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
    fn parallel_builds() {
        for (line, expect) in [
            ("compose --parallel 4 build", "compose --jobs=4 build"),
            ("compose build --parallel web", "compose build web"),
            ("compose --parallel=-1", "compose"),
            ("compose --parallel=2 web", "compose --jobs=2 web"),
        ] {
            let mut args = words(line);
            parallel(&mut args);
            assert_eq!(args, words(expect), "{line}");
        }
        assert!(verb_of_compose("images").unwrap().contains("`docker compose images`"));
        assert_eq!(verb_of_compose("web"), None);
    }

    #[test]
    fn what_is_elsewhere() {
        for (word, next, part) in [
            ("login", None, "docker login"),
            ("volume", Some("ls"), "there are no volumes"),
            ("export", None, "--output FOLDER"),
            ("buildx", Some("ls"), "no command `buildx ls`: there are no builders"),
            ("buildx", Some("imagetools"), "`docker buildx imagetools create`"),
            ("buildx", Some("history"), "`dfbuild logs`"),
            ("buildx", Some("frobnicate"), "`buildx frobnicate`: `dfbuild buildx --help`"),
            ("buildx", None, "no command `buildx`: `dfbuild buildx --help`"),
            ("manifest", Some("create"), "no command `manifest`: `dfbuild build --platform A,B`"),
        ] {
            assert!(elsewhere(word, next).unwrap().contains(part), "{word}");
        }
        assert!(elsewhere("biuld", None).is_none());
    }
}
