use clap::Args;

use super::{KeyValue, key_value};

/// Print what words of a Dockerfile expand to
#[derive(Debug, Args)]
#[command(
    after_help = "Each word gives a line with a JSON value. A word that cannot be expanded gives an error\n\
    instead, and the exit status is then 1.\n\n\
    Example:\n  \
    dfbuild expand --env V=1.2.3 '${V%.*}'        prints \"1.2\""
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ExpandArgs {
    /// Words to expand; after `--` they may begin with a dash
    #[arg(value_name = "WORD", required = true)]
    pub(crate) words: Vec<String>,

    /// Variable; without `=` it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = key_value::parse)]
    pub(crate) env: Vec<KeyValue>,

    /// The character that escapes
    #[arg(long, value_name = "CHAR", default_value_t = '\\', hide_default_value = true)]
    pub(crate) escape: char,

    /// Split at blanks, as EXPOSE does: the value is a list
    #[arg(long = "words")]
    pub(crate) split: bool,

    /// Keep quotes
    #[arg(long)]
    pub(crate) raw_quotes: bool,

    /// Keep escape characters
    #[arg(long)]
    pub(crate) raw_escapes: bool,

    /// Keep variables that are not set
    #[arg(long)]
    pub(crate) skip_unset: bool,

    /// Take quotes for ordinary characters
    #[arg(long)]
    pub(crate) skip_process_quotes: bool,
}
