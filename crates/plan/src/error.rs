use dfbuild_dockerfile::{Diagnostic, DiagnosticKind, Span};

/// An error at a place of the Dockerfile, in the words of the reference implementation where it
/// has some.
pub(crate) fn error(message: impl Into<String>, span: Span) -> Diagnostic {
    Diagnostic::error(DiagnosticKind::Value, message, span)
}
