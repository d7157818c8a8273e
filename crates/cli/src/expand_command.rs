use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;

use dfbuild::dockerfile::expand::Expander;
use serde_json::Value;

use crate::args::ExpandArgs;

/// Prints what words expand to.
pub(crate) fn run(args: &ExpandArgs, environment: &dyn Fn(&str) -> Option<String>) -> ExitCode {
    let mut variables = HashMap::new();
    for variable in &args.env {
        // Of two values the last counts; one that is not set anywhere unsets.
        match variable.value.clone().or_else(|| environment(&variable.name)) {
            Some(value) => variables.insert(variable.name.as_str(), value),
            None => variables.remove(variable.name.as_str()),
        };
    }
    let expander = Expander {
        escape: args.escape,
        raw_quotes: args.raw_quotes,
        raw_escapes: args.raw_escapes,
        skip_unset: args.skip_unset,
        skip_process_quotes: args.skip_process_quotes,
    };
    let look_up = |name: &str| variables.get(name).cloned();
    let mut code = ExitCode::SUCCESS;
    for word in &args.words {
        let value = if args.split {
            expander.expand_words(word, &look_up).map(Value::from)
        } else {
            expander.expand_word(word, &look_up).map(Value::from)
        };
        let written = match value {
            Ok(value) => writeln!(io::stdout().lock(), "{value}"),
            Err(error) => {
                code = ExitCode::FAILURE;
                writeln!(io::stderr().lock(), "ERROR: {error}")
            }
        };
        if written.is_err() {
            break;
        }
    }
    code
}
