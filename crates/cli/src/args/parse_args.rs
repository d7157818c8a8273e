use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{KeyValue, key_value};

/// Print the syntax tree of a Dockerfile
#[derive(Debug, Args)]
#[command(after_help = "The exit status is 1 if the Dockerfile has errors.")]
pub(crate) struct ParseArgs {
    /// Dockerfile; `-` reads it from standard input
    #[arg(value_name = "FILE", default_value = "Dockerfile")]
    pub(crate) file: PathBuf,

    /// How to print it: sexpr as BuildKit's parser does, json with places
    #[arg(long, value_enum, value_name = "sexpr|json",
          default_value_t = ParseFormat::Sexpr, hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: ParseFormat,

    /// Print each instruction with its variables expanded instead
    #[arg(long)]
    pub(crate) expand: bool,

    /// Value of an ARG for --expand; without `=` it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = key_value::parse, requires = "expand")]
    pub(crate) build_arg: Vec<KeyValue>,
}

/// How to print a syntax tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ParseFormat {
    /// One instruction in parentheses a line.
    Sexpr,
    /// One object.
    Json,
}
