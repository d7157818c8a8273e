//! The commands that run something in an image, a stage, or where a step failed.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use dfbuild::{Platform, Tmpfs, Ulimit};

use super::run_mounts::{self, MountFlag, VolumeFlag};
use super::values::{parse_image, parse_platform};
use super::{
    DockerRunFlags, KeyValue, NetworkArg, RegistryArgs, SecretFlag, SshFlag, hosts, key_value,
    secrets, ssh, ulimits,
};
use crate::units;

/// `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  \
    dfbuild run --rm -it app sh                   look around in an image\n  \
    dfbuild run -v \"$PWD\":/src -w /src app make   work on files of this machine\n  \
    dfbuild run --network none --user 1000 app\n  \
    dfbuild run debian:12 cat /etc/os-release     an image that is not here is pulled\n\n\
    Nothing is kept of what the command changes, as with `docker run --rm`. It has this machine's\n\
    network, unless --network none takes it away.\n\n\
    A failure of `run` itself exits with 125, a command that cannot be executed with 126, one that is\n\
    not there with 127; any other code is the command's.",
    disable_help_flag = true
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct RunArgs {
    /// Name of an image, or the beginning of its id
    #[arg(value_name = "IMAGE", value_parser = parse_image)]
    pub(crate) image: String,

    /// Command and its arguments, instead of the image's
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,

    /// Entrypoint instead of the image's; an empty one is none
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,

    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,

    /// Keep nothing afterwards (nothing is ever kept)
    #[arg(long)]
    pub(crate) rm: bool,

    /// File with variables, one NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,

    /// What the command calls its machine
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,

    /// File or folder of this machine, or memory, that the command sees
    #[arg(long, value_name = "type=bind|tmpfs,src=PATH,dst=TARGET[,ro]", value_parser = run_mounts::mount)]
    pub(crate) mount: Vec<MountFlag>,

    /// Empty folder in memory
    #[arg(long, value_name = "TARGET[:size=BYTES,mode=MODE]", value_parser = run_mounts::tmpfs)]
    pub(crate) tmpfs: Vec<Tmpfs>,

    /// The command cannot change the files of the image
    #[arg(long)]
    pub(crate) read_only: bool,

    /// All capabilities, no filter of system calls and no masked paths
    #[arg(long)]
    pub(crate) privileged: bool,

    /// Line for /etc/hosts
    #[arg(long, value_name = "NAME:IP", value_parser = hosts::parse)]
    pub(crate) add_host: Vec<(String, String)>,

    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "BYTES[k|m|g]", value_parser = units::parse_size)]
    pub(crate) shm_size: Option<u64>,

    /// Resource limit, as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimits::parse)]
    pub(crate) ulimit: Vec<Ulimit>,

    /// The platform, of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,

    /// When to pull the image: if it is missing, always, or never
    #[arg(long, value_enum, value_name = "missing|always|never", default_value_t = PullArg::Missing,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) pull: PullArg,

    #[command(flatten)]
    pub(crate) common: CommonRunArgs,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,

    #[command(flatten)]
    pub(crate) docker: DockerRunFlags,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// When `run` pulls an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullArg {
    /// If the store has none of that name.
    Missing,
    /// Whatever the store has.
    Always,
    /// Not at all.
    Never,
}

/// What `run` and `shell` have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonRunArgs {
    /// Variable; without `=` it is taken from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = key_value::parse)]
    pub(crate) env: Vec<KeyValue>,

    /// File or folder of this machine that the command sees
    #[arg(short, long, value_name = "PATH:TARGET[:ro]", value_parser = run_mounts::volume)]
    pub(crate) volume: Vec<VolumeFlag>,

    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,

    /// Who the command runs as
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,

    /// Network: default and host are this machine's
    #[arg(long, alias = "net", value_enum, value_name = "default|none|host",
          default_value_t = NetworkArg::Default, hide_default_value = true,
          hide_possible_values = true)]
    pub(crate) network: NetworkArg,
}

/// `shell`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild shell                         where the last RUN failed, with its changes until then\n  \
    dfbuild shell -- cat /app/error.log   a command there\n  \
    dfbuild shell builder                 at the end of the stage `builder` of the last build\n  \
    dfbuild shell app:1.0                 in an image\n\n\
    Nothing is kept of what is changed. A step that mounts secrets needs them again: --secret.")]
pub(crate) struct ShellArgs {
    /// Image, or stage of the last build, instead of the step that failed last
    #[arg(value_name = "IMAGE|STAGE")]
    pub(crate) place: Option<String>,

    /// Command instead of a shell
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) command: Vec<String>,

    /// Take the name for that of a stage, even if an image is called so
    #[arg(long)]
    pub(crate) stage: bool,

    /// Secret that the failed step mounts
    #[arg(long, value_name = "id=ID[,src=FILE|,env=NAME]", value_parser = secrets::parse)]
    pub(crate) secret: Vec<SecretFlag>,

    /// Agent that the failed step mounts
    #[arg(long, value_name = "default|ID[=SOCKET]", value_parser = ssh::parse)]
    pub(crate) ssh: Vec<SshFlag>,

    #[command(flatten)]
    pub(crate) common: CommonRunArgs,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

/// What happens when a RUN fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnErrorArg {
    /// The build ends.
    Fail,
    /// The build ends with a shell where it failed.
    Shell,
}
