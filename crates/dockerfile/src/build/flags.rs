//! The flags of instructions.

use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::{Span, Spanned};
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

/// The flags of one instruction and what was given for them.
#[derive(Debug, Default)]
pub(super) struct Flags {
    given: Vec<(&'static str, Spanned<String>)>,
}

impl Flags {
    /// Checks the flags of an instruction against those that it knows.
    pub(super) fn read(
        flags: &[Spanned<String>],
        known: &[(&'static str, Takes)],
    ) -> Result<Self, Diagnostic> {
        let mut found = Self::default();
        for flag in flags {
            let (written, value) = match flag.value.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag.value.as_str(), None),
            };
            let name = written.strip_prefix("--").unwrap_or(written);
            let Some((name, takes)) = known.iter().find(|(it, _)| *it == name) else {
                return Err(unknown(flag, written, name, known));
            };
            if *takes != Takes::Texts
                && let Some(first) = found.span(name)
            {
                let message = format!("duplicate flag specified: {written}");
                return Err(Diagnostic::error(DiagnosticKind::Flag, message, flag.span)
                    .with_label(first, "first specified here"));
            }
            let value = check(*takes, written, value)
                .map_err(|message| Diagnostic::error(DiagnosticKind::Flag, message, flag.span))?;
            found.given.push((name, Spanned::new(value, value_span(flag))));
        }
        Ok(found)
    }

    fn span(&self, name: &str) -> Option<Span> {
        self.given.iter().find(|(it, _)| *it == name).map(|(_, value)| value.span)
    }

    /// The value of a flag.
    pub(super) fn text(&self, name: &str) -> Option<Spanned<String>> {
        self.given.iter().find(|(it, _)| *it == name).map(|(_, value)| value.clone())
    }

    /// The values of a flag that may be repeated.
    pub(super) fn texts(&self, name: &str) -> Vec<Spanned<String>> {
        self.given.iter().filter(|(it, _)| *it == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a flag was switched, and which way.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.text(name).map(|value| value.value == "true")
    }
}

fn check(takes: Takes, written: &str, value: Option<&str>) -> Result<String, String> {
    match (takes, value) {
        (Takes::Bool, None) => Ok("true".to_owned()),
        (Takes::Bool, Some("")) | (Takes::Text | Takes::Texts, None) => {
            Err(format!("missing a value on flag: {written}"))
        }
        (Takes::Bool, Some(value)) => match value.to_lowercase().as_str() {
            lower @ ("true" | "false") => Ok(lower.to_owned()),
            _ => Err(format!("expecting boolean value for flag {written}, not: {value}")),
        },
        (Takes::Text | Takes::Texts, Some(value)) => Ok(value.to_owned()),
    }
}

fn unknown(
    flag: &Spanned<String>,
    written: &str,
    name: &str,
    known: &[(&str, Takes)],
) -> Diagnostic {
    let names = || known.iter().map(|(name, _)| *name);
    let message = format!("unknown flag: {written}");
    let span = Span::new(flag.span.start, (flag.span.start + written.len()).min(flag.span.end));
    let mut diagnostic = Diagnostic::error(DiagnosticKind::UnknownFlag, message, span);
    if let Some(closest) = suggest::closest(name, names()) {
        diagnostic = diagnostic
            .with_fix(span, format!("--{closest}"))
            .with_suggestion(Some(closest.to_owned()));
    }
    let list: Vec<String> = names().map(|name| format!("--{name}")).collect();
    diagnostic.with_help(match list.len() {
        0 => "this instruction takes no flags; `--` before the arguments ends the flags".to_owned(),
        _ => format!("the flags of this instruction are {}", list.join(", ")),
    })
}

/// Where the value of a flag stands. With quotes or continuations before it the guess is the whole flag.
fn value_span(flag: &Spanned<String>) -> Span {
    match flag.value.find('=') {
        Some(equals) if flag.span.len() == flag.value.len() => {
            Span::new(flag.span.start + equals + 1, flag.span.end)
        }
        _ => flag.span,
    }
}
