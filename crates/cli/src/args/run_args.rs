//! The commands that run something in an image, a stage, or where a step failed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dfbuild::{Platform, Ulimit};

use super::build_args::parse_platform;
use super::{
    KeyValue, NetworkArg, RegistryArgs, SecretFlag, SshFlag, hosts, key_value, secrets, ssh,
    ulimits,
};
use crate::units;

/// `run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild run --rm -it app sh                   look around in an image\n  \
    dfbuild run -v \"$PWD\":/src -w /src app make   work on files of this machine\n  \
    dfbuild run --network none --user 1000 app\n  \
    dfbuild run debian:12 cat /etc/os-release     an image that is not here is pulled\n\n\
    Nothing is kept of what the command changes, as with `docker run --rm`. It has this machine's\n\
    network, unless --network none takes it away.")]
pub(crate) struct RunArgs {
    /// Name of an image, or the beginning of its id
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,

    /// Command and its arguments, instead of the image's
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
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
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,

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

/// Flags of `docker run` that mean nothing here.
#[derive(Debug, Default, Args)]
pub(crate) struct DockerRunFlags {
    /// What is called so would be gone at once.
    #[arg(long, hide = true)]
    name: Option<String>,
    /// Whoever starts a command here reaps its children.
    #[arg(long, hide = true)]
    init: bool,
    #[arg(short, long, hide = true)]
    publish: Vec<String>,
    #[arg(long, hide = true)]
    privileged: bool,
    #[arg(long, hide = true)]
    restart: Option<String>,
    #[arg(short, long, hide = true)]
    detach: bool,
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true)]
    cpus: Option<String>,
}

impl DockerRunFlags {
    /// What people should know of those that were given.
    pub(crate) fn notices(&self) -> Vec<String> {
        const PORTS: &str = "the command has this machine's network, and its ports are open";
        const LIMITS: &str =
            "limit dfbuild itself, as `systemd-run --user --scope -p MemoryMax=1G dfbuild run …`";
        const CPUS: &str =
            "limit dfbuild itself, as `systemd-run --user --scope -p CPUQuota=200% dfbuild run …`";
        let flags = [
            (!self.publish.is_empty(), "publish", PORTS),
            (self.privileged, "privileged", "the command has what the commands of builds have"),
            (self.restart.is_some(), "restart", "a command runs once"),
            (self.detach, "detach", "a command runs in the foreground"),
            (self.memory.is_some(), "memory", LIMITS),
            (self.cpus.is_some(), "cpus", CPUS),
        ];
        let given = flags.into_iter().filter(|(given, ..)| *given);
        given.map(|(_, name, why)| format!("--{name} does not count here: {why}")).collect()
    }
}

/// What `run` and `shell` have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonRunArgs {
    /// Variable; without `=` it is taken from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = key_value::parse)]
    pub(crate) env: Vec<KeyValue>,

    /// File or folder of this machine that the command sees
    #[arg(short, long, value_name = "PATH:TARGET[:ro]", value_parser = parse_volume)]
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
}

/// What happens when a RUN fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnErrorArg {
    /// The build ends.
    Fail,
    /// The build ends with a shell where it failed.
    Shell,
}

/// A `-v`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeFlag {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

fn parse_volume(text: &str) -> Result<VolumeFlag, String> {
    let mut parts = text.split(':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err("give PATH:TARGET; there are no anonymous volumes".to_owned());
    };
    let mut read_only = false;
    for option in parts.flat_map(|options| options.split(',')) {
        match option {
            "ro" => read_only = true,
            // Nothing here has labels, and a folder is always the caller's own.
            "rw" | "z" | "Z" => {}
            other => return Err(format!("unknown option `{other}`: there are ro and rw")),
        }
    }
    if !source.contains('/') && source != "." && source != ".." {
        return Err(format!("there are no named volumes; write ./{source} for a folder"));
    }
    if !target.starts_with('/') {
        return Err("the target must be an absolute path".to_owned());
    }
    Ok(VolumeFlag { source: source.into(), target: target.to_owned(), read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        for (text, source, target, read_only) in [
            ("/a:/b", "/a", "/b", false),
            ("./a:/b:ro", "./a", "/b", true),
            (".:/b:rw,z", ".", "/b", false),
        ] {
            let expect = VolumeFlag { source: source.into(), target: target.into(), read_only };
            assert_eq!(parse_volume(text), Ok(expect), "{text}");
        }
        for bad in ["/a", "a:/b", "/a:b", "/a:/b:x"] {
            assert!(parse_volume(bad).is_err(), "{bad}");
        }
    }
}
