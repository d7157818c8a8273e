//! The file as a whole.

use crate::ast::{Instruction, InstructionKind};
use crate::original::Original;
use crate::span::{LineRange, Span, Spanned, Text, Word};

/// A whole Dockerfile: what could be understood of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile<'a> {
    /// The parser directives at the top.
    pub directives: Directives<'a>,
    /// The `ARG` instructions before the first `FROM`, in order.
    pub global_args: Vec<Instruction<'a>>,
    /// The stages, in order.
    pub stages: Vec<Stage<'a>>,
}

impl<'a> Dockerfile<'a> {
    /// The character that escapes and that continues lines: `\` or `` ` ``.
    pub fn escape(&self) -> char {
        self.directives.escape.as_ref().map_or('\\', |escape| escape.value)
    }

    /// The index of the stage that `name` means: a stage's name, in any case, or its number. Of several stages with
    /// the name, the last one.
    pub fn stage_index(&self, name: &str) -> Option<usize> {
        let named = |stage: &Stage| {
            stage.from().name.as_ref().is_some_and(|it| it.value.eq_ignore_ascii_case(name))
        };
        self.stages
            .iter()
            .rposition(named)
            .or_else(|| name.parse().ok().filter(|index| *index < self.stages.len()))
    }

    /// All instructions in the order of the file, `FROM` among them.
    pub fn instructions(&self) -> impl Iterator<Item = &Instruction<'a>> {
        let stages = self.stages.iter();
        self.global_args.iter().chain(
            stages.flat_map(|stage| std::iter::once(&stage.header).chain(&stage.instructions)),
        )
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage<'a> {
    /// The `FROM` instruction. Its kind is [`InstructionKind::From`].
    pub header: Instruction<'a>,
    /// The instructions after `FROM`, in order.
    pub instructions: Vec<Instruction<'a>>,
    /// From the `FROM` to the end of the last instruction.
    pub span: Span,
    /// The lines of the span.
    pub lines: LineRange,
    /// The text after the stage's name in a comment right above, if a comment line begins with the name.
    pub doc: Option<Text<'a>>,
}

impl<'a> Stage<'a> {
    /// What the `FROM` instruction says.
    ///
    /// # Panics
    ///
    /// If the header is another instruction, which it is in no stage that was parsed.
    pub fn from(&self) -> &From<'a> {
        match &self.header.kind {
            InstructionKind::From(from) => from,
            other => panic!("the header of a stage is a FROM, not a {}", other.name()),
        }
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
