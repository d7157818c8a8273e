//! From text to the low-level tree.

pub(crate) mod directive;
pub(crate) mod heredoc;
pub(crate) mod json;
mod line;
pub(crate) mod lines;
pub(crate) mod logical;
pub(crate) mod words;

use std::borrow::Cow;

use lines::{Line, Lines, MAX_LINE, before_continuation, trim_start};
use logical::Logical;

use crate::ast::{Directives, Heredoc};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::{Node, Tree};
use crate::span::{LineRange, Span, Spanned, Word};

/// Splits a file into instructions and those into words. Never fails: what cannot be read has a diagnostic.
pub fn tree(source: &str) -> Tree<'_> {
    let mut reader = Reader::new(source);
    // A guess that saves most of the growing; a file of a few instructions is not made to pay for a large one.
    let mut nodes = Vec::with_capacity((source.len() / BYTES_PER_INSTRUCTION).min(64));
    while let Some(node) = reader.next_node() {
        nodes.push(node);
    }
    let (directives, diagnostics) = reader.finish(nodes.is_empty());
    Tree { directives, nodes, diagnostics }
}

/// About what instructions of people have on average.
pub(crate) const BYTES_PER_INSTRUCTION: usize = 64;

/// How often reading may go on inside a heredoc without an end, which each time reads the rest of the file twice.
const MAX_RECOVERIES: usize = 16;

/// Reads one instruction after the other.
pub(crate) struct Reader<'a> {
    source: &'a str,
    lines: Lines<'a>,
    /// The escape character, which is ASCII.
    escape: u8,
    directives: Directives<'a>,
    /// The directives so far.
    seen: Vec<directive::Directive<'a>>,
    directives_done: bool,
    comments: Vec<Word<'a>>,
    /// An empty list whose room can be used again.
    spare: Vec<Word<'a>>,
    /// How often reading went on inside a heredoc without an end.
    recoveries: usize,
    diagnostics: Vec<Diagnostic>,
}

