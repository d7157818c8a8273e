use std::path::{Path, PathBuf};

use clap::Args;

/// Tell whether files are ignored, and by which line
#[derive(Debug, Args)]
#[command(
    after_help = "Each path gives a line: `ignored` or `included`, a tab, and the file:line:pattern that\n\
    decided, if one did. A path need not exist.\n\n\
    Examples:\n  \
    dfbuild ignore src/main.rs target/app       paths from this folder on\n  \
    dfbuild ignore web -- src/main.rs           paths in the context web"
)]
pub(crate) struct IgnoreArgs {
    /// Paths in this folder; or, with `--` behind it, the folder that the paths are in
    #[arg(value_name = "PATH|CONTEXT", required_unless_present = "paths")]
    words: Vec<PathBuf>,

    /// Ignore file [default: DOCKERFILE.dockerignore, else CONTEXT/.dockerignore]
    #[arg(long, value_name = "IGNOREFILE")]
    pub(crate) file: Option<PathBuf>,

    /// Dockerfile, beside which an ignore file of its own may stand [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', value_name = "DOCKERFILE")]
    pub(crate) dockerfile: Option<PathBuf>,

    /// Paths in the folder
    #[arg(value_name = "PATH", last = true)]
    paths: Vec<PathBuf>,
}

impl IgnoreArgs {
    /// The context, and paths in it.
    pub(crate) fn split(&self) -> Result<(&Path, &[PathBuf]), String> {
        let here = Path::new(".");
        match (self.words.as_slice(), self.paths.as_slice()) {
            (words, []) => Ok((here, words)),
            ([], paths) => Ok((here, paths)),
            ([context], paths) => Ok((context, paths)),
            _ => Err("name one context before `--`".to_owned()),
        }
    }
}
