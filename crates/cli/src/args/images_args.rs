use clap::Args;

use super::list_format::{self, ListFormat};
use super::values::parse_image;

/// List images
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild images app                            those of one name\n  \
    dfbuild images --format '{{.Repository}}:{{.Tag}}'\n  \
    dfbuild images --format json | jq -r .ID")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ImagesArgs {
    /// Only images of this name, as app or app:1.0
    #[arg(value_name = "NAME[:TAG]", value_parser = parse_pattern)]
    pub(crate) name: Option<String>,

    /// How to print them: json is one object a line, a template as docker has it
    #[arg(long, value_name = "table|json|TEMPLATE", value_parser = list_format::parse,
          default_value = "table", hide_default_value = true)]
    pub(crate) format: ListFormat,

    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print whole ids
    #[arg(long)]
    pub(crate) no_trunc: bool,

    /// Print digests too
    #[arg(long)]
    pub(crate) digests: bool,

    /// Only images of this name or with this label, as docker has it; none is dangling
    #[arg(short, long, value_name = "reference=NAME|label=KEY[=VALUE]|dangling=BOOL",
          value_parser = parse_filter)]
    pub(crate) filter: Vec<ImagesFilter>,

    /// All images have names here
    #[arg(short, long, hide = true)]
    pub(crate) all: bool,
}

/// What an image has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImagesFilter {
    /// One of this name.
    Reference(String),
    /// One without a name, which no image here is; or one with a name.
    Dangling(bool),
    /// One with this label, of any value if none is given.
    Label(String, Option<String>),
}

/// A name, or a pattern of names.
fn parse_pattern(text: &str) -> Result<String, String> {
    if text.contains(['*', '?', '[']) { Ok(text.to_owned()) } else { parse_image(text) }
}

fn parse_filter(text: &str) -> Result<ImagesFilter, String> {
    match text.split_once('=') {
        Some(("reference", name)) => parse_pattern(name).map(ImagesFilter::Reference),
        Some(("label", label)) => Ok(match label.split_once('=') {
            Some((key, value)) => ImagesFilter::Label(key.to_owned(), Some(value.to_owned())),
            None => ImagesFilter::Label(label.to_owned(), None),
        }),
        Some(("dangling", "true" | "1")) => Ok(ImagesFilter::Dangling(true)),
        Some(("dangling", "false" | "0")) => Ok(ImagesFilter::Dangling(false)),
        _ => Err("there are reference=NAME, label=KEY[=VALUE] and dangling=true|false".to_owned()),
    }
}
