use clap::Args;

use super::FormatArg;

/// `logs`.
#[derive(Debug, Args)]
#[command(after_help = "The last 20 builds that ran something keep their logs.\n\nExamples:\n  \
    dfbuild logs                  the builds\n  \
    dfbuild logs last             everything that the commands of the last one wrote\n  \
    dfbuild logs last --failed    of the failed one alone")]
pub(crate) struct LogsArgs {
    /// Build to show, by a part of its name, or `last`
    #[arg(value_name = "BUILD")]
    pub(crate) build: Option<String>,

    /// Show steps that failed only
    #[arg(long, requires = "build")]
    pub(crate) failed: bool,

    /// How to print it; json is one object for each build or step
    #[arg(long, value_enum, value_name = "table|json", default_value_t = FormatArg::Table,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: FormatArg,
}
