//! Putting instructions into their stages.

use super::declarations::doc;
use crate::ast::{Dockerfile, Instruction, InstructionKind, Stage};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::parse::BYTES_PER_INSTRUCTION;
use crate::span::Span;

/// The most instructions that a stage gets room for before they are there.
const MAX_ROOM: usize = 64;

/// A file with more stages than these has little in each, and no room is made for more.
const FEW_STAGES: usize = 4;

/// The stages so far.
#[derive(Default)]
pub(super) struct Stages<'a> {
    dockerfile: Dockerfile<'a>,
    /// How long the file is.
    len: usize,
    seen_from: bool,
    /// Whether the last `FROM` could not be read: what follows has no stage, through no fault of its own.
    lost: bool,
    /// Whether it was said that something stands before the first `FROM`.
    reported: bool,
}

impl<'a> Stages<'a> {
    /// For a file of so many bytes.
    pub(super) fn new(len: usize) -> Self {
        Self { len, ..Self::default() }
    }

    /// A place for the next instruction of the current stage, if there is one: [`Self::close`] or [`Self::cancel`] it.
    #[inline]
    pub(super) fn open(&mut self) -> Option<&mut Instruction<'a>> {
        if self.lost {
            return None;
        }
        let list = &mut self.dockerfile.stages.last_mut()?.instructions;
        list.push(Instruction::default());
        list.last_mut()
    }

    /// Keeps the instruction that was read into the open place, which ends here. `false` if there is none.
    #[inline]
    pub(super) fn close(&mut self, end: usize, last_line: usize) -> bool {
        if self.lost {
            return false;
        }
        let Some(stage) = self.dockerfile.stages.last_mut() else { return false };
        stage.span.end = end;
        stage.lines.end = last_line;
        true
    }

    /// Takes the instruction out of the open place again.
    pub(super) fn cancel(&mut self) -> Option<Instruction<'a>> {
        if self.lost {
            return None;
        }
        self.dockerfile.stages.last_mut()?.instructions.pop()
    }

    /// Takes a `FROM`, or what stands in no stage.
    pub(super) fn place_outside(
        &mut self,
        name: Keyword,
        instruction: Instruction<'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        match name {
            // What follows a `FROM` that could not be read.
            name if name != Keyword::From && self.seen_from => {}
            Keyword::From => {
                self.seen_from = true;
                self.lost = false;
                let room = self.room(instruction.span.end);
                self.dockerfile.stages.extend(stage(instruction, room));
            }
            Keyword::Arg => self.dockerfile.global_args.push(instruction),
            _ => self.before_from(instruction.keyword.span, diagnostics),
        }
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

    /// How many instructions may follow.
    fn room(&self, end: usize) -> usize {
        let max = if self.dockerfile.stages.len() < FEW_STAGES { MAX_ROOM } else { 1 };
        ((self.len - end) / BYTES_PER_INSTRUCTION).min(max)
    }

    /// Whether there is no stage, and nothing was said that explains it.
    pub(super) fn is_silent(&self) -> bool {
        !self.seen_from && !self.reported
    }

    pub(super) fn finish(self) -> Dockerfile<'a> {
        self.dockerfile
    }
}

fn stage(header: Instruction<'_>, room: usize) -> Option<Stage<'_>> {
    let InstructionKind::From(from) = &header.kind else { return None };
    let from = from.clone();
    let doc = from.name.as_ref().and_then(|name| doc(&header.comments, &name.value));
    Some(Stage {
        from,
        span: header.span,
        lines: header.lines,
        instructions: Vec::with_capacity(room),
        doc,
        header,
    })
}
