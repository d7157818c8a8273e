//! The grammar of the command line. Nothing here looks at the machine.

mod allow;
mod annotation;
mod build_args;
mod caches;
mod check_args;
mod completions_args;
mod compose_args;
mod csv;
mod docker_flags;
mod docker_run_flags;
mod docker_words;
mod doctor_args;
mod environment;
mod expand_args;
mod explain_args;
mod files_args;
mod flag_hints;
mod fmt_args;
mod groups;
mod hosts;
mod ignore_args;
mod image_args;
mod images_args;
mod key_value;
mod list_format;
mod logs_args;
mod named_context;
mod operands;
mod outputs;
mod parse_args;
#[cfg(test)]
mod reference;
mod registry_args;
mod run_args;
mod run_mounts;
mod secrets;
mod ssh;
mod step_place;
mod ulimits;
mod upkeep_args;
mod values;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use dfbuild::dockerfile::suggest;

use crate::meant;

pub(crate) use allow::Entitlement;
pub(crate) use annotation::Annotations;
pub(crate) use build_args::BuildArgs;
pub(crate) use caches::CacheFlag;
pub(crate) use check_args::{CheckArgs, CheckFormat};
pub(crate) use completions_args::{CompletionsArgs, ManArgs};
pub(crate) use compose_args::ComposeArgs;
pub(crate) use docker_flags::{ComposeFlags, DockerFlags};
pub(crate) use docker_run_flags::DockerRunFlags;
pub(crate) use docker_words::verb_of_compose as docker_verb;
pub(crate) use doctor_args::{DoctorArgs, DoctorFormat};
pub(crate) use environment::PLATFORM;
pub(crate) use expand_args::ExpandArgs;
pub(crate) use explain_args::{ExplainArgs, ExplainFormat};
pub(crate) use files_args::{CopyArgs, DiffArgs, LayersArgs};
pub(crate) use fmt_args::FmtArgs;
pub(crate) use ignore_args::IgnoreArgs;
pub(crate) use image_args::{
    FormatArg, HistoryArgs, InspectArgs, LoadArgs, RemoveArgs, SaveArgs, TagArgs,
};
pub(crate) use images_args::{ImagesArgs, ImagesFilter};
pub(crate) use key_value::KeyValue;
pub(crate) use list_format::ListFormat;
pub(crate) use logs_args::LogsArgs;
pub(crate) use outputs::{Destination, FlagKind, OutputFlag};
pub(crate) use parse_args::{ParseArgs, ParseFormat};
pub(crate) use registry_args::{PullArgs, PushArgs, RegistryArgs, TransferArgs};
pub(crate) use run_args::{CommonRunArgs, OnErrorArg, PullArg, RunArgs, ShellArgs};
pub(crate) use run_mounts::{MountFlag, VolumeFlag};
pub(crate) use secrets::{SecretFlag, SecretOrigin};
pub(crate) use ssh::{SshFlag, USE_AN_AGENT};
pub(crate) use step_place::StepPlace;
pub(crate) use upkeep_args::{DuArgs, FsckArgs, PruneArgs, UpkeepFormat};
pub(crate) use values::{NetworkArg, ProgressArg, SecretLeakArg};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "dfbuild",
    version,
    about = "Build images from Dockerfiles: no daemon, no root, no container runtime.",
    after_help = "`build` is the default command: `dfbuild -t app .` is `dfbuild build -t app .`\n\
                  (a folder called like a command is written `./images`). Its flags: `dfbuild build --help`.",
    args_override_self = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The error to end with unless the context, which stands in the place of a command, is there.
    #[arg(skip)]
    pub(crate) unless_context: Option<clap::Error>,
}

