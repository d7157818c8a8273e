use std::path::PathBuf;

use clap::Args;

/// Format a Dockerfile
#[derive(Debug, Args)]
#[command(
    after_help = "Comments, heredocs and the text of shell commands stay as they are, and so does what the file means.\n\
    Without a flag the result goes to standard output."
)]
pub(crate) struct FmtArgs {
    /// Dockerfile, or the folder that it is in; `-` reads it from standard input
    #[arg(value_name = "FILE", default_value = "Dockerfile")]
    pub(crate) file: PathBuf,

    /// Print nothing but the name of a file that would change, and exit with 1 then
    #[arg(long)]
    pub(crate) check: bool,

    /// Print what would change as a patch, and exit with 1 then
    #[arg(long, conflicts_with = "check")]
    pub(crate) diff: bool,

    /// Change the file
    #[arg(short, long, conflicts_with_all = ["check", "diff"])]
    pub(crate) write: bool,
}
