//! The file as a whole.

use crate::ast::{Instruction, InstructionKind};
use crate::original::Original;
use crate::span::{LineRange, Span, Spanned, Text, Word};

/// A whole Dockerfile: what could be understood of it.
///
/// All instructions are in one list, and a stage is a part of it: [`Self::global_args`] come first, and then
/// [`Self::stages`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile<'a> {
    /// The parser directives at the top.
    pub directives: Directives<'a>,
    /// The instructions in the order of the file.
    pub(crate) instructions: Vec<Instruction<'a>>,
    /// Which of them begin stages.
    pub(crate) stage_starts: Vec<usize>,
}

impl<'a> Dockerfile<'a> {
    /// The character that escapes and that continues lines: `\` or `` ` ``.
    pub fn escape(&self) -> char {
        self.directives.escape.as_ref().map_or('\\', |escape| escape.value)
    }

    /// All instructions in the order of the file, `FROM` among them.
    pub fn instructions(&self) -> std::slice::Iter<'_, Instruction<'a>> {
        self.instructions.iter()
    }

    /// The `ARG` instructions before the first `FROM`, in order.
    pub fn global_args(&self) -> &[Instruction<'a>] {
        let end = self.stage_starts.first().copied().unwrap_or(self.instructions.len());
        &self.instructions[..end]
    }

    /// The stages, in order.
    pub fn stages(
        &self,
    ) -> impl DoubleEndedIterator<Item = Stage<'_, 'a>> + ExactSizeIterator + Clone + use<'_, 'a>
    {
        (0..self.stage_starts.len()).map(|index| self.numbered(index))
    }

    /// The stage of this number, from 0.
    pub fn stage(&self, index: usize) -> Option<Stage<'_, 'a>> {
        if index < self.stage_starts.len() { Some(self.numbered(index)) } else { None }
    }

    fn numbered(&self, index: usize) -> Stage<'_, 'a> {
        let start = self.stage_starts[index];
        let end = self.stage_starts.get(index + 1).copied().unwrap_or(self.instructions.len());
        Stage {
            header: &self.instructions[start],
            instructions: &self.instructions[start + 1..end],
        }
    }

    /// The index of the stage that `name` means: a stage's name, in any case, or its number. Of several stages with
    /// the name, the last one.
    pub fn stage_index(&self, name: &str) -> Option<usize> {
        let named = |stage: Stage| {
            stage.from().name.as_ref().is_some_and(|it| it.value.eq_ignore_ascii_case(name))
        };
        self.stages()
            .rposition(named)
            .or_else(|| name.parse().ok().filter(|index| *index < self.stage_starts.len()))
    }
}

/// The parser directives: comments at the very top that steer the parser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives<'a> {
    /// `# syntax=`: the frontend image that was asked for.
    pub syntax: Option<Syntax<'a>>,
    /// `# escape=`: `\` or `` ` ``.
    pub escape: Option<Spanned<char>>,
    /// `# check=`: options of the linter, as written.
    pub check: Option<Word<'a>>,
}

/// The value of a `# syntax=` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax<'a> {
    /// The image reference: the first word.
    pub reference: Text<'a>,
    /// The whole value.
    pub command_line: Word<'a>,
}

/// One stage: a `FROM` and what follows up to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage<'t, 'a> {
    /// The `FROM` instruction. Its kind is [`InstructionKind::From`].
    pub header: &'t Instruction<'a>,
    /// The instructions after `FROM`, in order.
    pub instructions: &'t [Instruction<'a>],
}

impl<'t, 'a> Stage<'t, 'a> {
    /// What the `FROM` instruction says.
    ///
    /// # Panics
    ///
    /// If the header is another instruction, which it is in no stage that was parsed.
    pub fn from(&self) -> &'t From<'a> {
        match &self.header.kind {
            InstructionKind::From(from) => from,
            other => panic!("the header of a stage is a FROM, not a {}", other.name()),
        }
    }

    /// From the `FROM` to the end of the last instruction.
    pub fn span(&self) -> Span {
        Span::new(self.header.span.start, self.last().span.end)
    }

    /// The lines of the span.
    pub fn lines(&self) -> LineRange {
        LineRange { start: self.header.lines.start, end: self.last().lines.end }
    }

    fn last(&self) -> &'t Instruction<'a> {
        self.instructions.last().unwrap_or(self.header)
    }

    /// The text after the stage's name in a comment right above, if a comment line begins with the name.
    pub fn doc(&self) -> Option<&'a str> {
        self.header.comments.about(&self.from().name.as_ref()?.value)
    }
}

/// `FROM [--platform=p] image [AS name]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From<'a> {
    /// The base: an image, `scratch`, or an earlier stage. Not expanded.
    pub image: Word<'a>,
    /// `--platform`. Not expanded.
    pub platform: Option<Box<Word<'a>>>,
    /// The stage's name in lower case.
    pub name: Option<Word<'a>>,
    /// How the name was given: `AS name` as written.
    pub alias: Option<Original<'a>>,
}
