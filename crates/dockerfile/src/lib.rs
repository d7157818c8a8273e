//! A Dockerfile parser: bytes to a spanned syntax tree and every diagnostic; word expansion; lint. Pure.

#![forbid(unsafe_code)]

pub mod ast;
pub mod chmod;
pub mod diagnostic;
pub mod expand;
pub mod git_ref;
pub mod port;
pub mod signal;
pub mod span;

pub use ast::{Dockerfile, Instruction, InstructionKind};
pub use diagnostic::{Diagnostic, DiagnosticKind, Severity};
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
    let _ = source;
    Parsed::default()
}

/// Reads one instruction, as it stands in the `OnBuild` list of an image's config. Spans are offsets in `text`.
///
/// A trigger always has `\` as its escape character, whatever the file that it came from had.
pub fn parse_trigger(text: &str) -> (Option<Instruction>, Vec<Diagnostic>) {
    let _ = text;
    (None, Vec::new())
}
