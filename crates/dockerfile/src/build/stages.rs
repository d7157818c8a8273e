//! Putting instructions into their stages.

use crate::ast::{Dockerfile, Instruction, InstructionKind};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::original::Original;
use crate::parse::BYTES_PER_INSTRUCTION;
use crate::parse::statement::Statement;
use crate::span::Span;

/// The most instructions that get room before they are there.
const MAX_ROOM: usize = 256;

/// The stages so far.
#[derive(Default)]
pub(super) struct Stages<'a> {
    dockerfile: Dockerfile<'a>,
    seen_from: bool,
    /// Whether the last `FROM` could not be read: what follows has no stage, through no fault of its own.
    lost: bool,
    /// Whether it was said that something stands before the first `FROM`.
    reported: bool,
}

impl<'a> Stages<'a> {
    /// For a file of so many bytes.
    pub(super) fn new(len: usize) -> Self {
        let mut stages = Self::default();
        let room = (len / BYTES_PER_INSTRUCTION).min(MAX_ROOM);
        stages.dockerfile.instructions.reserve_exact(room);
        stages
    }

    /// A place for the next instruction, which is empty so far: [`Self::close`] or [`Self::cancel`] it. An instruction is
    /// large, and is written where it stays: to copy it would wait until all of it is written.
    #[inline]
    pub(super) fn open(
        &mut self,
        statement: &Statement<'a>,
        original: Original<'a>,
    ) -> &mut Instruction<'a> {
        let instructions = &mut self.dockerfile.instructions;
        instructions.extend(std::iter::once_with(|| empty(statement, original)));
        instructions.last_mut().expect("an instruction was appended")
    }

    /// Keeps the instruction that was read into the open place, if that is in a stage or it may stand before all of them.
    #[inline]
    pub(super) fn close(&mut self, name: Keyword, diagnostics: &mut Vec<Diagnostic>) {
        if name == Keyword::From {
            (self.seen_from, self.lost) = (true, false);
            self.dockerfile.stage_starts.push(self.dockerfile.instructions.len() - 1);
        } else if !self.seen_from || self.lost {
            self.close_outside(name, diagnostics);
        }
    }

    #[cold]
    fn close_outside(&mut self, name: Keyword, diagnostics: &mut Vec<Diagnostic>) {
        if !self.seen_from && name == Keyword::Arg {
            return;
        }
        if let Some(instruction) = self.dockerfile.instructions.pop()
            && !self.seen_from
        {
            self.before_from(instruction.keyword, diagnostics);
        }
    }

    /// Takes the instruction out of the open place again.
    #[cold]
    pub(super) fn cancel(&mut self) {
        self.dockerfile.instructions.pop();
    }

    /// Notes an instruction that could not be read.
    #[cold]
    pub(super) fn place_unread(
        &mut self,
        name: Keyword,
        keyword: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        if name == Keyword::From {
            self.seen_from = true;
            self.lost = true;
        } else if !self.seen_from && name != Keyword::Arg {
            self.before_from(keyword, diagnostics);
        }
    }

    /// Notes a line that very likely was to be a `FROM`: what follows it needs no other explanation.
    #[cold]
    pub(super) fn misspelt_from(&mut self) {
        self.reported |= !self.seen_from;
    }

    #[cold]
    fn before_from(&mut self, keyword: Span, diagnostics: &mut Vec<Diagnostic>) {
        if self.reported {
            return;
        }
        self.reported = true;
        let message = "no build stage in current context";
        let diagnostic = Diagnostic::error(DiagnosticKind::BeforeFrom, message, keyword);
        diagnostics.push(diagnostic.with_help("only `ARG` may stand before the first `FROM`"));
    }

    /// Whether there is no stage, and nothing was said that explains it.
    pub(super) fn is_silent(&self) -> bool {
        !self.seen_from && !self.reported
    }

    pub(super) fn finish(self) -> Dockerfile<'a> {
        self.dockerfile
    }
}

/// An instruction before its text is looked at.
#[expect(clippy::inline_always, reason = "as with fragments")]
#[inline(always)]
pub(super) fn empty<'a>(statement: &Statement<'a>, original: Original<'a>) -> Instruction<'a> {
    Instruction {
        span: statement.head,
        head: statement.head,
        lines: statement.lines,
        keyword: statement.head,
        comments: statement.comments,
        original: original.without_blanks(),
        kind: InstructionKind::default(),
    }
}
