use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Print a script that teaches a shell the command line
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    dfbuild completions bash > /etc/bash_completion.d/dfbuild\n  \
    dfbuild completions zsh > ~/.zfunc/_dfbuild\n  \
    dfbuild completions fish > ~/.config/fish/completions/dfbuild.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "bash|zsh|fish|elvish|powershell", hide_possible_values = true)]
    pub(crate) shell: Shell,
}

/// Write a manual page for each command
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to, as /usr/share/man/man1
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