impl Cli {
    /// Reads the arguments, the first of which is the program's name.
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut args: Vec<OsString> = args.into_iter().collect();
        let at = first_word(&args);
        docker_words::ungroup(&mut args, at);
        if let Some(group) = docker_words::group_help(&args, at, &Self::command()) {
            group.try_get_matches_from(["dfbuild", "--help"])?;
        }
        let word = args.get(at).cloned().unwrap_or_default();
        let defaulted = !word.is_empty() && !stands_alone(&word);
        if defaulted {
            args.insert(at, "build".into());
        }
        let next = args.get(at + 2).and_then(|next| next.to_str());
        let no_command = if defaulted { no_such_command(&word, next) } else { None };
        let command = args.get(at).and_then(|arg| arg.to_str());
        let is_compose = command == Some("compose");
        if matches!(command, Some("build" | "verify" | "explain" | "compose")) {
            docker_words::switches(&mut args);
        }
        let mut verb = None;
        if is_compose {
            docker_words::parallel(&mut args);
            let mut words = args[at + 1..].iter().filter_map(|word| word.to_str());
            verb = words.find_map(docker_words::verb_of_compose);
        }
        let mut grammar = groups::grouped(Self::command()).mut_subcommand("explain", |explain| {
            // What ran last is told of the Dockerfile that is here.
            explain.mut_arg("context", |arg| {
                arg.required(false)
                    .required_unless_present("last")
                    .default_value_if("last", "true", ".")
            })
        });
        if is_run(&args) {
            grammar.build();
            let run = grammar.find_subcommand("run").expect("there is such a command");
            operands::end_flags_at_first(&mut args, at + 1, run);
        }
        let command = args.get(at).cloned().unwrap_or_default();
        let matches = grammar.try_get_matches_from(&args).map_err(|error| {
            let no_command = no_command.as_deref().or(verb.as_deref());
            helpful(error, (&command, &args), no_command)
        })?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.unless_context = no_command.map(|text| unknown_command(&text));
        Ok(cli)
    }
}

/// Where the command is, or what stands in its place: behind the global options.
fn first_word(args: &[OsString]) -> usize {
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        match arg.to_str() {
            Some("--debug" | "-D") => at += 1,
            Some("--root") => at += 2,
            Some(text) if text.starts_with("--root=") => at += 1,
            _ => break,
        }
    }
    at
}

/// Whether a command line is one of `run`, which has exit codes of its own.
pub(crate) fn is_run(args: &[OsString]) -> bool {
    args.get(first_word(args)).is_some_and(|word| word == "run")
}

/// What to say of a word in the place of a command that is none.
fn no_such_command(word: &OsStr, next: Option<&str>) -> Option<String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let word = word.to_str().filter(|word| word.bytes().all(is_part) && !word.starts_with('-'))?;
    if let Some(text) = docker_words::elsewhere(word, next) {
        return Some(text);
    }
    let command = Cli::command();
    let names = || command.get_subcommands().flat_map(clap::Command::get_name_and_visible_aliases);
    let lower = word.to_ascii_lowercase();
    let close = names().find(|name| *name == lower).or_else(|| {
        // A word of two letters is two slips away from every other.
        suggest::closest(&lower, names()).filter(|_| lower.len() > 2)
    });
    Some(match (close, meant::folder(Path::new(word))) {
        (Some(close), _) => format!("there is no command `{word}`; did you mean `{close}`?"),
        (None, Some(meant)) => format!("there is neither a command nor a folder `{word}`; {meant}"),
        (None, None) => format!("there is neither a command nor a folder `{word}`"),
    })
}

fn unknown_command(text: &str) -> clap::Error {
    let mut grammar = Cli::command();
    grammar.build();
    grammar.error(ErrorKind::InvalidSubcommand, text)
}

