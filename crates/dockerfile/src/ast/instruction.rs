//! One instruction, and the payloads of the plain ones.

use crate::ast::{Add, Copy, From, Healthcheck, Run};
use crate::span::{LineRange, Span, Spanned};

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// From the keyword to the end of the last line, heredoc bodies and their ends included.
    pub span: Span,
    /// The span without heredoc bodies and their ends.
    pub head: Span,
    /// The lines of the span.
    pub lines: LineRange,
    /// The keyword as written.
    pub keyword: Spanned<String>,
    /// The comment lines right above, without `#` and without surrounding blanks.
    pub comments: Vec<Spanned<String>>,
    /// The instruction's text with continuation lines joined and comments left out, without surrounding blanks and
    /// without heredoc bodies.
    pub original: String,
    /// The flags without quotes, `--` included, in order.
    pub flags: Vec<Spanned<String>>,
    /// Blank lines inside a continuation, if any.
    pub empty_continuations: Vec<Span>,
    /// What it is.
    pub kind: InstructionKind,
}

/// What an instruction is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names of the instructions")]
pub enum InstructionKind {
    Add(Add),
    Arg(Arg),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(KeyValues),
    Expose(Expose),
    From(From),
    Healthcheck(Healthcheck),
    Label(KeyValues),
    Maintainer(Maintainer),
    Onbuild(Onbuild),
    Run(Run),
    Shell(Shell),
    Stopsignal(Stopsignal),
    User(User),
    Volume(Volume),
    Workdir(Workdir),
}

impl InstructionKind {
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
pub enum Command {
    /// Text for the shell of the image; empty if the instruction has no argument.
    Shell(Spanned<String>),
    /// A JSON array.
    Exec(Vec<Spanned<String>>),
}

/// `ARG name[=value]...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The declarations, in order.
    pub declarations: Vec<ArgDeclaration>,
}

/// One build argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// The name. Never expanded.
    pub name: Spanned<String>,
    /// The default. Not expanded; sees the earlier declarations of the same instruction.
    pub value: Option<Spanned<String>>,
    /// The text after the name in a comment right above, if a comment line begins with the name.
    pub doc: Option<String>,
}

/// `ENV` or `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValues {
    /// The pairs, in order.
    pub pairs: Vec<KeyValue>,
    /// Whether it was written `name value`, without `=`.
    pub legacy: bool,
}

/// A name and a value, neither expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The name.
    pub key: Spanned<String>,
    /// The value.
    pub value: Spanned<String>,
}

/// `EXPOSE port...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expose {
    /// The port specifications as written, in the order of the file.
    pub ports: Vec<Spanned<String>>,
}

impl Expose {
    /// The specifications in the order in which the reference implementation treats them: by their bytes.
    pub fn sorted(&self) -> Vec<&Spanned<String>> {
        let mut ports: Vec<_> = self.ports.iter().collect();
        ports.sort_by(|a, b| a.value.cmp(&b.value));
        ports
    }
}

/// `MAINTAINER name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintainer {
    /// The author of the image. Never expanded.
    pub name: Spanned<String>,
}

/// `ONBUILD instruction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The text to store in the image, heredoc bodies included; [`crate::parse_trigger`] reads it.
    pub trigger: String,
    /// The trigger as an instruction, if it is a good one.
    pub instruction: Option<Box<Instruction>>,
}

/// `SHELL ["program", "argument"...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    /// The words, at least one.
    pub words: Vec<Spanned<String>>,
}

/// `STOPSIGNAL signal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopsignal {
    /// The signal. Not expanded; [`crate::signal::validate`] checks it after that.
    pub signal: Spanned<String>,
}

/// `USER name[:group]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user. Not expanded.
    pub user: Spanned<String>,
}

/// `VOLUME path...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The paths. Not expanded.
    pub paths: Vec<Spanned<String>>,
    /// Whether the arguments were a JSON array.
    pub json: bool,
}

/// `WORKDIR path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workdir {
    /// The path. Not expanded.
    pub path: Spanned<String>,
}
