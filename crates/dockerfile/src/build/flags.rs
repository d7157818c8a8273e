//! The flags of instructions.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::{Span, Spanned, Word};
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags<'n, 'a> {
    given: &'n [Word<'a>],
}

impl<'n, 'a> Flags<'n, 'a> {
    /// Checks the flags of an instruction against those that it knows.
    #[inline]
    pub(super) fn read(
        given: &'n [Word<'a>],
        known: &[(&'static str, Takes)],
    ) -> Result<Self, Diagnostic> {
        for (at, flag) in given.iter().enumerate() {
            let (written, value) = split(&flag.value);
            let name = bare(written);
            let Some((_, takes)) = known.iter().find(|(it, _)| *it == name) else {
                return Err(unknown(flag, written, name, known));
            };
            if *takes != Takes::Texts
                && let Some(first) = given[..at].iter().find(|it| is_named(it, name))
            {
                let message = format!("duplicate flag specified: {written}");
                return Err(Diagnostic::error(DiagnosticKind::Flag, message, flag.span)
                    .with_label(value_span(first), "first specified here"));
            }
            check(*takes, written, value)
                .map_err(|message| Diagnostic::error(DiagnosticKind::Flag, message, flag.span))?;
        }
        Ok(Self { given })
    }

    /// The value of a flag.
    pub(super) fn text(&self, name: &str) -> Option<Word<'a>> {
        self.given.iter().find(|it| is_named(it, name)).map(value)
    }

    /// The values of a flag that may be repeated.
    pub(super) fn texts(&self, name: &str) -> Vec<Word<'a>> {
        self.given.iter().filter(|it| is_named(it, name)).map(value).collect()
    }

    /// Whether a flag was switched, and which way. One without a value is on.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.text(name).map(|it| it.value.is_empty() || it.value.eq_ignore_ascii_case("true"))
    }
}

/// The name as written and the value.
fn split(flag: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'=', flag.as_bytes()) {
        Some(equals) => (&flag[..equals], Some(&flag[equals + 1..])),
        None => (flag, None),
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix("--").unwrap_or(name)
}

fn is_named(flag: &Word, name: &str) -> bool {
    // All names are shorter than their flags, and what follows tells those with the same beginning apart.
    bare(&flag.value)
        .strip_prefix(name)
        .is_some_and(|behind| behind.is_empty() || behind.starts_with('='))
}

/// The value of a flag and where it stands; empty if there is none.
fn value<'a>(flag: &Word<'a>) -> Word<'a> {
    let len = split(&flag.value).1.map_or(0, str::len);
    let text = match &flag.value {
        Cow::Borrowed(text) => Cow::Borrowed(&text[text.len() - len..]),
        Cow::Owned(text) => Cow::Owned(text[text.len() - len..].to_owned()),
    };
    Spanned::new(text, value_span(flag))
}

fn check(takes: Takes, written: &str, value: Option<&str>) -> Result<(), String> {
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

/// Where the value of a flag stands. With quotes or continuations before it the guess is the whole flag.
fn value_span(flag: &Word) -> Span {
    match flag.value.find('=') {
        Some(equals) if flag.span.len() == flag.value.len() => {
            Span::new(flag.span.start + equals + 1, flag.span.end)
        }
        _ => flag.span,
    }
}
