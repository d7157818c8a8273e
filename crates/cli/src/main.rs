//! The `dfbuild` command: the grammar of the command line, and how results are shown. Everything
//! else is the library's; what that does not look at by itself (environment, home folder, terminal,
//! signals, `/etc/resolv.conf`) is looked up here and passed as values.
#![forbid(unsafe_code)]

mod archives;
mod args;
mod build;
mod cause;
mod check;
mod colour;
mod completions;
mod compose;
mod copy_out;
mod credentials;
mod daemon;
mod diagnostics;
mod diff;
mod docker_config;
mod doctor;
mod engine;
mod excerpt;
mod expand_command;
mod explain_command;
mod failure;
mod findings;
mod fmt_command;
mod forwarding;
mod git_program;
mod history;
mod ignore_command;
mod ignore_file;
mod images;
mod inspect;
mod layers;
mod logs;
mod meant;
mod metadata;
mod names;
mod output;
mod parse_command;
mod place;
mod progress;
mod reasons;
mod registry;
mod report;
mod request;
mod run_command;
mod signals;
mod source;
mod standard_input;
mod step;
mod store_root;
mod summary;
mod template;
mod terminal;
#[cfg(test)]
mod testing;
mod timings;
mod units;
mod upkeep;
mod usage;
mod verify;
mod workflow;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use dfbuild::memory;

use args::{CheckArgs, Cli, Command};
use registry::Told;
use signals::Interrupted;

fn main() -> ExitCode {
    memory::few_arenas();
    // For programs that embed the library and have no `main` of their own to be a worker with.
    if let Some(code) = dfbuild::worker::serve_if_asked(env::args_os()) {
        return code;
    }
    let args: Vec<_> = env::args_os().collect();
    let runs = args::is_run(&args);
    let cli = match Cli::read(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return match u8::try_from(error.exit_code()) {
                Ok(0) => ExitCode::SUCCESS,
                _ if runs => run_command::RUN_FAILED.into(),
                Ok(code) => code.into(),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    if let (Command::Build(args), Some(error)) = (&cli.command, &cli.unless_context)
        && !args.context.exists()
    {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let environment = |name: &str| env::var(name).ok();
    let cli = match cli.with_environment(&environment) {
        Ok(cli) => cli,
        Err(text) => return report::usage(&text),
    };
    let debug = cli.global.debug;
    match cli.command {
        // What looks at files only needs no store.
        Command::Build(args) if args.checks() => check::run(&CheckArgs::from(&*args), &environment),
        Command::Check(args) => check::run(&args, &environment),
        Command::Parse(args) => parse_command::run(&args, &environment),
        Command::Expand(args) => expand_command::run(&args, &environment),
        Command::Ignore(args) => ignore_command::run(&args),
        Command::Fmt(args) => fmt_command::run(&args),
        Command::Build(args) => with_root(cli.global.root, |root| build::run(&args, root, debug)),
        Command::Verify(args) => with_root(cli.global.root, |root| verify::run(&args, root, debug)),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::man(&args),
        Command::Doctor(args) => with_root(cli.global.root, |root| doctor::run(&args, root)),
        Command::Compose(args) => {
            with_root(cli.global.root, |root| compose::run(&args, root, debug))
        }
        Command::Explain(args) => {
            with_root(cli.global.root, |root| explain_command::run(&args, root))
        }
        Command::Images(args) => {
            with_root(cli.global.root, |root| status(images::run(&args, root)))
        }
        Command::Inspect(args) => {
            with_root(cli.global.root, |root| status(inspect::run(&args, root)))
        }
        Command::History(args) => {
            with_root(cli.global.root, |root| status(history::run(&args, root)))
        }
        Command::Tag(args) => with_root(cli.global.root, |root| status(names::tag(&args, root))),
        Command::Rm(args) => with_root(cli.global.root, |root| status(names::remove(&args, root))),
        Command::Run(args) => with_root(cli.global.root, |root| run_command::run(&args, root)),
        Command::Shell(args) => with_root(cli.global.root, |root| run_command::shell(&args, root)),
        Command::Logs(args) => with_root(cli.global.root, |root| status(logs::run(&args, root))),
        Command::Cp(args) => with_root(cli.global.root, |root| status(copy_out::run(&args, root))),
        Command::Diff(args) => with_root(cli.global.root, |root| diff::run(&args, root)),
        Command::Layers(args) => {
            with_root(cli.global.root, |root| status(layers::run(&args, root)))
        }
        Command::Save(args) => {
            with_root(cli.global.root, |root| status(archives::save(&args, root)))
        }
        Command::Load(args) => {
            with_root(cli.global.root, |root| status(archives::load(&args, root)))
        }
        Command::Du(args) => {
            with_root(cli.global.root, |root| status(upkeep::du::run(&args, root)))
        }
        Command::Prune(args) => {
            with_root(cli.global.root, |root| status(upkeep::prune::run(&args, root)))
        }
        Command::Fsck(args) => with_root(cli.global.root, |root| {
            upkeep::fsck::run(&args, root).unwrap_or_else(|error| status(Err(error)))
        }),
        Command::Pull(args) => {
            with_root(cli.global.root, |root| status(registry::pull(&args, root)))
        }
        Command::Push(args) => {
            with_root(cli.global.root, |root| status(registry::push(&args, root)))
        }
    }
}

/// Runs a command that needs the store's folder.
fn with_root(given: Option<PathBuf>, run: impl FnOnce(PathBuf) -> ExitCode) -> ExitCode {
    let is_root = rustix::process::geteuid().is_root();
    match store_root::choose(given, is_root, &|name| env::var(name).ok()) {
        Ok(root) => run(root),
        Err(text) => report::error(&text),
    }
}

/// How a command ends that is not a build.
fn status(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if let Some(told) = error.downcast_ref::<Told>() {
        return ExitCode::from(told.code);
    }
    let code = report::any(&*error);
    let interrupted = error.downcast_ref::<Interrupted>();
    interrupted.map_or(code, |interrupted| ExitCode::from(interrupted.code))
}