/// The error with what helps most: that a word is no command, or what a context is.
fn helpful(
    error: clap::Error,
    (command, args): (&OsStr, &[OsString]),
    no_command: Option<&str>,
) -> clap::Error {
    let mut grammar = Cli::command();
    grammar.build();
    let missing = |error: &clap::Error| match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(args)) => args.iter().any(|arg| arg == "<CONTEXT>"),
        _ => false,
    };
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.clone(),
        _ => String::new(),
    };
    if command == "run"
        && let Some(text) = docker_run_flags::refused(&flag)
    {
        let run = grammar.find_subcommand_mut("run").expect("there is such a command");
        return run.error(ErrorKind::UnknownArgument, text);
    }
    match (error.kind(), no_command) {
        (ErrorKind::UnknownArgument, Some(text)) => unknown_command(text),
        (ErrorKind::UnknownArgument, None) => {
            let command = command.to_string_lossy();
            match flag_hints::text(&command, &flag, args) {
                Some(text) => grammar.error(ErrorKind::UnknownArgument, text),
                None => error,
            }
        }
        (ErrorKind::MissingRequiredArgument, _) if missing(&error) => {
            let Some(command) = grammar.find_subcommand_mut(command) else { return error };
            let text =
                "the context is missing: the folder whose files COPY and ADD see, `.` for this one";
            command.error(ErrorKind::MissingRequiredArgument, text)
        }
        _ => error,
    }
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct GlobalArgs {
    /// Folder of the store [default: /var/lib/dfbuild for root, else ~/.local/share/dfbuild]
    /// [env: DFBUILD_ROOT]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Global")]
    pub(crate) root: Option<PathBuf>,

    /// Tell more about failures
    #[arg(short = 'D', long, global = true, help_heading = "Global")]
    pub(crate) debug: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an image
    Build(Box<BuildArgs>),
    /// Build twice in empty stores, and tell what differs
    Verify(Box<BuildArgs>),
    /// Build the images of a compose file
    Compose(Box<ComposeArgs>),
    /// Tell which steps a build would run, and why
    Explain(Box<ExplainArgs>),
    /// List images
    Images(ImagesArgs),
    /// Print what is known of images
    Inspect(InspectArgs),
    /// Print how an image came about
    History(HistoryArgs),
    /// Give an image a further name
    Tag(TagArgs),
    /// Take names of images away
    #[command(alias = "rmi")]
    Rm(RemoveArgs),
    /// Run a command in an image, to try it out
    Run(Box<RunArgs>),
    /// Open a shell where a RUN failed, in a stage or in an image
    Shell(Box<ShellArgs>),
    /// Show what the commands of a build wrote, all of it
    Logs(LogsArgs),
    /// Copy files of an image to this machine
    Cp(CopyArgs),
    /// Tell what differs between two images
    Diff(DiffArgs),
    /// Show what each layer of an image adds and wastes
    Layers(LayersArgs),
    /// Write images to an archive, for `docker load` and others
    Save(SaveArgs),
    /// Load the images of an archive or an OCI folder into the store
    Load(LoadArgs),
    /// Fetch an image from its registry into the store
    Pull(PullArgs),
    /// Send an image of the store to its registry
    Push(PushArgs),
    /// Show what the store takes on the disk, and what keeps it
    Du(DuArgs),
    /// Remove what is not needed from the store
    Prune(PruneArgs),
    /// Look for damage in the store, and repair it
    Fsck(FsckArgs),
    /// Look for what had better be changed in a Dockerfile
    Check(CheckArgs),
    /// Print the syntax tree of a Dockerfile
    Parse(ParseArgs),
    /// Print what words of a Dockerfile expand to
    Expand(ExpandArgs),
    /// Tell whether files are ignored, and by which line
    Ignore(IgnoreArgs),
    /// Format a Dockerfile
    Fmt(FmtArgs),
    /// Look whether this machine has what builds need
    Doctor(DoctorArgs),
    /// Print a script that teaches a shell the command line
    #[command(alias = "completion")]
    Completions(CompletionsArgs),
    /// Write a manual page for each command
    Man(ManArgs),
}

