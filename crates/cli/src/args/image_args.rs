//! The commands that look at images of the store, name them and move them.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use dfbuild::{Platform, Reference};

use super::RegistryArgs;
use super::list_format::{self, ListFormat};
use super::values::{parse_image, parse_name, parse_platform};

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

/// `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild inspect app                          docker's JSON, an array of one\n  \
    dfbuild inspect --format table app           the same for people\n  \
    dfbuild inspect -f '{{.Id}}' app             a part of it\n  \
    dfbuild inspect app | jq '.[0].Config.Env'")]
pub(crate) struct InspectArgs {
    /// Names of images, or the beginnings of their ids
    #[arg(value_name = "IMAGE", required = true, value_parser = parse_image)]
    pub(crate) images: Vec<String>,

    /// How to print them: json has docker's keys, and a template takes from it
    #[arg(short, long, value_name = "json|table|TEMPLATE", value_parser = list_format::parse,
          default_value = "json", hide_default_value = true)]
    pub(crate) format: ListFormat,

    /// Of containers; the size of an image is there anyway
    #[arg(short, long, hide = true)]
    pub(crate) size: bool,

    /// What docker calls images here; there is nothing else
    #[arg(long = "type", value_name = "image", value_parser = ["image"], hide = true)]
    pub(crate) kind: Option<String>,

    /// The platform to look at, of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,
}

/// `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Name of an image, or the beginning of its id
    #[arg(value_name = "IMAGE", value_parser = parse_image)]
    pub(crate) image: String,

    /// How to print it: json is one object a line, a template as docker has it
    #[arg(long, value_name = "table|json|TEMPLATE", value_parser = list_format::parse,
          default_value = "table", hide_default_value = true)]
    pub(crate) format: ListFormat,

    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print whole instructions and ids
    #[arg(long)]
    pub(crate) no_trunc: bool,

    /// Print sizes and times for people; `--human=false` prints bytes and dates
    #[arg(short = 'H', long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true", hide_default_value = true,
          hide_possible_values = true, action = ArgAction::Set)]
    pub(crate) human: bool,

    /// The platform to look at, of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,
}

/// `tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// Name of an image, or the beginning of its id
    #[arg(value_name = "IMAGE", value_parser = parse_image)]
    pub(crate) image: String,

    /// Its further name
    #[arg(value_name = "NAME[:TAG]", value_parser = parse_name)]
    pub(crate) name: Reference,
}

/// `rm`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Names to take away; for the beginning of an id all names of that image
    #[arg(value_name = "IMAGE", required = true, value_parser = parse_image)]
    pub(crate) images: Vec<String>,

    /// Take all names of an image away that is given by its id, and do not mind images that are not
    /// there
    #[arg(short, long)]
    pub(crate) force: bool,

    /// The blobs of an image stay until `prune` anyway
    #[arg(long, hide = true)]
    pub(crate) no_prune: bool,

    /// How to print what was done; json is one object for each image
    #[arg(long, value_enum, value_name = "table|json", default_value_t = FormatArg::Table,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: FormatArg,
}

/// `save`.
#[derive(Debug, Args)]
#[command(
    after_help = "The archive is an OCI image layout and what `docker load` takes, both at once.\n\n\
    Examples:\n  \
    dfbuild save -o app.tar app:1.0\n  \
    dfbuild save base app | docker load\n  \
    skopeo copy oci-archive:app.tar:1.0 docker://registry.example/app:1.0"
)]
pub(crate) struct SaveArgs {
    /// Names of images, or the beginnings of their ids
    #[arg(value_name = "IMAGE", required = true, value_parser = parse_image)]
    pub(crate) images: Vec<String>,

    /// File to write instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Only the image for this platform, of an image for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = parse_platform)]
    pub(crate) platform: Option<Platform>,

    #[command(flatten)]
    pub(crate) registries: RegistryArgs,
}

/// `load`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild load -i app.tar.gz\n  \
    docker save app | dfbuild load\n  \
    dfbuild load -i layout-folder -t app:1.0")]
pub(crate) struct LoadArgs {
    /// Archive of docker save, OCI archive or folder, compressed or not, instead of standard input
    #[arg(short, long, value_name = "FILE|DIR")]
    pub(crate) input: Option<PathBuf>,

    /// Name of the image, instead of those in the archive; repeatable
    #[arg(short, long, value_name = "NAME[:TAG]", value_parser = parse_name)]
    pub(crate) tag: Vec<Reference>,

    /// How to print what was loaded; json is one object for each image
    #[arg(long, value_enum, value_name = "table|json", default_value_t = FormatArg::Table,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: FormatArg,

    /// Load layers whatever they inflate to
    #[arg(long)]
    pub(crate) trust_archives: bool,

    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
