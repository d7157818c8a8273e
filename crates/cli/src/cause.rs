//! Where and how a build failed, for programs.

use dfbuild::{DiagnosticKind, Error, StepError};
use serde::Serialize;

use crate::diagnostics::MAX_SHOWN;
use crate::place::{Places, Region};
use crate::source::Source;

/// What is known of a failure, beside its words. Fields may be added, not taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cause {
    #[serde(flatten)]
    place: Option<Place>,
    /// What the command of a step ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// What killed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// The errors of a Dockerfile, if it has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mistake>,
}

/// A place in a Dockerfile, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Place {
    /// Its path, or what messages call it.
    file: String,
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Mistake {
    error: String,
    #[serde(flatten)]
    place: Option<Place>,
}

impl Cause {
    /// The Dockerfile and the line.
    pub(crate) fn place(&self) -> Option<(&str, usize)> {
        self.place.as_ref().map(|place| (place.file.as_str(), place.line))
    }

    /// The cause of an error in building `source`.
    pub(crate) fn of(error: &Error, source: &Source) -> Self {
        let at_line = |line| Some(Place { file: source.file(), line, column: None });
        match error {
            Error::Dockerfile { diagnostics, .. } => {
                let places = Places::new(source);
                let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
                let mut errors: Vec<Mistake> = errors
                    .take(MAX_SHOWN)
                    .map(|diagnostic| {
                        let Region { line, column, .. } = places.region(diagnostic.span);
                        let place = Place { file: source.file(), line, column: Some(column) };
                        // Those of flags are at no place of the file.
                        let is_here = diagnostic.kind != DiagnosticKind::Option;
                        Mistake { error: diagnostic.text(), place: is_here.then_some(place) }
                    })
                    .collect();
                let place = errors.first().and_then(|first| first.place.clone());
                if errors.len() == 1 {
                    errors.clear();
                }
                Self { place, errors, ..Self::default() }
            }
            Error::Step { step, source } => {
                let (exit_code, signal) = ended(source);
                Self { place: at_line(step.line), exit_code, signal, ..Self::default() }
            }
            Error::Image { line: Some(line), .. } => {
                Self { place: at_line(*line), ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// How the command of a step ended: its exit code, or the signal that killed it.
fn ended(error: &StepError) -> (Option<i32>, Option<i32>) {
    match error {
        StepError::ExitCode { code, .. } => (Some(*code), None),
        StepError::Signal { signal, .. } => (None, Some(*signal)),
        StepError::NotKept { failed, .. } => ended(failed),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use dfbuild::dockerfile::parse;

    use super::*;

    #[test]
    fn places_of_mistakes() {
        let check = |text: &str, expect: &str| {
            let (name, text) = ("D".to_owned(), text.to_owned());
            let diagnostics = parse(&text).diagnostics;
            let error = Error::Dockerfile { name: name.clone(), text: text.clone(), diagnostics };
            let cause = Cause::of(&error, &Source { name, text, ..Source::default() });
            assert_eq!(serde_json::to_string(&cause).unwrap(), expect);
        };
        check("FROM a\nCPOY a b\n", r#"{"file":"D","line":2,"column":1}"#);
        check(
            "FORM a\nFROM a\nCPOY a b\n",
            "{\"file\":\"D\",\"line\":1,\"column\":1,\"errors\":[\
             {\"error\":\"unknown instruction: FORM (did you mean FROM?)\",\"file\":\"D\",\"line\":1,\"column\":1},\
             {\"error\":\"unknown instruction: CPOY (did you mean COPY?)\",\"file\":\"D\",\"line\":3,\"column\":1}]}",
        );
        let cause = Cause::of(&Error::Cancelled, &Source::default());
        assert_eq!(serde_json::to_string(&cause).unwrap(), "{}");
    }

    #[test]
    fn how_commands_end() {
        let signal = || StepError::Signal { command: String::new(), signal: 9 };
        assert_eq!(ended(&signal()), (None, Some(9)));
        let (failed, source) = (Box::new(signal()), Box::new(StepError::Cancelled));
        assert_eq!(ended(&StepError::NotKept { failed, source }), (None, Some(9)));
        assert_eq!(ended(&StepError::Cancelled), (None, None));
    }
}
