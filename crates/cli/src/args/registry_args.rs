use std::path::PathBuf;

use dfbuild::{Platform, Reference};

use super::ProgressArg;
use super::values::{parse_image, parse_platform, parse_reference};

/// How registries and web servers are reached. Credentials come from Docker's `config.json`,
/// proxies from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RegistryArgs {
    /// Ask nobody: whatever is not in the store is an error
    #[arg(long, help_heading = "Registries")]
    pub(crate) offline: bool,

    /// Registry that may be spoken with in the clear, or with any certificate
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Registries")]
    pub(crate) insecure_registry: Vec<String>,

    /// Certificates to trust besides the public ones (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Registries")]
    pub(crate) registry_ca: Vec<PathBuf>,

    /// Mirror to ask before Docker Hub
    #[arg(long, value_name = "[http[s]://]HOST[/PATH]", help_heading = "Registries")]
    pub(crate) registry_mirror: Vec<String>,
}

/// How a pull, a push or several builds show what happens.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TransferArgs {
    /// How to show what happens: auto is tty on a terminal, else plain
    #[arg(long, value_enum, value_name = "auto|tty|plain|classic|quiet|rawjson",
          default_value_t = ProgressArg::Auto, hide_default_value = true,
          hide_possible_values = true)]
    pub(crate) progress: ProgressArg,

    /// Print nothing but what came out: digests, or ids of images
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct PullArgs {
    /// What to pull: `[registry/]name[:tag|@digest]`
    #[arg(value_parser = parse_reference)]
    pub(crate) name: Reference,

    /// The platform to pull an image for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,

    /// Docker's; no signature is looked at.
    #[arg(long, hide = true)]
    disable_content_trust: bool,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

/// `push`.
#[derive(Debug, clap::Args)]
pub(crate) struct PushArgs {
    /// What to push: the name of an image in the store
    #[arg(value_parser = parse_image)]
    pub(crate) name: String,

    /// Push all tags of that name, which has none itself
    #[arg(short, long)]
    pub(crate) all_tags: bool,

    /// Push only the image for this platform, of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,

    /// Docker's; no signature is looked at.
    #[arg(long, hide = true)]
    disable_content_trust: bool,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}
