use clap::Args;

use super::FormatArg;

/// `logs`.
#[derive(Debug, Args)]
#[command(after_help = "The last 20 builds that ran something keep their logs.\n\nExamples:\n  \
    dfbuild logs                  the builds\n  \
    dfbuild logs last             everything that the commands of the last one wrote\n  \
    dfbuild logs last --failed    of the failed one alone\n  \
    dfbuild logs app --tail 20    the last lines of the last build of app")]
pub(crate) struct LogsArgs {
    /// Build to show: `last`, a name of what it built, or a part of its id
    #[arg(value_name = "BUILD")]
    pub(crate) build: Option<String>,

    /// Show steps that failed only
    #[arg(long, requires = "build")]
    pub(crate) failed: bool,

    /// Show so many lines only, the last ones
    #[arg(short = 'n', long, value_name = "LINES", requires = "build")]
    pub(crate) tail: Option<usize>,

    /// How to print it; json is one object for each build or step
    #[arg(long, value_enum, value_name = "table|json", default_value_t = FormatArg::Table,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: FormatArg,
}
