//! `ARG`, `ENV` and `LABEL`.

use std::borrow::Cow;
use std::ops::Range;

use super::hints;
use super::instruction::at_least_one;
use super::reading::{Failure, Fallible, Part, Reading};
use crate::ast::{Arg, ArgDeclaration, KeyValue, KeyValues};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::parse::arguments;
use crate::parse::words::split_quoted;
use crate::span::{Span, Spanned, Text, Word};

/// `ARG` never looks at its flags.
pub(super) fn arg<'a>(reading: &mut Reading<'_, 'a>, part: &Part<'_, 'a>) -> Fallible<Arg<'a>> {
    let words = || split_quoted(part.args, reading.reader.escape);
    if !part.args.text().is_ascii() && reading.hints_for(part) {
        let found = words().filter_map(|word| hints::curly_quotes(&word.spanned()));
        reading.diagnostics.extend(found);
    }
    let comments: &[Word] = if part.depth == 0 { &reading.statement.comments } else { &[] };
    let mut declarations = Vec::new();
    for word in words() {
        if declarations.is_empty() {
            // Nearly always it is one.
            declarations.reserve_exact(1);
        }
        declarations.push(declaration(&word.spanned(), comments)?);
    }
    if declarations.is_empty() {
        return Err(at_least_one(part, "ARG"));
    }
    Ok(Arg { declarations })
}

#[inline]
fn declaration<'a>(word: &Word<'a>, comments: &[Word<'a>]) -> Fallible<ArgDeclaration<'a>> {
    let equals = memchr::memchr(b'=', word.value.as_bytes());
    if equals == Some(0) {
        return Err(blank_name(Keyword::Arg, word.span));
    }
    let end = equals.unwrap_or(word.value.len());
    let (name_span, value_span) = split_span(word, end);
    let value = equals.map(|equals| part_of(&word.value, equals + 1..word.value.len()));
    Ok(ArgDeclaration {
        name: Spanned::new(part_of(&word.value, 0..end), name_span),
        value: value.map(|value| Spanned::new(value, value_span)),
        doc: doc(comments, &word.value[..end]),
    })
}

/// The spans before and behind the `=` of a word. A word with a continuation in it has one span for both.
fn split_span(word: &Word, name_len: usize) -> (Span, Span) {
    let Span { start, end } = word.span;
    if word.span.len() == word.value.len() && name_len < word.value.len() {
        (Span::new(start, start + name_len), Span::new(start + name_len + 1, end))
    } else {
        (word.span, word.span)
    }
}

pub(super) fn key_values<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &Part<'_, 'a>,
    keyword: Keyword,
) -> Result<KeyValues<'a>, Failure> {
    let mut pairs = Vec::new();
    let mut legacy = false;
    let mut blank = None;
    let read = arguments::key_values(part.args, reading.reader.escape, keyword, |pair| {
        legacy = pair.equals.is_none();
        if pair.key.is_empty() {
            let equals = pair.equals.unwrap_or(pair.key);
            blank.get_or_insert(pair.key.span().join(equals.span()));
        }
        pairs.push(KeyValue { key: pair.key.spanned(), value: pair.value.spanned() });
    });
    read.map_err(|diagnostic| reading.report(*diagnostic))?;
    if !part.args.text().is_ascii() && reading.hints_for(part) {
        let words = pairs.iter().flat_map(|pair: &KeyValue| [&pair.key, &pair.value]);
        reading.diagnostics.extend(words.filter_map(hints::curly_quotes));
    }
    part.check_flags(&[])?;
    if let Some(blank) = blank {
        return Err(blank_name(keyword, blank).into());
    }
    if pairs.is_empty() {
        return Err(at_least_one(part, keyword.name()).into());
    }
    Ok(KeyValues { pairs, legacy })
}

#[cold]
fn blank_name(keyword: Keyword, span: Span) -> Box<Diagnostic> {
    let message = format!("{} names can not be blank", keyword.name());
    Diagnostic::error(DiagnosticKind::KeyValue, message, span).into()
}

/// The text behind a name in the comments above an instruction.
#[inline]
pub(super) fn doc<'a>(comments: &[Word<'a>], name: &str) -> Option<Text<'a>> {
    let behind = |comment: &Word<'a>| {
        comment.value.strip_prefix(name)?.strip_prefix(' ')?;
        Some(part_of(&comment.value, name.len() + 1..comment.value.len()))
    };
    if name.is_empty() { None } else { comments.iter().find_map(behind) }
}

/// A part of a text, which is borrowed if the text is.
pub(super) fn part_of<'a>(text: &Text<'a>, range: Range<usize>) -> Text<'a> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
    }
}
