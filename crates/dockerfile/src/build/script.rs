//! Commands over several lines, which are most of what long Dockerfiles consist of: their lines need not be joined to be
//! understood.

use super::instruction::fill;
use super::reading::{Failure, Part, Reading};
use super::{hints, run};
use crate::ast::{Command, Instruction, InstructionKind};
use crate::keyword::Keyword;
use crate::original::Original;
use crate::parse::lines::trim_end;
use crate::parse::statement::Statement;
use crate::span::{Span, Spanned};

/// Reads a shell command whose text begins in its first line, if nothing has to be looked for in that text.
pub(super) fn read<'a>(
    reading: &mut Reading<'_, 'a>,
    statement: &Statement<'a>,
    original: Original<'a>,
    instruction: &mut Instruction<'a>,
) -> Option<(Keyword, Result<(), Failure>)> {
    if !statement.empty_continuations.is_empty() {
        return None;
    }
    let source = reading.reader.source;
    let line = statement.first_line(source);
    let mut part = Part::split(line.fragment().trim(), original, statement.head.start);
    let Some(name @ (Keyword::Run | Keyword::Cmd | Keyword::Entrypoint)) = part.name else {
        return None;
    };
    // An array has to be read, and heredocs have to be found.
    if matches!(part.args.bytes().first(), None | Some(b'['))
        || (name == Keyword::Run && reading.reader.may_have_heredocs(statement.head))
    {
        return None;
    }
    let (tail, end) = tail(source, statement, &part);
    if tail.len() < 2 {
        // An operator may go over two lines.
        return None;
    }
    let begin = part.args.span().start;
    let text = Spanned::new(part.original_from(begin), Span::new(begin, end));
    let command = Command::Shell(text);
    instruction.keyword = part.keyword.span();
    let found = match name {
        Keyword::Run => {
            if reading.with_hints && hints::has_open_end(tail.as_bytes()) {
                reading.diagnostics.extend(hints::open_end(tail, end));
            }
            run::finish(command, Vec::new(), &mut part, &mut instruction.kind)
        }
        name => part.check_flags(&[]).map(|()| {
            let kind = if name == Keyword::Cmd {
                InstructionKind::Cmd(command)
            } else {
                InstructionKind::Entrypoint(command)
            };
            fill(&mut instruction.kind, kind);
        }),
    };
    Some((name, found.map_err(Into::into)))
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
