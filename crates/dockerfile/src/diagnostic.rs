//! What the parser has to say about a file.

use crate::span::{LineIndex, Span};

/// How bad a diagnostic is.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The file builds; somebody should look.
    Warning,
    /// The file cannot be built.
    Error,
}

/// What a diagnostic is about, for programs. The text is for people and may change.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiagnosticKind {
    /// The file has no bytes.
    EmptyFile,
    /// The file has comments and blank lines only.
    NoInstructions,
    /// The file declares arguments, but has no `FROM`.
    NoStages,
    /// An instruction other than `ARG` stands before the first `FROM`.
    BeforeFrom,
    /// A parser directive is repeated or has a value it cannot have.
    Directive,
    /// A line is longer than the reference implementation reads.
    LineTooLong,
    /// A blank line inside a continued instruction.
    EmptyContinuation,
    /// No instruction has this name.
    UnknownInstruction,
    /// The instruction has no flag of this name.
    UnknownFlag,
    /// A flag is repeated, has no value, or has a value it cannot have.
    Flag,
    /// Too few or too many arguments.
    ArgumentCount,
    /// A JSON array with something other than strings, or no JSON array where one is needed.
    Json,
    /// `name=value` text without `=`, or with an empty name.
    KeyValue,
    /// A heredoc without its end, or in a place that cannot have one.
    Heredoc,
    /// A stage name that cannot be one.
    StageName,
    /// A trigger that cannot be one.
    Onbuild,
    /// A `HEALTHCHECK` that cannot be one.
    Healthcheck,
    /// A `--mount` that cannot be one.
    Mount,
    /// A variable where none is expanded.
    NoExpansion,
    /// Any other value that its instruction does not take.
    Value,
    /// What a build was told besides does not go with the file: no place in it is at fault.
    Option,
    /// The text is legal, but very likely not what was meant.
    Suspicious,
}

/// A second place that explains the first.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What it has to do with the diagnostic.
    pub text: String,
}

/// A change to the source that would mend it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What to replace; empty to insert.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

/// One error or warning, at its place in the source.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub kind: DiagnosticKind,
    /// The text, in the words of the reference implementation where that has words for it, without the suggestion and
    /// without the leading `dockerfile parse error on line N: `.
    pub message: String,
    /// The smallest text that is wrong.
    pub span: Span,
    /// The line of the instruction that the reference implementation names in front of the message, if it names one.
    pub line: Option<usize>,
    /// Other places that matter.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
    /// The name that was likely meant; the reference implementation appends it as ` (did you mean x?)`.
    pub suggestion: Option<String>,
    /// A change that would mend it.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A diagnostic without extras.
    pub fn new(
        severity: Severity,
        kind: DiagnosticKind,
        message: impl Into<String>,
        span: Span,
    ) -> Self {
        Self {
            severity,
            kind,
            message: message.into(),
            span,
            line: None,
            labels: Vec::new(),
            help: None,
            suggestion: None,
            fix: None,
        }
    }

    /// An error without extras.
    pub fn error(kind: DiagnosticKind, message: impl Into<String>, span: Span) -> Self {
        Self::new(Severity::Error, kind, message, span)
    }

    /// A warning without extras.
    pub fn warning(kind: DiagnosticKind, message: impl Into<String>, span: Span) -> Self {
        Self::new(Severity::Warning, kind, message, span)
    }

    /// Adds advice.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds the change that would mend it.
    pub fn with_fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    /// Adds the name that was likely meant.
    pub fn with_suggestion(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }

    /// Whether the file cannot be built because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The message as the reference implementation prints it: with the line in front, if it names one.
    pub fn full_text(&self) -> String {
        match self.line {
            Some(line) => format!("dockerfile parse error on line {line}: {}", self.text()),
            None => self.text(),
        }
    }

    /// The line and column at which it begins, both from 1.
    pub fn position(&self, index: &LineIndex) -> crate::Position {
        index.position(self.span.start)
    }

    /// The message with the suggestion behind.
    pub fn text(&self) -> String {
        match &self.suggestion {
            Some(name) => format!("{} (did you mean {name}?)", self.message),
            None => self.message.clone(),
        }
    }
}
