//! Instructions over several lines, which are most of what long Dockerfiles consist of: the lines of most need not be joined
//! to be understood.

use super::instruction::fill;
use super::reading::{Failure, Part, Reading};
use super::{hints, run};
use crate::ast::{Command, Instruction, InstructionKind, KeyValue, KeyValues};
use crate::keyword::Keyword;
use crate::list::List;
use crate::original::Original;
use crate::parse::Reader;
use crate::parse::lines::trim_end;
use crate::parse::logical::{Fragment, Logical};
use crate::parse::statement::Statement;
use crate::parse::words::{Ending, QuotedWord, quoted_words, split_flags};
use crate::span::{Span, Spanned};

/// Reads an instruction line by line, if it is one whose meaning is the same then. What is wrong with one is found when its
/// lines are joined.
pub(super) fn read<'a>(
    reading: &mut Reading<'_, 'a>,
    statement: &Statement<'a>,
    original: Original<'a>,
    instruction: &mut Instruction<'a>,
) -> Option<(Keyword, Result<(), Failure>)> {
    if !statement.empty_continuations.is_empty() {
        return None;
    }
    let line = statement.first_line(reading.reader.source);
    let mut part = Part::split(line.fragment().trim(), original, statement.head.start);
    let keyword = part.keyword.span();
    let name = part.name?;
    let found = match name {
        Keyword::Run | Keyword::Cmd | Keyword::Entrypoint => {
            script(reading, statement, &mut part, name, &mut instruction.kind)?
        }
        Keyword::Env | Keyword::Label => {
            let found = KeyValues { pairs: pairs(reading, statement, &part)?, legacy: false };
            let is_label = name == Keyword::Label;
            let label = InstructionKind::Label;
            fill(
                &mut instruction.kind,
                if is_label { label(found) } else { InstructionKind::Env(found) },
            );
            Ok(())
        }
        _ => return None,
    };
    instruction.keyword = keyword;
    Some((name, found))
}

/// A shell command, if nothing has to be looked for in its text.
fn script<'a>(
    reading: &mut Reading<'_, 'a>,
    statement: &Statement<'a>,
    part: &mut Part<'_, 'a>,
    name: Keyword,
    slot: &mut InstructionKind<'a>,
) -> Option<Result<(), Failure>> {
    // Heredocs have to be found.
    if name == Keyword::Run && reading.reader.may_have_heredocs(statement.head) {
        return None;
    }
    let source = reading.reader.source;
    let begin = match part.args.bytes().first() {
        // An array has to be read.
        Some(b'[') => return None,
        Some(_) => part.args.span().start,
        None => behind_flags(reading, statement, part)?,
    };
    let (tail, end) = tail(source, statement, part);
    if tail.len() < 2 {
        // An operator may go over two lines.
        return None;
    }
    let text = Spanned::new(part.original_from(begin), Span::new(begin, end));
    let command = Command::Shell(text);
    let found = match name {
        Keyword::Run => {
            if reading.with_hints && hints::has_open_end(tail.as_bytes()) {
                reading.diagnostics.extend(hints::open_end(tail, end));
            }
            run::finish(command, Vec::new(), part, slot)
        }
        name => part.check_flags(&[]).map(|()| {
            let kind = if name == Keyword::Cmd {
                InstructionKind::Cmd(command)
            } else {
                InstructionKind::Entrypoint(command)
            };
            fill(slot, kind);
        }),
    };
    Some(found.map_err(Into::into))
}

/// Where a command begins whose first line has nothing but flags, which are added to those of the next lines.
fn behind_flags<'a>(
    reading: &Reading<'_, 'a>,
    statement: &Statement<'a>,
    part: &mut Part<'_, 'a>,
) -> Option<usize> {
    let source = reading.reader.source;
    let mut before = statement.first;
    for (text, start) in reading.reader.further_lines(statement) {
        // A flag may be quoted or escaped up to the next line, and a bare `--` ends the flags.
        let plain = before.bytes().all(|it| it.is_ascii() && !matches!(it, b'"' | b'\'' | b'\\'));
        if !plain || before.trim_end().ends_with(" --") || !separates(before, text) {
            return None;
        }
        let line = Logical::new(source, text, start);
        let args = split_flags(line.fragment().trim(), &mut part.flags);
        match args.bytes().first() {
            Some(b'[') => return None,
            Some(_) => return Some(args.span().start),
            None => before = text,
        }
    }
    None
}

/// The last line that has a text, without blanks at its ends, and where it ends.
#[inline]
fn tail<'t>(source: &'t str, statement: &Statement, part: &Part<'t, '_>) -> (&'t str, usize) {
    let Span { start, end } = statement.tail;
    let text = trim_end(&source[start..end]);
    if text.is_empty() {
        (part.args.text(), part.args.span().end)
    } else {
        (text, start + text.len())
    }
}

/// Names and values, if no word goes over two lines and nothing is wrong with them.
fn pairs<'a>(
    reading: &Reading<'_, 'a>,
    statement: &Statement<'a>,
    part: &Part<'_, 'a>,
) -> Option<List<KeyValue<'a>>> {
    let source = reading.reader.source;
    let mut pairs = List::new();
    if !part.flags.is_empty() {
        return None;
    }
    add_pairs(part.args, reading.reader, &mut pairs)?;
    let mut before = statement.first;
    for (text, start) in reading.reader.further_lines(statement) {
        if !separates(before, text) {
            return None;
        }
        before = text;
        let line = Logical::new(source, text, start);
        add_pairs(line.fragment().trim(), reading.reader, &mut pairs)?;
    }
    if pairs.is_empty() { None } else { Some(pairs) }
}

fn add_pairs<'a>(
    line: Fragment<'_, 'a>,
    reader: &Reader<'a>,
    pairs: &mut List<KeyValue<'a>>,
) -> Option<()> {
    // There may be flags where no pair is, and quotes that are none outside ASCII.
    if (pairs.is_empty() && line.bytes().first() == Some(&b'-')) || !reader.is_ascii(line.text()) {
        return None;
    }
    for QuotedWord { text: word, equals, ending } in quoted_words(line, reader.escape) {
        let equals = equals.filter(|it| *it > 0)?;
        if ending != Ending::Whole {
            return None;
        }
        let value = word.from(equals + 1).spanned();
        pairs.push(KeyValue { key: word.slice(0..equals).spanned(), value });
    }
    Some(())
}

/// Whether a word ends with the line `before` when `text` is joined to it.
fn separates(before: &str, text: &str) -> bool {
    before.ends_with([' ', '\t']) || text.starts_with([' ', '\t'])
}
