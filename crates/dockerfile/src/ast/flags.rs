//! The flags of an instruction.

use std::borrow::Cow;

use crate::list::List;
use crate::span::{Span, Spanned, Word};

/// Flags without quotes, `--` included, in order. They are checked: only those that the instruction knows are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags<'a>(pub(crate) List<Word<'a>>);

impl<'a> Flags<'a> {
    /// All flags as they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Word<'a>> {
        self.0.iter()
    }

    /// The value of a flag.
    pub fn text(&self, name: &str) -> Option<Word<'a>> {
        self.0.iter().find(|it| is_named(it, name)).map(value)
    }

    /// The values of a flag that may be repeated.
    pub fn texts<'n>(&'n self, name: &'n str) -> impl Iterator<Item = Word<'a>> + use<'n, 'a> {
        self.0.iter().filter(move |it| is_named(it, name)).map(value)
    }

    /// Whether a flag was switched, and which way. One without a value is on.
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.text(name).map(|it| it.value.is_empty() || it.value.eq_ignore_ascii_case("true"))
    }
}

impl<'n, 'a> IntoIterator for &'n Flags<'a> {
    type Item = &'n Word<'a>;
    type IntoIter = std::slice::Iter<'n, Word<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The name as written and the value.
pub(crate) fn split(flag: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'=', flag.as_bytes()) {
        Some(equals) => (&flag[..equals], Some(&flag[equals + 1..])),
        None => (flag, None),
    }
}

/// A name without its dashes.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_prefix("--").unwrap_or(name)
}

/// Whether this is the flag `name`.
pub(crate) fn is_named(flag: &Word, name: &str) -> bool {
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

/// Where the value of a flag stands. With quotes or continuations before it the guess is the whole flag.
pub(crate) fn value_span(flag: &Word) -> Span {
    match memchr::memchr(b'=', flag.value.as_bytes()) {
        Some(equals) if flag.span.len() == flag.value.len() => {
            Span::new(flag.span.start + equals + 1, flag.span.end)
        }
        _ => flag.span,
    }
}
