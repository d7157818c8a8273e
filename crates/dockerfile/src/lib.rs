//! A Dockerfile parser: bytes to a spanned syntax tree and every diagnostic; word expansion; lint. Pure.

#![forbid(unsafe_code)]

pub mod ast;
mod build;
pub mod chmod;
mod csv;
pub mod diagnostic;
pub mod duration;
pub mod expand;
pub mod git_ref;
pub mod node;
mod parse;
pub mod port;
pub mod quote;
pub mod signal;
pub mod span;
mod suggest;

pub use ast::{Dockerfile, Instruction, InstructionKind};
pub use diagnostic::{Diagnostic, DiagnosticKind, Severity};
pub use parse::tree;
pub use span::{LineIndex, LineRange, Position, Span, Spanned};

/// What a file says, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What could be understood.
    pub dockerfile: Dockerfile,
    /// All errors and warnings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a Dockerfile. Never fails: what cannot be understood is left out and has a diagnostic.
pub fn parse(source: &str) -> Parsed {
    build::file(source)
}

/// Reads one instruction, as it stands in the `OnBuild` list of an image's config. Spans are offsets in `text`.
///
/// A trigger always has `\` as its escape character, whatever the file that it came from had.
pub fn parse_trigger(text: &str) -> (Option<Instruction>, Vec<Diagnostic>) {
    build::trigger(text)
}
