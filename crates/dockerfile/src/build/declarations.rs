//! `ARG`, `ENV` and `LABEL`.

use super::hints;
use super::instruction::{at_least_one, fill};
use super::reading::{Failure, Fallible, Part, Reading};
use crate::ast::{Arg, ArgDeclaration, InstructionKind, KeyValue, KeyValues};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::list::List;
use crate::parse::arguments;
use crate::parse::words::{QuotedWord, quoted_words};
use crate::span::{Span, Spanned, Word, part_of};

/// `ARG` never looks at its flags.
pub(super) fn arg<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &Part<'_, 'a>,
    slot: &mut InstructionKind<'a>,
) -> Fallible<()> {
    let escape = reading.reader.escape;
    let words = || quoted_words(part.args, escape);
    if !reading.reader.is_ascii(part.args.text()) && reading.hints_for(part) {
        let found = words().filter_map(|word| hints::curly_quotes(&word.text.spanned()));
        reading.diagnostics.extend(found);
    }
    let mut words = words();
    let Some(first) = words.next() else { return Err(at_least_one(part, "ARG")) };
    let first = declaration(&first)?;
    fill(slot, InstructionKind::Arg(Arg { declarations: List::one(first) }));
    for word in words {
        let next = declaration(&word)?;
        if let InstructionKind::Arg(arg) = slot {
            arg.declarations.push(next);
        }
    }
    Ok(())
}

#[expect(clippy::inline_always, reason = "as with fragments")]
#[inline(always)]
fn declaration<'a>(found: &QuotedWord<'_, 'a>) -> Fallible<ArgDeclaration<'a>> {
    let (word, equals) = (found.text.spanned(), found.equals);
    if equals == Some(0) {
        return Err(blank_name(Keyword::Arg, word.span));
    }
    let end = equals.unwrap_or(word.value.len());
    let (name_span, value_span) = split_span(&word, end);
    let value = equals.map(|equals| part_of(&word.value, equals + 1..word.value.len()));
    Ok(ArgDeclaration {
        name: Spanned::new(part_of(&word.value, 0..end), name_span),
        value: value.map(|value| Spanned::new(value, value_span)),
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
    slot: &mut InstructionKind<'a>,
) -> Result<(), Failure> {
    let mut pairs = List::new();
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
    if !reading.reader.is_ascii(part.args.text()) && reading.hints_for(part) {
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
    let found = KeyValues { pairs, legacy };
    let is_label = keyword == Keyword::Label;
    fill(slot, if is_label { InstructionKind::Label(found) } else { InstructionKind::Env(found) });
    Ok(())
}

#[cold]
fn blank_name(keyword: Keyword, span: Span) -> Box<Diagnostic> {
    let message = format!("{} names can not be blank", keyword.name());
    Diagnostic::error(DiagnosticKind::KeyValue, message, span).into()
}
