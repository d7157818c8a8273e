use clap::{Args, ValueEnum};

/// List images
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Only images of this name, as app or app:1.0
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: Option<String>,

    /// How to print them; json is one object a line
    #[arg(long, value_enum, value_name = "table|json",
          default_value_t = ImagesFormat::Table, hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: ImagesFormat,

    /// Print ids only
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print whole ids
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

/// How to print images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImagesFormat {
    /// Columns.
    Table,
    /// One JSON object a line.
    Json,
}