/// A logical line with what was found while joining it.
struct Joined<'a> {
    line: Logical<'a>,
    start: usize,
    end: usize,
    lines: LineRange,
    empty: Vec<Span>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self {
            source,
            lines: Lines::new(source),
            escape: b'\\',
            directives: directive::detect(source),
            seen: Vec::new(),
            directives_done: false,
            comments: Vec::new(),
            spare: Vec::new(),
            recoveries: 0,
            diagnostics: Vec::new(),
        }
    }

    /// The next instruction.
    pub(crate) fn next_node(&mut self) -> Option<Node<'a>> {
        loop {
            let line = self.next_line()?;
            match trim_start(line.text).as_bytes().first() {
                Some(b'#') => {
                    if !self.directive(line) {
                        self.comment(line);
                    }
                }
                Some(_) => {
                    self.directives_done = true;
                    if let Some(node) = self.instruction(line) {
                        return Some(node);
                    }
                }
                None => self.directives_done = true,
            }
        }
    }

    /// The next physical line; a line that is too long is reported and read all the same.
    fn next_line(&mut self) -> Option<Line<'a>> {
        let line = self.lines.next()?;
        if line.raw.len() > MAX_LINE && line.raw.trim_end_matches('\n').len() > MAX_LINE {
            self.diagnostics.push(Diagnostic::error(
                DiagnosticKind::LineTooLong,
                format!("dockerfile line greater than max allowed size of {MAX_LINE}"),
                Span::new(line.start, line.end()),
            ));
        }
        Some(line)
    }

    /// Reads the instruction that begins in a line. Continuation characters alone are none.
    fn instruction(&mut self, line: Line<'a>) -> Option<Node<'a>> {
        let mut joined = self.join(line);
        if trim_start(&joined.line.text).is_empty() {
            return None;
        }
        let mut node = line::node(
            joined.line.fragment(),
            self.escape,
            std::mem::take(&mut self.spare),
            &mut self.diagnostics,
        );
        node.comments = std::mem::take(&mut self.comments);
        node.span = Span::new(joined.start, joined.end);
        node.head = node.span;
        node.lines = joined.lines;
        node.empty_continuations = std::mem::take(&mut joined.empty);
        if let Some(first) = node.empty_continuations.first() {
            self.diagnostics.push(
                Diagnostic::warning(
                    DiagnosticKind::EmptyContinuation,
                    format!("Empty continuation line found in: {}", joined.line.text),
                    *first,
                )
                .with_help("empty continuation lines will become errors in a future release"),
            );
        }
        if line::may_have_heredocs(&node)
            && memchr::memchr(b'<', joined.line.text.as_bytes()).is_some()
            && joined.line.text.contains("<<")
        {
            self.heredocs(&mut node, &joined);
        }
        node.original = joined.line.text;
        Some(node)
    }

    /// Whether a comment is a directive. The first one that is none ends them.
    fn directive(&mut self, line: Line<'a>) -> bool {
        let found = if self.directives_done { None } else { directive::read(line, "#") };
        let Some(found) = found else {
            self.directives_done = true;
            return false;
        };
        if let Some(first) = self.seen.iter().find(|it| it.key == found.key) {
            let diagnostic = Diagnostic::error(
                DiagnosticKind::Directive,
                format!("only one {} parser directive can be used", found.key),
                found.value.span,
            );
            self.diagnostics.push(diagnostic.with_label(first.value.span, "the first one"));
            return true;
        }
        if found.key == "escape" {
            match &*found.value.value {
                token @ ("\\" | "`") => {
                    self.escape = token.as_bytes()[0];
                    let escape = Spanned::new(self.escape.into(), found.value.span);
                    self.directives.escape = Some(escape);
                }
                other => self.diagnostics.push(Diagnostic::error(
                    DiagnosticKind::Directive,
                    format!("invalid escape token '{other}' does not match ` or \\"),
                    found.value.span,
                )),
            }
        }
        self.seen.push(found);
        true
    }

    /// Remembers a comment. An empty one separates what stands above it from the instruction.
    fn comment(&mut self, line: Line<'a>) {
        let text = line.text;
        let Some(hash) = text.find('#') else { return };
        let comment = &text[hash + 1..];
        if comment.trim().is_empty() {
            self.comments.clear();
            return;
        }
        let start = line.start + hash + 1 + (comment.len() - comment.trim_start().len());
        let comment = comment.trim();
        let span = Span::new(start, start + comment.len());
        self.comments.push(Spanned::new(Cow::Borrowed(comment), span));
    }

    /// Joins a line to the lines that continue it.
    fn join(&mut self, line: Line<'a>) -> Joined<'a> {
        let text = trim_start(line.text);
        let start = line.start + (line.text.len() - text.len());
        let mut open = before_continuation(text, self.escape);
        let mut joined = Joined {
            line: Logical::new(self.source, open.unwrap_or(text), start),
            start,
            end: line.end(),
            lines: LineRange { start: line.number, end: line.number },
            empty: Vec::new(),
        };
        while open.is_some() {
            let Some(next) = self.next_line() else { break };
            joined.end = next.end();
            joined.lines.end = next.number;
            if next.is_comment() {
                continue;
            }
            if next.is_blank() {
                joined.empty.push(Span::new(next.start, next.end()));
                continue;
            }
            open = before_continuation(next.text, self.escape);
            joined.line.push(open.unwrap_or(next.text), next.start);
        }
        joined
    }

    /// Reads the bodies of all heredocs of an instruction.
    fn heredocs(&mut self, node: &mut Node<'a>, joined: &Joined) {
        let line = joined.line.fragment();
        let markers = match heredoc::markers(&joined.line.text) {
            Ok(markers) => markers,
            Err(reason) => {
                self.diagnostics.push(Diagnostic::error(
                    DiagnosticKind::Heredoc,
                    reason,
                    node.head,
                ));
                return;
            }
        };
        for marker in markers {
            let before = self.lines.clone();
            let spaced = marker.spaced;
            match heredoc::body(marker, line, &mut self.lines) {
                Ok(found) => {
                    node.span.end = found.terminator.end;
                    node.lines.end = self.lines.number();
                    node.heredocs.push(found);
                }
                Err(found) => {
                    self.diagnostics.push(unterminated(&found, spaced));
                    // Go on behind the line that was most likely meant to end it.
                    let almost = heredoc::almost_terminator(&found);
                    if let Some(end) = almost.filter(|_| self.recoveries < MAX_RECOVERIES) {
                        self.recoveries += 1;
                        self.lines = before;
                        while self.lines.by_ref().next().is_some_and(|line| line.start < end.start)
                        {
                        }
                    }
                    node.span.end = found.span.end.max(node.span.end);
                    node.lines.end = self.lines.number();
                    node.broken = true;
                    return;
                }
            }
        }
    }

    /// Takes back the list of words of a node that nobody needs any more.
    pub(crate) fn recycle(&mut self, mut words: Vec<Word<'a>>) {
        words.clear();
        self.spare = words;
    }

    /// What is known when all instructions have been read.
    pub(crate) fn finish(mut self, no_instructions: bool) -> (Directives<'a>, Vec<Diagnostic>) {
        let end = Span::at(self.source.len());
        if self.source.is_empty() {
            self.diagnostics.push(Diagnostic::error(
                DiagnosticKind::EmptyFile,
                "the Dockerfile cannot be empty",
                end,
            ));
        } else if no_instructions {
            self.diagnostics.push(Diagnostic::error(
                DiagnosticKind::NoInstructions,
                "file with no instructions",
                end,
            ));
        }
        (self.directives, self.diagnostics)
    }
}

fn unterminated(heredoc: &Heredoc, spaced: bool) -> Diagnostic {
    let name = &heredoc.name;
    let diagnostic =
        Diagnostic::error(DiagnosticKind::Heredoc, "unterminated heredoc", heredoc.marker);
    match heredoc::almost_terminator(heredoc) {
        Some(span) => {
            let help = if heredoc.chomp {
                format!(
                    "`<<-` allows tabs before `{name}`, but neither spaces nor anything behind it"
                )
            } else {
                format!(
                    "`{name}` must stand alone on its line; with `<<-` tabs may stand before it"
                )
            };
            diagnostic
                .with_label(span, "this does not end it")
                .with_help(help)
                .with_fix(span, &**name)
        }
        None if spaced => diagnostic.with_help(
            "a word that begins with `<<` begins a heredoc; quote it if that is not meant",
        ),
        None => diagnostic.with_help(format!("a line with nothing but `{name}` ends the heredoc")),
    }
}
