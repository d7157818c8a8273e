use clap::{Args, ValueEnum};

/// Look whether this machine has what builds need
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// How to print it
    #[arg(long, value_enum, value_name = "text|json", default_value_t = DoctorFormat::Text,
          hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: DoctorFormat,
}

/// How to print what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    /// A line for each probe, and what to do.
    Text,
    /// A list of objects.
    Json,
}
