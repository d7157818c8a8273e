use clap::{Args, ValueEnum};

use super::BuildArgs;

/// Tell which steps a build would run, and why
#[derive(Debug, Args)]
#[command(after_help = "Takes the arguments of `build`, and runs nothing:\n  \
    dfbuild explain -t app .          what `dfbuild -t app .` would run\n  \
    dfbuild explain --last .          what the last build of it ran")]
pub(crate) struct ExplainArgs {
    /// Tell of the last build of this Dockerfile and context instead
    #[arg(long)]
    pub(crate) last: bool,

    /// How to print it
    #[arg(long, value_enum, value_name = "text|json", default_value_t = ExplainFormat::Text,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: ExplainFormat,

    #[command(flatten)]
    pub(crate) build: BuildArgs,
}

/// How to print an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// A line for each step.
    Text,
    /// An object.
    Json,
}
