use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::units;

use super::{ComposeFlags, KeyValue, RegistryArgs, TransferArgs, key_value};

/// Build the images of a compose file
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild compose                        build what ./compose.yml or ./docker-compose.yml builds\n  \
    dfbuild compose web api                these services, and those whose images they begin with\n  \
    dfbuild compose -f docker-compose.yml -f ci.yml --push\n  \
    dfbuild compose --print                show the build commands that it comes to")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ComposeArgs {
    /// Services to build [default: all with a build section, and without a profile]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,

    /// Compose file; repeatable, later ones go over earlier ones [default: COMPOSE_FILE, else
    /// compose.yaml, compose.yml, docker-compose.yml or docker-compose.yaml here or above, and its
    /// override]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,

    /// What the project is called: images without a name of their own are PROJECT-SERVICE
    #[arg(short, long, value_name = "NAME", env = "COMPOSE_PROJECT_NAME", hide_env_values = true)]
    pub(crate) project_name: Option<String>,

    /// Folder where paths begin [default: that of the first compose file]
    #[arg(long, value_name = "DIR")]
    pub(crate) project_directory: Option<PathBuf>,

    /// Also build services of this profile; `*` are all
    #[arg(
        long,
        value_name = "NAME",
        env = "COMPOSE_PROFILES",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) profile: Vec<String>,

    /// File with variables, instead of .env in the folder of the project
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,

    /// Value of an ARG in all builds
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = key_value::parse)]
    pub(crate) build_arg: Vec<KeyValue>,

    /// Agent for RUN --mount=type=ssh in all builds
    #[arg(long, value_name = "default|ID[=SOCKET]")]
    pub(crate) ssh: Vec<String>,

    /// Run all steps, whatever is in the cache
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Fail when a step is not in the cache, instead of running it
    #[arg(long, conflicts_with = "no_cache")]
    pub(crate) require_cache: bool,

    /// Ask registries for newer base images
    #[arg(long)]
    pub(crate) pull: bool,

    /// Push the images that have names
    #[arg(long)]
    pub(crate) push: bool,

    /// Hand the images to the Docker or podman of this machine as well
    #[arg(long)]
    pub(crate) load: bool,

    /// Look at the Dockerfiles like `dfbuild check`, and build nothing
    #[arg(long)]
    pub(crate) check: bool,

    /// Print the commands that would build the images, and build nothing
    #[arg(long, alias = "dry-run")]
    pub(crate) print: bool,

    /// How many images are built at once [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = units::parse_count)]
    pub(crate) jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,

    #[command(flatten)]
    pub(crate) docker: ComposeFlags,
}
