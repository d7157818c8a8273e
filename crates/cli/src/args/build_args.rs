use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dfbuild::{BuildContext, CacheExport, CacheSource, Platform, StoreLimit, Ulimit};

use super::upkeep_args::parse_limit;
use super::values::{
    NetworkArg, ProgressArg, SecretLeakArg, SnapshotterArg, parse_attestation, parse_platform,
    parse_tag,
};
use super::{
    Annotations, CacheFlag, DockerFlags, Entitlement, FlagKind, KeyValue, OnErrorArg, OutputFlag,
    RegistryArgs, SecretFlag, SshFlag, StepPlace, allow, annotation, caches, hosts, key_value,
    named_context, outputs, secrets, ssh, step_place, ulimits,
};
use crate::timings::{self, TimingsArg};
use crate::units;

/// Build an image
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild -t app .                              build ./Dockerfile, call the image `app`\n  \
    dfbuild -f Dockerfile.base -t base .          another Dockerfile\n  \
    dfbuild -t app -o type=oci,dest=app.tar .     also write an OCI archive\n  \
    dfbuild -o rootfs --target test .             the files of stage `test` as a folder\n  \
    dfbuild -t app https://host/app.git#v1:dir    the folder `dir` of a tag\n  \
    tar c . | dfbuild -t app -                    an archive, compressed or not")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct BuildArgs {
    /// Files that COPY and ADD see: a folder, a git repository (https://HOST/X.git#REF:DIR), an
    /// archive at a URL, or `-` for an archive or a Dockerfile on standard input
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: PathBuf,

    /// Dockerfile; `-` reads it from standard input; a relative one of a context that is no folder
    /// is in it [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE", help_heading = "What to build")]
    pub(crate) file: Option<PathBuf>,

    /// Stage to build, by name, instead of the last one
    #[arg(long, value_name = "STAGE", help_heading = "What to build")]
    pub(crate) target: Option<String>,

    /// Value of an ARG; without `=` it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = key_value::parse,
          help_heading = "What to build")]
    pub(crate) build_arg: Vec<KeyValue>,

    /// Other files or another image that the Dockerfile can name
    #[arg(long, value_name = "NAME=DIR|URL|GIT|oci-layout://DIR[:TAG]|docker-image://REF",
          value_parser = named_context::parse, help_heading = "What to build")]
    pub(crate) build_context: Vec<(String, BuildContext)>,

    /// Platforms to build for, as linux/amd64,linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform,
          value_delimiter = ',', help_heading = "What to build")]
    pub(crate) platform: Vec<Platform>,

    /// Look at the Dockerfile like `dfbuild check`, and build nothing
    #[arg(long, help_heading = "What to build")]
    pub(crate) check: bool,

    /// `check` or `build`, as buildx has it
    #[arg(long, value_parser = parse_call, hide = true)]
    call: Option<Call>,

    /// Name of the image, as app or me/app:1.0; repeatable
    #[arg(short, long, value_name = "NAME[:TAG]", value_parser = parse_tag,
          help_heading = "What comes out")]
    pub(crate) tag: Vec<String>,

    /// Where the image goes beside the store; only a folder means type=local
    #[arg(short, long, value_name = "type=oci|docker|local|tar,dest=PATH",
          value_parser = outputs::parse, help_heading = "What comes out")]
    pub(crate) output: Vec<OutputFlag>,

    /// Label of the image; wins over the Dockerfile's
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value::parse,
          help_heading = "What comes out")]
    pub(crate) label: Vec<KeyValue>,

    /// Note on the manifest, or on what TYPE says; repeatable
    #[arg(long, value_name = "[TYPE:]KEY=VALUE", value_parser = annotation::parse,
          help_heading = "What comes out")]
    pub(crate) annotation: Vec<Annotations>,

    /// Write the image id to a file
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    pub(crate) iidfile: Option<PathBuf>,

    /// Write digests and names as JSON to a file
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    pub(crate) metadata_file: Option<PathBuf>,

    /// Hand the image to the Docker or podman of this machine as well
    #[arg(long, help_heading = "What comes out")]
    pub(crate) load: bool,

    /// Push the image to the registries of its names
    #[arg(long, conflicts_with = "offline", help_heading = "What comes out")]
    pub(crate) push: bool,

    // Whether attestations are wanted. None are made; they are taken, so that scripts go on.
    #[arg(long, value_parser = parse_attestation, hide = true)]
    attest: Vec<bool>,
    #[arg(long, value_parser = parse_attestation, hide = true)]
    provenance: Option<bool>,
    #[arg(long, value_parser = parse_attestation, hide = true)]
    sbom: Option<bool>,

    /// Run every step, whatever is in the cache
    #[arg(long, help_heading = "Cache")]
    pub(crate) no_cache: bool,

    /// Run every step of these stages
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',', help_heading = "Cache")]
    pub(crate) no_cache_filter: Vec<String>,

    /// Run the step at this line of the Dockerfile; repeatable
    #[arg(long, value_name = "[FILE:]LINE", value_parser = step_place::parse,
          help_heading = "Cache")]
    pub(crate) no_cache_step: Vec<StepPlace>,

    /// Run commands again whose results are older than this, as 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration,
          help_heading = "Cache")]
    pub(crate) cache_max_age: Option<Duration>,

    /// Fail when a step is not in the cache, instead of running it
    #[arg(long, conflicts_with_all = ["no_cache", "no_cache_filter", "no_cache_step"],
          help_heading = "Cache")]
    pub(crate) require_cache: bool,

    /// Read all files again, even those that nothing shows to have changed
    #[arg(long, help_heading = "Cache")]
    pub(crate) no_stat_cache: bool,

    /// Take files of the context as git keeps them: folders 0755, files 0755 or 0644
    #[arg(long, help_heading = "Cache")]
    pub(crate) normalise_modes: bool,

    /// Look for newer base images than those in the store
    #[arg(long, conflicts_with = "offline", help_heading = "Cache")]
    pub(crate) pull: bool,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,

    /// Cache of other machines to read from; only a name means type=registry; repeatable
    #[arg(long, value_name = "type=registry|local,ref=NAME|src=DIR", value_parser = caches::parse_from,
          help_heading = "Cache")]
    pub(crate) cache_from: Vec<CacheFlag<CacheSource>>,

    /// Cache for other machines to write to; repeatable
    #[arg(long, value_name = "type=registry|local|inline,ref=NAME|dest=DIR,mode=min|max",
          value_parser = caches::parse_to, help_heading = "Cache")]
    pub(crate) cache_to: Vec<CacheFlag<CacheExport>>,

    /// What the store may take; the least recently used goes at the end of the build [default: a tenth
    /// of its disk, at least 2 GB]
    #[arg(long, value_name = "BYTES[k|m|g]|none", value_parser = parse_limit, env = "DFBUILD_STORE_LIMIT",
          hide_env_values = true, help_heading = "Cache")]
    pub(crate) store_limit: Option<StoreLimit>,

    /// Secret for RUN --mount=type=secret
    #[arg(long, value_name = "id=ID[,src=FILE|,env=NAME]", value_parser = secrets::parse,
          help_heading = "What commands see")]
    pub(crate) secret: Vec<SecretFlag>,

    /// What to do if a secret of 12 bytes or more is found in a layer
    #[arg(long, value_enum, value_name = "error|warn|off", default_value_t = SecretLeakArg::Warn,
          hide_default_value = true, hide_possible_values = true, help_heading = "What commands see")]
    pub(crate) secret_leak: SecretLeakArg,

    /// Agent for RUN --mount=type=ssh: that of SSH_AUTH_SOCK, or one at a socket
    #[arg(long, value_name = "default|ID[=SOCKET]", value_parser = ssh::parse,
          help_heading = "What commands see")]
    pub(crate) ssh: Vec<SshFlag>,

    /// Network of RUN: default and host are this machine's
    #[arg(long, value_enum, value_name = "default|none|host", default_value_t = NetworkArg::Default,
          hide_default_value = true, hide_possible_values = true, help_heading = "What commands see")]
    pub(crate) network: NetworkArg,

    /// Line for /etc/hosts of every RUN
    #[arg(long, value_name = "NAME:IP", value_parser = hosts::parse,
          help_heading = "What commands see")]
    pub(crate) add_host: Vec<(String, String)>,

    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "BYTES[k|m|g]", value_parser = units::parse_size,
          help_heading = "What commands see")]
    pub(crate) shm_size: Option<u64>,

    /// Unpack archives and layers whatever they inflate to
    #[arg(long, help_heading = "How to run")]
    pub(crate) trust_archives: bool,

    /// Resource limit of every RUN, as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimits::parse,
          help_heading = "What commands see")]
    pub(crate) ulimit: Vec<Ulimit>,

    /// Grant what a RUN may ask for: network.host, security.insecure
    #[arg(long, value_name = "ENTITLEMENT", value_parser = allow::parse, value_delimiter = ',',
          help_heading = "What commands see")]
    pub(crate) allow: Vec<Entitlement>,

    /// How many steps run at the same time
    #[arg(short, long, value_name = "N", value_parser = units::parse_count, help_heading = "How to run")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// End the build after this time, as 90s or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration,
          help_heading = "How to run")]
    pub(crate) timeout: Option<Duration>,

    /// What to do when a RUN fails: `shell` opens a shell there, as `dfbuild shell` does later
    #[arg(long, value_enum, value_name = "fail|shell", default_value_t = OnErrorArg::Fail,
          hide_default_value = true, hide_possible_values = true, help_heading = "How to run")]
    pub(crate) on_error: OnErrorArg,

    /// Write where the time went: a page, or `json` on standard output [default: a page among the
    /// temporary files]
    #[arg(long, value_name = "FILE.html|json", num_args = 0..=1, require_equals = true,
          default_missing_value = timings::DEFAULT, value_parser = TimingsArg::parse,
          help_heading = "How to run")]
    pub(crate) timings: Option<TimingsArg>,

    /// How commands get their root file systems: for tests, and for kernels that promise overlays
    /// and do not keep it
    #[arg(long, value_enum, value_name = "auto|overlay|copy", env = "DFBUILD_SNAPSHOTTER",
          default_value_t = SnapshotterArg::Auto, hide = true)]
    pub(crate) snapshotter: SnapshotterArg,

    /// Make layers as if nothing were known of those before them: the bytes are the same, which tests hold
    #[arg(long, hide = true)]
    pub(crate) no_fast_paths: bool,

    /// How to show what happens: auto is tty on a terminal, else plain
    #[arg(long, value_enum, value_name = "auto|tty|plain|classic|quiet|rawjson", env = "BUILDKIT_PROGRESS", hide_env = true,
          default_value_t = ProgressArg::Auto, hide_default_value = true,
          hide_possible_values = true, help_heading = "How to run")]
    pub(crate) progress: ProgressArg,

    /// Print nothing but the image id
    #[arg(short, long, help_heading = "How to run")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) docker: DockerFlags,
}

impl BuildArgs {
    /// Whether the Dockerfile is only looked at.
    pub(crate) fn checks(&self) -> bool {
        self.check || self.call == Some(Call::Check)
    }

    /// Whether it asks for attestations.
    pub(crate) fn attests(&self) -> bool {
        let mut wanted = self.attest.iter().chain(&self.provenance).chain(&self.sbom);
        wanted.any(|wanted| *wanted)
    }

    /// Whether the image goes to its registry.
    pub(crate) fn pushes(&self) -> bool {
        self.push || self.output.iter().any(|output| output.push)
    }

    /// Whether the image goes to the Docker or podman of this machine.
    pub(crate) fn loads(&self) -> bool {
        self.load || self.output.iter().any(|output| output.kind == FlagKind::Daemon)
    }
}

/// What to do with the Dockerfile: a `--call`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Build,
    Check,
}

fn parse_call(text: &str) -> Result<Call, String> {
    match text {
        "build" => Ok(Call::Build),
        "check" | "lint" => Ok(Call::Check),
        _ => {
            Err("there are build and check; `dfbuild parse` prints stages and arguments, `dfbuild \
                  check --format=json` is for programs"
                .to_owned())
        }
    }
}
