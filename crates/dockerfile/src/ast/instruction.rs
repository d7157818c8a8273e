//! One instruction, and the payloads of the plain ones.

use crate::ast::{Add, Comments, Copy, From, Healthcheck, Run};
use crate::list::List;
use crate::original::Original;
use crate::span::{LineRange, Span, Spanned, Text, Word};

/// One instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruction<'a> {
    /// From the keyword to the end of the last line, heredoc bodies and their ends included.
    pub span: Span,
    /// The span without heredoc bodies and their ends.
    pub head: Span,
    /// The lines of the span.
    pub lines: LineRange,
    /// The place of the keyword.
    pub keyword: Span,
    /// The comment lines right above.
    pub comments: Comments<'a>,
    /// The instruction's text with continuation lines joined and comments left out, without surrounding blanks and
    /// without heredoc bodies.
    pub original: Original<'a>,
    /// What it is.
    pub kind: InstructionKind<'a>,
}

impl<'a> Instruction<'a> {
    /// The keyword as written.
    pub fn keyword_text(&self) -> Text<'a> {
        self.original.first_word()
    }
}

/// What an instruction is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names of the instructions")]
pub enum InstructionKind<'a> {
    Add(Add<'a>),
    Arg(Arg<'a>),
    Cmd(Command<'a>),
    Copy(Copy<'a>),
    Entrypoint(Command<'a>),
    Env(KeyValues<'a>),
    Expose(Expose<'a>),
    From(From<'a>),
    Healthcheck(Healthcheck<'a>),
    Label(KeyValues<'a>),
    Maintainer(Maintainer<'a>),
    Onbuild(Onbuild<'a>),
    Run(Run<'a>),
    Shell(Shell<'a>),
    Stopsignal(Stopsignal<'a>),
    User(User<'a>),
    Volume(Volume<'a>),
    Workdir(Workdir<'a>),
}

impl Default for InstructionKind<'_> {
    /// An instruction that says nothing and owns nothing.
    fn default() -> Self {
        Self::Shell(Shell { words: Vec::new() })
    }
}

impl InstructionKind<'_> {
    /// The keyword in upper case.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::From(_) => "FROM",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// A command line in one of its two forms. Neither is expanded by the builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Text for the shell of the image, put together from its lines when it is asked for; empty if the instruction has
    /// no argument.
    Shell(Spanned<Original<'a>>),
    /// A JSON array.
    Exec(Vec<Word<'a>>),
}

/// `ARG name[=value]...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg<'a> {
    /// The declarations, in order.
    pub declarations: List<ArgDeclaration<'a>>,
}

/// One build argument. What the comments above say about it, [`Comments::about`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDeclaration<'a> {
    /// The name. Never expanded.
    pub name: Word<'a>,
    /// The default. Not expanded; sees the earlier declarations of the same instruction.
    pub value: Option<Word<'a>>,
}

/// `ENV` or `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValues<'a> {
    /// The pairs, in order.
    pub pairs: List<KeyValue<'a>>,
    /// Whether it was written `name value`, without `=`.
    pub legacy: bool,
}

/// A name and a value, neither expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue<'a> {
    /// The name.
    pub key: Word<'a>,
    /// The value.
    pub value: Word<'a>,
}

/// `EXPOSE port...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expose<'a> {
    /// The port specifications as written, in the order of the file.
    pub ports: List<Word<'a>>,
}

impl<'a> Expose<'a> {
    /// The specifications in the order in which the reference implementation treats them: by their bytes.
    pub fn sorted(&self) -> Vec<&Word<'a>> {
        let mut ports: Vec<_> = self.ports.iter().collect();
        ports.sort_by(|a, b| a.value.cmp(&b.value));
        ports
    }
}

/// `MAINTAINER name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintainer<'a> {
    /// The author of the image. Never expanded.
    pub name: Word<'a>,
}

/// `ONBUILD instruction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild<'a> {
    /// The text to store in the image, heredoc bodies included; [`crate::parse_trigger`] reads it.
    pub trigger: Text<'a>,
    /// The trigger as an instruction, if it is a good one.
    pub instruction: Option<Box<Instruction<'a>>>,
}

/// `SHELL ["program", "argument"...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell<'a> {
    /// The words, at least one.
    pub words: Vec<Word<'a>>,
}

/// `STOPSIGNAL signal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopsignal<'a> {
    /// The signal. Not expanded; [`crate::signal::validate`] checks it after that.
    pub signal: Word<'a>,
}

/// `USER name[:group]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// The user. Not expanded.
    pub user: Word<'a>,
}

/// `VOLUME path...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume<'a> {
    /// The paths. Not expanded.
    pub paths: Vec<Word<'a>>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
}

/// `WORKDIR path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workdir<'a> {
    /// The path. Not expanded.
    pub path: Word<'a>,
}
