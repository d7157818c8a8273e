//! What the readers of the single instructions work with.

use super::flags::{self, Takes};
use super::hints;
use crate::ast::{Flags, Heredoc};
use crate::diagnostic::Diagnostic;
use crate::keyword::Keyword;
use crate::list::List;
use crate::original::Original;
use crate::parse::Reader;
use crate::parse::arguments::json_words;
use crate::parse::logical::Fragment;
use crate::parse::statement::Statement;
use crate::parse::words::{split_flags, split_keyword};
use crate::span::{Span, Spanned, Word};

/// Why an instruction cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the text is was no good, which the reader has noted.
    Reported,
    /// What the text says is no good.
    Wrong(Box<Diagnostic>),
}

impl From<Box<Diagnostic>> for Failure {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::Wrong(diagnostic)
    }
}

impl From<Diagnostic> for Failure {
    #[cold]
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Wrong(Box::new(diagnostic))
    }
}

/// A result whose error is no larger than a pointer, since hardly any instruction has one.
pub(super) type Fallible<T> = Result<T, Box<Diagnostic>>;

/// The parts of a line, whose words are still to be split as the instruction wants it.
#[derive(Debug)]
pub(super) struct Part<'l, 'a> {
    pub(super) name: Option<Keyword>,
    pub(super) keyword: Fragment<'l, 'a>,
    pub(super) flags: List<Word<'a>>,
    /// All of the line.
    pub(super) line: Fragment<'l, 'a>,
    /// What stands behind the flags, without blanks at the ends.
    pub(super) args: Fragment<'l, 'a>,
    /// The text from the keyword on, and where that is.
    pub(super) original: Original<'a>,
    pub(super) start: usize,
    /// How many `ONBUILD` stand before it.
    pub(super) depth: usize,
}

#[expect(clippy::inline_always, reason = "as with fragments")]
impl<'l, 'a> Part<'l, 'a> {
    /// Splits a line without blanks at its ends. `original` is the text of it that stands at `start`.
    #[inline(always)]
    pub(super) fn split(line: Fragment<'l, 'a>, original: Original<'a>, start: usize) -> Self {
        let (name, keyword, rest) = split_keyword(line);
        let mut flags = List::new();
        let args = split_flags(rest, &mut flags);
        Self { name, keyword, flags, line, args, original, start, depth: 0 }
    }

    /// The place of all arguments; empty, behind everything, if there are none.
    pub(super) fn args_span(&self) -> Span {
        if self.args.is_empty() { Span::at(self.line.span().end) } else { self.args.span() }
    }

    /// The text from an offset of the source on.
    #[inline(always)]
    pub(super) fn original_from(&self, start: usize) -> Original<'a> {
        self.original.behind(start - self.start).without_blanks()
    }

    /// A part of the arguments that goes on to the end of the line, as text for a shell.
    #[inline(always)]
    pub(super) fn shell_text(&self, text: Fragment<'l, 'a>) -> Spanned<Original<'a>> {
        let span = text.span();
        if text.is_empty() {
            return Spanned::new(Original::default(), Span::at(self.line.span().end));
        }
        Spanned::new(self.original_from(span.start), span)
    }

    /// Checks the flags against those that the instruction knows.
    #[inline(always)]
    pub(super) fn check_flags(&self, known: &[(&'static str, Takes)]) -> Fallible<()> {
        if self.flags.is_empty() { Ok(()) } else { flags::check(&self.flags, known) }
    }

    /// Takes the flags out.
    #[inline(always)]
    pub(super) fn take_flags(&mut self) -> Flags<'a> {
        if self.flags.is_empty() {
            Flags::default()
        } else {
            Flags(std::mem::take(&mut self.flags))
        }
    }
}

/// Where an instruction ends, heredocs included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) end: usize,
    pub(super) last_line: usize,
    pub(super) has_heredocs: bool,
}

/// What reading an instruction needs besides its line, and what it finds out on the way.
pub(super) struct Reading<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) diagnostics: &'r mut Vec<Diagnostic>,
    pub(super) statement: &'r Statement<'a>,
    /// Whether to say what is legal, but very likely not meant.
    pub(super) with_hints: bool,
    pub(super) extent: Extent,
    /// The heredocs of the instruction behind an `ONBUILD`.
    pub(super) of_trigger: Vec<Heredoc<'a>>,
}

impl<'r, 'a> Reading<'r, 'a> {
    /// Of an instruction without heredocs so far.
    #[inline]
    pub(super) fn new(
        reader: &'r mut Reader<'a>,
        diagnostics: &'r mut Vec<Diagnostic>,
        statement: &'r Statement<'a>,
        with_hints: bool,
    ) -> Self {
        let (end, last_line) = (statement.head.end, statement.lines.end);
        let extent = Extent { end, last_line, has_heredocs: false };
        Self { reader, diagnostics, statement, with_hints, extent, of_trigger: Vec::new() }
    }
}

impl<'a> Reading<'_, 'a> {
    /// Notes that the text of an instruction is no good.
    #[cold]
    pub(super) fn report(&mut self, diagnostic: Diagnostic) -> Failure {
        self.reader.diagnostics.push(diagnostic);
        Failure::Reported
    }

    /// Whether hints are wanted for a part. Behind more than one `ONBUILD` nothing is looked at.
    #[inline]
    pub(super) fn hints_for(&self, part: &Part) -> bool {
        self.with_hints && part.depth < 2
    }

    /// The words of a JSON array, if the arguments are one.
    #[inline]
    pub(super) fn json(
        &mut self,
        args: Fragment<'_, 'a>,
    ) -> Result<Option<Vec<Word<'a>>>, Failure> {
        json_words(args).map_err(|diagnostic| self.report(*diagnostic))
    }

    /// The heredocs of a part.
    #[inline]
    pub(super) fn heredocs(&mut self, part: &Part<'_, 'a>) -> Result<Vec<Heredoc<'a>>, Failure> {
        if part.depth > 1 || !self.reader.may_have_heredocs(self.statement.head) {
            return Ok(Vec::new());
        }
        self.read_heredocs(part)
    }

    fn read_heredocs(&mut self, part: &Part<'_, 'a>) -> Result<Vec<Heredoc<'a>>, Failure> {
        let bodies = self.reader.heredocs(part.line.whole(), self.statement.head);
        let Some((end, last_line)) = bodies.end else { return Ok(bodies.heredocs) };
        self.extent = Extent { end, last_line, has_heredocs: !bodies.heredocs.is_empty() };
        if bodies.is_broken {
            return Err(Failure::Reported);
        }
        if part.depth > 0 {
            self.of_trigger.clone_from(&bodies.heredocs);
        }
        Ok(bodies.heredocs)
    }

    /// Says that words are no JSON array, though they look like one.
    #[inline]
    pub(super) fn almost_json(&mut self, part: &Part, first: &str, word: Option<&Word>) {
        if let Some(word) = word {
            let found = hints::almost_json(part, first, word);
            self.diagnostics.extend(found);
        }
    }
}
