//! The `dfbuild` command: the grammar of the command line, and how results are shown. Everything
//! else is the library's; what that does not look at by itself (environment, home folder, terminal,
//! signals, `/etc/resolv.conf`) is looked up here and passed as values.
#![forbid(unsafe_code)]

mod args;
mod build;
mod diagnostics;
mod excerpt;
mod exit_code;
mod failure;
mod images;
mod metadata;
mod progress;
mod registry;
mod remote;
mod report;
mod request;
mod signals;
mod source;
mod step;
mod store_root;
mod summary;
#[cfg(test)]
mod testing;
mod units;

use std::env;
use std::process::ExitCode;

use args::{Cli, Command};
use failure::Failure;
use source::Source;

fn main() -> ExitCode {
    let cli = match Cli::read(env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let is_root = rustix::process::geteuid().is_root();
    let root = cli
        .global
        .root
        .map_or_else(|| store_root::default(is_root, &|name| env::var(name).ok()), Ok);
    let root = match root {
        Ok(root) => root,
        Err(text) => return report::error(&text),
    };
    match cli.command {
        Command::Build(args) => build::run(&args, root, cli.global.debug),
        Command::Images(args) => status(images::run(&args, root)),
        Command::Pull(args) => status(registry::pull(&args, root)),
        Command::Push(args) => status(registry::push(&args, root)),
    }
}

/// How a command ends that is not a build.
fn status(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<dfbuild::Error>() {
            Some(known) => report::failure(&Failure::of(known, &Source::default())),
            None => report::error(&failure::chain(&*error)),
        },
    }
}
