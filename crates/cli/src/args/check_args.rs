use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dfbuild::Platform;

use super::{BuildArgs, KeyValue, key_value, values};

/// Look for what is legal in a Dockerfile, but had better be changed
#[derive(Debug, Args)]
#[command(after_help = "The exit status is 1 if anything was found, advice aside.\n\
    `# check=skip=RULE,…` at the top of the Dockerfile or above an instruction switches rules off.\n\n\
    Examples:\n  \
    dfbuild check .                               look at ./Dockerfile\n  \
    dfbuild check --format github .               as annotations of a workflow\n  \
    dfbuild check --compat --format json          what BuildKit would say, for scripts")]
pub(crate) struct CheckArgs {
    /// Folder with the ignore file, and with the Dockerfile unless -f names it; or the Dockerfile
    #[arg(value_name = "CONTEXT", default_value = ".", hide_default_value = true)]
    pub(crate) context: PathBuf,

    /// Dockerfile; `-` reads it from standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// How to print what was found
    #[arg(long, value_enum, value_name = "text|json|sarif|github",
          default_value_t = CheckFormat::Text, hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: CheckFormat,

    /// Advice counts as well
    #[arg(long)]
    pub(crate) strict: bool,

    /// Say exactly what BuildKit says, and no more
    #[arg(long, conflicts_with = "strict")]
    pub(crate) compat: bool,

    /// Value of an ARG; without `=` it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = key_value::parse)]
    pub(crate) build_arg: Vec<KeyValue>,

    /// Stage to look at, with those that it needs, instead of all
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,

    /// Platform to build for, as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = values::parse_platform)]
    pub(crate) platform: Option<Platform>,
}

impl From<&BuildArgs> for CheckArgs {
    /// `build --check`.
    fn from(args: &BuildArgs) -> Self {
        Self {
            context: args.context.clone(),
            file: args.file.clone(),
            format: CheckFormat::Text,
            strict: false,
            compat: false,
            build_arg: args.build_arg.clone(),
            target: args.target.clone(),
            platform: args.platform.first().cloned(),
        }
    }
}

/// How to print what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people.
    Text,
    /// A list of objects.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Commands of a GitHub workflow.
    Github,
}
