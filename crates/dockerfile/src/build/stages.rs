//! Putting instructions into their stages.

use super::declarations::doc;
use crate::ast::{Dockerfile, Instruction, InstructionKind, Stage};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::original::Original;
use crate::parse::BYTES_PER_INSTRUCTION;
use crate::parse::statement::Statement;
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
    /// Where the instruction is that is being read.
    open: Place,
    /// It, if it stands in no stage.
    outside: Option<Instruction<'a>>,
}

/// Where an instruction is written.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// It begins a new stage, or is about to.
    Header,
    /// In the last stage.
    Stage,
    /// In none.
    #[default]
    Outside,
}

impl<'a> Stages<'a> {
    /// For a file of so many bytes.
    pub(super) fn new(len: usize) -> Self {
        Self { len, ..Self::default() }
    }

    /// A place for the next instruction, which is empty so far: [`Self::close`] or [`Self::cancel`] it. An instruction is
    /// large, and is written where it stays.
    #[inline]
    pub(super) fn open(
        &mut self,
        statement: &Statement<'a>,
        original: Original<'a>,
    ) -> &mut Instruction<'a> {
        let empty = || empty(statement, original);
        if matches!(statement.first.as_bytes().first(), Some(b'F' | b'f')) {
            self.open = Place::Header;
            let (span, lines) = (statement.head, statement.lines);
            let header = empty();
            let stage = Stage { header, instructions: Vec::new(), span, lines, doc: None };
            return &mut pushed(&mut self.dockerfile.stages, stage).header;
        }
        match self.dockerfile.stages.last_mut() {
            Some(stage) if !self.lost => {
                self.open = Place::Stage;
                pushed(&mut stage.instructions, empty())
            }
            _ => {
                self.open = Place::Outside;
                self.outside.insert(empty())
            }
        }
    }

    /// Keeps the instruction that was read into the open place.
    #[inline]
    pub(super) fn close(&mut self, name: Keyword, diagnostics: &mut Vec<Diagnostic>) {
        match (self.open, self.dockerfile.stages.last_mut()) {
            (Place::Stage, Some(stage)) if name != Keyword::From => {
                if let Some(last) = stage.instructions.last() {
                    stage.span.end = last.span.end;
                    stage.lines.end = last.lines.end;
                }
            }
            (Place::Header, Some(_)) if name == Keyword::From => self.begin(),
            _ => {
                if let Some(instruction) = self.cancel() {
                    self.place_outside(name, instruction, diagnostics);
                }
            }
        }
    }

    /// Takes the instruction out of the open place again.
    #[cold]
    pub(super) fn cancel(&mut self) -> Option<Instruction<'a>> {
        match self.open {
            Place::Header => self.dockerfile.stages.pop().map(|stage| stage.header),
            Place::Stage => self.dockerfile.stages.last_mut()?.instructions.pop(),
            Place::Outside => self.outside.take(),
        }
    }

    /// Begins the stage whose header was read.
    fn begin(&mut self) {
        (self.seen_from, self.lost) = (true, false);
        let Some(stage) = self.dockerfile.stages.last() else { return };
        let room = self.room(stage.header.span.end);
        let Some(stage) = self.dockerfile.stages.last_mut() else { return };
        (stage.span, stage.lines) = (stage.header.span, stage.header.lines);
        stage.instructions.reserve_exact(room);
        if let InstructionKind::From(from) = &stage.header.kind {
            let name = from.name.as_ref();
            stage.doc = name.and_then(|name| doc(stage.header.comments, &name.value));
        }
    }

    /// Takes a `FROM`, or what stands in no stage.
    #[cold]
    fn place_outside(
        &mut self,
        name: Keyword,
        instruction: Instruction<'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        match name {
            // What follows a `FROM` that could not be read.
            name if name != Keyword::From && self.seen_from => {}
            // A continuation character stands before its name.
            Keyword::From => {
                let (span, lines) = (instruction.span, instruction.lines);
                let instructions = Vec::new();
                let stage = Stage { header: instruction, instructions, span, lines, doc: None };
                self.dockerfile.stages.push(stage);
                self.begin();
            }
            Keyword::Arg => self.dockerfile.global_args.push(instruction),
            _ => self.before_from(instruction.keyword, diagnostics),
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
        let max = if self.dockerfile.stages.len() <= FEW_STAGES { MAX_ROOM } else { 1 };
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

/// Appends an item, to be changed in its place.
#[inline]
fn pushed<T>(list: &mut Vec<T>, item: T) -> &mut T {
    list.push(item);
    list.last_mut().expect("an item was pushed")
}
