use std::path::PathBuf;

use clap::Args;

/// Tell whether files are ignored, and by which line
#[derive(Debug, Args)]
#[command(
    after_help = "Each path gives a line: `ignored` or `included`, a tab, and the file:line:pattern that\n\
    decided, if one did. A path need not exist.\n\n\
    Example:\n  \
    dfbuild ignore -- src/main.rs target/app"
)]
pub(crate) struct IgnoreArgs {
    /// Folder that the paths are in
    #[arg(value_name = "CONTEXT", default_value = ".", hide_default_value = true)]
    pub(crate) context: PathBuf,

    /// Ignore file [default: DOCKERFILE.dockerignore, else CONTEXT/.dockerignore]
    #[arg(long, value_name = "IGNOREFILE")]
    pub(crate) file: Option<PathBuf>,

    /// Dockerfile, beside which an ignore file of its own may stand [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', value_name = "DOCKERFILE")]
    pub(crate) dockerfile: Option<PathBuf>,

    /// Paths in the folder
    #[arg(value_name = "PATH", last = true, required = true)]
    pub(crate) paths: Vec<PathBuf>,
}
