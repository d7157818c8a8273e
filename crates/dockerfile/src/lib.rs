//! A Dockerfile parser: bytes to a spanned syntax tree and every diagnostic; word expansion; lint. Pure.
//!
//! [`parse`] joins continued lines, finds heredocs, and makes typed instructions ([`ast`]) in stages of them. [`tree`] is another
//! view of the same text: instructions split into words, as the grammar of each wants it, before any word has a meaning.
//! Neither ever fails: what cannot be understood is left out and has a [`Diagnostic`] with its place in the source, and
//! reading goes on with the next instruction. Words keep their quotes and variables until [`expand`] resolves them.
//!
//! The behaviour is that of BuildKit, oddities included, wherever a file may depend on it. Messages are in its words.
//!
//! # Limitations
//!
//! Sources are text: bytes that are not UTF-8 have to be replaced first, as [`String::from_utf8_lossy`] does.
//!
//! Where this differs from BuildKit on purpose, `docs/compatibility.md` of the project says how and why.
//!
//! The tree borrows from the source. A value is at most 1 MiB or 16 times as long as its word, and variables nest up to 128 levels deep.
//!
//! # Example
//!
//! ```
//! use dfbuild_dockerfile::{InstructionKind, LineIndex, parse};
//!
//! let source = "FROM alpine AS base\nRUN echo hi\nCOPPY . /app\n";
//! let parsed = parse(source);
//! let stage = parsed.dockerfile.stage(0).expect("there is a FROM");
//! assert_eq!(stage.from().image.value, "alpine");
//! assert!(matches!(stage.instructions[0].kind, InstructionKind::Run(_)));
//!
//! let error = &parsed.diagnostics[0];
//! assert_eq!(error.text(), "unknown instruction: COPPY (did you mean COPY?)");
//! assert_eq!(error.position(&LineIndex::new(source)).line, 3);
//! ```

#![forbid(unsafe_code)]

pub mod ast;
mod build;
pub mod chmod;
mod csv;
pub mod diagnostic;
pub mod duration;
pub mod expand;
pub mod format;
pub mod git_ref;
pub mod keyword;
pub mod lint;
mod list;
pub mod node;
pub mod original;
mod parse;
pub mod port;
mod print;
pub mod quote;
pub mod signal;
pub mod span;
pub mod suggest;

pub use ast::{Dockerfile, Instruction, InstructionKind};
pub use diagnostic::{Diagnostic, DiagnosticKind, Severity};
pub use keyword::Keyword;
pub use list::List;
pub use original::Original;
pub use parse::tree;
pub use span::{LineIndex, LineRange, Position, Span, Spanned, Text, Word};

/// What a file says, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// What could be understood.
    pub dockerfile: Dockerfile<'a>,
    /// All errors and warnings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a Dockerfile. Never fails: what cannot be understood is left out and has a diagnostic.
pub fn parse(source: &str) -> Parsed<'_> {
    build::file(source)
}

/// Reads one instruction, as it stands in the `OnBuild` list of an image's config. Spans are offsets in `text`.
///
/// A trigger always has `\` as its escape character, whatever the file that it came from had.
pub fn parse_trigger(text: &str) -> (Option<Instruction<'_>>, Vec<Diagnostic>) {
    build::trigger(text)
}
