//! Checking the flags of instructions.

use super::reading::Fallible;
use crate::ast::flags::{bare, is_named, split, value_span};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::{Span, Word};
use crate::suggest;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, or `true` or `false`.
    Bool,
    /// One text.
    Text,
    /// A text, and the flag may be repeated.
    Texts,
}

/// Checks the flags of an instruction against those that it knows.
pub(super) fn check(given: &[Word], known: &[(&'static str, Takes)]) -> Fallible<()> {
    for (at, flag) in given.iter().enumerate() {
        let (written, value) = split(&flag.value);
        let name = bare(written);
        let Some((_, takes)) = known.iter().find(|(it, _)| *it == name) else {
            return Err(unknown(flag, written, name, known).into());
        };
        if *takes != Takes::Texts
            && let Some(first) = given[..at].iter().find(|it| is_named(it, name))
        {
            let message = format!("duplicate flag specified: {written}");
            return Err(Diagnostic::error(DiagnosticKind::Flag, message, flag.span)
                .with_label(value_span(first), "first specified here")
                .into());
        }
        check_value(*takes, written, value)
            .map_err(|message| Diagnostic::error(DiagnosticKind::Flag, message, flag.span))?;
    }
    Ok(())
}

fn check_value(takes: Takes, written: &str, value: Option<&str>) -> Result<(), String> {
    match (takes, value) {
        (Takes::Bool, Some("")) | (Takes::Text | Takes::Texts, None) => {
            Err(format!("missing a value on flag: {written}"))
        }
        (Takes::Bool, Some(value)) => match value.to_lowercase().as_str() {
            "true" | "false" => Ok(()),
            _ => Err(format!("expecting boolean value for flag {written}, not: {value}")),
        },
        (Takes::Bool, None) | (Takes::Text | Takes::Texts, Some(_)) => Ok(()),
    }
}

fn unknown(flag: &Word, written: &str, name: &str, known: &[(&str, Takes)]) -> Diagnostic {
    let names = || known.iter().map(|(name, _)| *name);
    let message = format!("unknown flag: {written}");
    // With quotes or continuations in it nobody knows where the name ends.
    let as_written = flag.span.len() == flag.value.len();
    let end = if as_written { flag.span.start + written.len() } else { flag.span.end };
    let span = Span::new(flag.span.start, end);
    let mut diagnostic = Diagnostic::error(DiagnosticKind::UnknownFlag, message, span);
    if let Some(closest) = suggest::closest(name, names()) {
        if as_written {
            diagnostic = diagnostic.with_fix(span, format!("--{closest}"));
        }
        diagnostic = diagnostic.with_suggestion(Some(closest.to_owned()));
    }
    let list: Vec<String> = names().map(|name| format!("--{name}")).collect();
    diagnostic.with_help(match list.len() {
        0 => "this instruction takes no flags; `--` before the arguments ends the flags".to_owned(),
        _ => format!("the flags of this instruction are {}", list.join(", ")),
    })
}