fn stands_alone(arg: &OsStr) -> bool {
    let Some(arg) = arg.to_str() else { return false };
    matches!(arg, "-h" | "--help" | "-V" | "--version")
        || Cli::command().get_subcommands().any(|command| {
            command.get_name() == arg || command.get_all_aliases().any(|alias| alias == arg)
        })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(line: &str) -> Result<Cli, String> {
        let args = std::iter::once("dfbuild").chain(line.split_whitespace());
        Cli::read(args.map(OsString::from)).map_err(|error| error.to_string())
    }

    fn build(line: &str) -> BuildArgs {
        match read(line).unwrap().command {
            Command::Build(args) => *args,
            other => panic!("{line} is {other:?}"),
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn build_is_the_default_command() {
        for line in [
            "-f Dockerfile.base -t base .",
            "build -f Dockerfile.base -t base .",
            "--root /s -f Dockerfile.base -t base .",
            "--root=/s --debug build -f Dockerfile.base -t base .",
            "-fDockerfile.base --tag=base . --root /s",
        ] {
            let args = build(line);
            assert_eq!(args.file, Some(PathBuf::from("Dockerfile.base")), "{line}");
            assert_eq!(args.tag, ["base"], "{line}");
            assert_eq!(args.context, Path::new("."), "{line}");
        }
        assert_eq!(build("./images").context, Path::new("./images"));
        assert_eq!(build("-t x images").context, Path::new("images"));
        assert!(matches!(read("images").unwrap().command, Command::Images(_)));
        assert!(matches!(read("--root /s images -q").unwrap().command, Command::Images(_)));
    }

    #[test]
    fn the_context_is_required() {
        for line in ["-t base", "build", "verify", "explain"] {
            let error = read(line).unwrap_err();
            assert!(error.contains("the context is missing: "), "{error}");
            let command = line.split(' ').find(|word| !word.starts_with('-')).unwrap();
            let command = if command == "base" { "build" } else { command };
            assert!(error.contains(&format!("Usage: dfbuild {command} ")), "{error}");
        }
        let Command::Explain(args) = read("explain --last").unwrap().command else { panic!() };
        assert_eq!(args.build.context, Path::new("."));
    }

    #[test]
    fn what_stands_behind_an_image_is_its_commands() {
        for (line, command) in [
            ("run --rm --entrypoint sh app -c x", "-c x"),
            ("--debug run -e A --root /s app --rm -it --help --root x", "--rm -it --help --root x"),
            ("run -it --name n app sh -c x -- y", "sh -c x -- y"),
            ("run app -- sh", "sh"),
        ] {
            let Command::Run(args) = read(line).unwrap().command else { panic!("{line}") };
            assert_eq!((args.image.as_str(), args.command.join(" ").as_str()), ("app", command));
        }
        assert!(read("run --rm").unwrap_err().contains("<IMAGE>"));
        assert!(read("run --help").unwrap_err().contains("[COMMAND]..."));
    }

    #[test]
    fn words_that_are_no_commands() {
        for (line, expect) in [
            ("biuld -t a .", "there is no command `biuld`; did you mean `build`?"),
            ("Images x", "there is no command `Images`; did you mean `images`?"),
            ("login -u me host", "dfbuild has no command `login`: dfbuild keeps no passwords"),
            ("ls -l x", "there is neither a command nor a folder `ls`"),
            (
                "--context dir://. --dockerfile=D --destination r/app --no-cache",
                "there is no such flag:\n  --context: the context is the last word, a folder or an address: \
                 `dfbuild -t app FOLDER`\n  --dockerfile: `-f FILE` (`--file`) names the Dockerfile\n  \
                 --destination: `--push -t NAME` builds an image and pushes it\n\n",
            ),
            ("check --fix", "there is no --fix here: `dfbuild fmt --write`"),
            ("rmi --platform linux/arm64 a", "there is no --platform here: a name is taken away"),
            ("images --tree", "there is no --tree here: `dfbuild inspect --format table NAME`"),
            ("pull -a b", "there is no -a here: name each tag"),
            ("load --platform linux/arm64", "there is no --platform here: all platforms"),
            ("build -t Bad:1 .", "`Bad:1`: repository name must be lowercase: write `bad:1`"),
            ("build -o type=docker,name=Bad .", "must be lowercase: write `bad`"),
            ("tag a Bad:1", "`Bad:1`: repository name must be lowercase: write `bad:1`"),
            ("tag Bad:1 a", "must be lowercase: write `bad:1`"),
            ("push Bad:1", "must be lowercase: write `bad:1`"),
            ("pull Bad:1", "must be lowercase: write `bad:1`"),
            ("rm a Bad:1", "must be lowercase: write `bad:1`"),
            ("inspect Bad:1", "must be lowercase: write `bad:1`"),
            ("history Bad:1", "must be lowercase: write `bad:1`"),
            ("run Bad:1 ls", "must be lowercase: write `bad:1`"),
            ("save Bad:1", "must be lowercase: write `bad:1`"),
            ("images Bad", "must be lowercase: write `bad`"),
            ("cp Bad:1:/etc .", "must be lowercase: write `bad:1`"),
            ("run --health-cmd x a", "--health-cmd is not there: "),
            ("run --oom-score-adj=5 a", "--oom-score-adj is not there: "),
            ("build -j 0 .", "for '--jobs <N>': give a number from 1 on"),
            ("frobnicate a b", "there is neither a command nor a folder `frobnicate`"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(expect), "{line}: {error}");
        }
        assert!(read("a/b c").unwrap_err().contains("unexpected argument 'c'"));
        let unless = |line| read(line).unwrap().unless_context.map(|error| error.to_string());
        assert!(unless("imgaes").unwrap().contains("did you mean `images`?"));
        for line in [".", "a/b", "-t imgaes .", "build imgaes"] {
            assert_eq!(unless(line), None, "{line}");
        }
    }

    #[test]
    fn flags_of_docker_without_meaning() {
        let args = build(
            "--rm=false --force-rm --compress -m 1g --cpu-shares 2 --builder b --no-cache=true \
             --pull=false --network=bridge --call=build .",
        );
        assert!(args.no_cache && !args.pull);
        let told = args.docker.notices();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("--builder does not count here: "), "{told:?}");
        assert!(build("--call=check .").checks() && build("--check=true .").checks());
        assert!(build("-o type=docker -t a .").loads() && !build(".").loads());
        assert!(read("--call=outline .").unwrap_err().contains("dfbuild parse"));
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let args = build("--target a --target b --no-cache --no-cache .");
        assert_eq!(args.target.as_deref(), Some("b"));
        assert!(args.no_cache);
    }

    /// Every flag that the conformance runner passes, in its order.
    #[test]
    fn the_flags_of_the_conformance_runner() {
        let args = build(
            "-f D -t case:latest --no-cache --progress=plain --root /s/store0 \
             -o type=oci,dest=out.tar --metadata-file m.json \
             --build-context busybox=oci-layout:///b --build-context named=/n \
             --build-arg A=1 --label a=b --target t --platform linux/amd64 --network none \
             --add-host foo:1.2.3.4 --add-host bar:::1 --shm-size 134217728 \
             --ulimit nofile=1062:1063 --allow security.insecure --allow network.host \
             --secret id=a,src=/f --secret id=b,env=B ctx",
        );
        assert_eq!(args.shm_size, Some(134_217_728));
        assert_eq!(args.add_host.len(), 2);
        assert_eq!(args.secret.len(), 2);
        assert_eq!(args.allow.len(), 2);
        assert_eq!(args.context, Path::new("ctx"));
    }

    #[test]
    fn flags_of_ci_scripts() {
        let args = build(
            "--pull --load --provenance=false --sbom=false --attest type=sbom,disabled=true \
             --memory-swap -1 --no-cache-filter a,b --no-cache-filter c -q --timeout 1h30m -j 3 .",
        );
        assert!(!args.attests() && build("--provenance=mode=max .").attests());
        assert_eq!(args.no_cache_filter, ["a", "b", "c"]);
        assert_eq!(args.timeout, Some(std::time::Duration::from_secs(5400)));
        assert_eq!(args.jobs.map(std::num::NonZeroUsize::get), Some(3));
    }
}
