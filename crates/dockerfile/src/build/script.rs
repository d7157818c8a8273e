//! Commands over several lines, which are most of what long Dockerfiles consist of: their lines need not be joined to be
//! understood.

use super::reading::{Failure, Part, Reading};
use super::{hints, run};
use crate::ast::{Command, Instruction, InstructionKind};
use crate::keyword::Keyword;
use crate::parse::lines::{trim_end, trim_start};
use crate::parse::logical::Joined;
use crate::parse::statement::Statement;
use crate::span::{Span, Spanned};

/// Reads a shell command whose text begins in its first line, if nothing has to be looked for in that text.
pub(super) fn read<'a>(
    reading: &mut Reading<'_, 'a>,
    statement: &Statement<'a>,
    joined: &Joined,
    instruction: &mut Instruction<'a>,
) -> Option<(Keyword, Result<(), Failure>)> {
    if !statement.empty_continuations.is_empty() {
        return None;
    }
    let source = reading.reader.source;
    let Span { start, end } = statement.head;
    let line = statement.first_line(source);
    let original = statement.original(source, reading.reader.escape);
    let mut part = Part::split(line.fragment().trim(), original, start);
    let Some(name @ (Keyword::Run | Keyword::Cmd | Keyword::Entrypoint)) = part.name else {
        return None;
    };
    // An array has to be read, and heredocs have to be found.
    if matches!(part.args.bytes().first(), None | Some(b'['))
        || (name == Keyword::Run && memchr::memchr(b'<', &source.as_bytes()[start..end]).is_some())
    {
        return None;
    }
    let (tail, end) = tail(source, joined, &part);
    if tail.len() < 2 {
        // An operator may go over two lines.
        return None;
    }
    let begin = part.args.span().start;
    let text = Spanned::new(part.original_from(begin), Span::new(begin, end));
    let command = Command::Shell(text);
    instruction.keyword = part.keyword.spanned();
    let found = match name {
        Keyword::Run => {
            if reading.with_hints && hints::has_open_end(tail.as_bytes()) {
                reading.diagnostics.extend(hints::open_end(tail, end));
            }
            run::finish(command, Vec::new(), &mut part, &mut instruction.kind)
        }
        name => part.check_flags(&[]).map(|()| {
            instruction.kind = if name == Keyword::Cmd {
                InstructionKind::Cmd(command)
            } else {
                InstructionKind::Entrypoint(command)
            };
        }),
    };
    Some((name, found.map_err(Into::into)))
}

/// The last line that has a text, without blanks at its ends, and where it ends.
fn tail<'t>(source: &'t str, joined: &Joined, part: &Part<'t, '_>) -> (&'t str, usize) {
    for piece in joined.pieces().iter().rev() {
        let text = trim_end(&source[piece.start..piece.end]);
        if !text.is_empty() {
            return (trim_start(text), piece.start + text.len());
        }
    }
    (part.args.text(), part.args.span().end)
}
