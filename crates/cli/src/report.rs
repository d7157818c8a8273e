use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::failure::Failure;

/// What a command exits with that asks for what cannot be.
pub(crate) const USAGE: u8 = 2;

/// Says that the command line asks for what cannot be, in the words of the argument parser.
pub(crate) fn usage(text: &str) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let build = command.find_subcommand_mut("build").expect("there is such a command");
    let error = build.error(ErrorKind::InvalidValue, text);
    let _ = error.print();
    ExitCode::from(USAGE)
}

/// Says why there is no result.
pub(crate) fn error(text: &str) -> ExitCode {
    failure(&Failure { message: text.to_owned(), ..Failure::default() })
}

/// The same of any error, with what the library knows to do about its own.
pub(crate) fn any(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    match error.downcast_ref::<dfbuild::Error>() {
        Some(known) => failure(&Failure::outside_build(known)),
        None => self::error(&dfbuild::with_causes(error)),
    }
}

/// Says why there is no result, and what to do.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    let _ = failure.write(&mut io::stderr().lock());
    let _ = io::stderr().flush();
    ExitCode::FAILURE
}
