use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::{output, report};

/// Prints a script that teaches a shell the command line.
pub(crate) fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dfbuild", &mut script);
    match output::print(&String::from_utf8_lossy(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::error(&format!("write to standard output: {error}")),
    }
}

/// Writes a manual page for each command.
pub(crate) fn man(args: &ManArgs) -> ExitCode {
    let folder: &Path = &args.folder;
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&format!("write manual pages to {}: {error}", folder.display()))
        }
    }
}
