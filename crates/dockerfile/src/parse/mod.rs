//! From text to the low-level tree.

pub(crate) mod directive;
pub(crate) mod heredoc;
pub(crate) mod json;
mod line;
pub(crate) mod lines;
pub(crate) mod logical;
pub(crate) mod words;

use std::borrow::Cow;

use lines::{Line, Lines, MAX_LINE, before_continuation, trim_end, trim_start};
use logical::{Joined, Logical};

use crate::ast::{Directives, Heredoc};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::{Node, Tree};
use crate::original::Original;
use crate::span::{LineRange, Span, Spanned, Word};

/// Splits a file into instructions and those into words. Never fails: what cannot be read has a diagnostic.
pub fn tree(source: &str) -> Tree<'_> {
    let mut reader = Reader::new(source);
    // A guess that saves most of the growing; a file of a few instructions is not made to pay for a large one.
    let mut nodes = Vec::with_capacity((source.len() / BYTES_PER_INSTRUCTION).min(64));
    let mut node = Node::default();
    while reader.next_node(&mut node) {
        nodes.push(std::mem::take(&mut node));
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
    /// Room to join lines in.
    joined: Joined,
    /// How often reading went on inside a heredoc without an end.
    recoveries: usize,
    diagnostics: Vec<Diagnostic>,
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
            joined: Joined::default(),
            recoveries: 0,
            diagnostics: Vec::new(),
        }
    }

    /// Reads the next instruction into `node`, in place of what is there. `false` at the end of the file.
    pub(crate) fn next_node(&mut self, node: &mut Node<'a>) -> bool {
        node.clear();
        loop {
            let Some(line) = self.next_line() else { return false };
            match trim_start(line.text).as_bytes().first() {
                Some(b'#') => {
                    if !self.directive(line) {
                        comment(line, &mut node.comments);
                    }
                }
                Some(_) => {
                    self.directives_done = true;
                    if self.instruction(line, node) {
                        return true;
                    }
                }
                None => self.directives_done = true,
            }
        }
    }

    /// The next physical line; a line that is too long is reported and read all the same.
    #[expect(clippy::inline_always, reason = "as with `Lines::next`")]
    #[inline(always)]
    fn next_line(&mut self) -> Option<Line<'a>> {
        let line = self.lines.next()?;
        if line.raw.len() > MAX_LINE {
            self.check_length(line);
        }
        Some(line)
    }

    fn check_length(&mut self, line: Line<'a>) {
        if line.raw.trim_end_matches('\n').len() > MAX_LINE {
            self.diagnostics.push(Diagnostic::error(
                DiagnosticKind::LineTooLong,
                format!("dockerfile line greater than max allowed size of {MAX_LINE}"),
                Span::new(line.start, line.end()),
            ));
        }
    }

    /// Reads the instruction that begins in a line. Continuation characters alone are none.
    fn instruction(&mut self, line: Line<'a>, node: &mut Node<'a>) -> bool {
        let text = trim_start(line.text);
        let start = line.start + (line.text.len() - text.len());
        node.lines = LineRange { start: line.number, end: line.number };
        let Some(open) = before_continuation(text, self.escape) else {
            node.span = Span::new(start, line.end());
            self.split(&Logical::new(self.source, text, start), node);
            return true;
        };
        let mut joined = std::mem::take(&mut self.joined);
        joined.begin(open);
        let end = self.join(&mut joined, line.end(), node);
        node.span = Span::new(start, end);
        let logical = joined.logical(self.source, start);
        let found = !trim_start(logical.text).is_empty();
        if found {
            self.split(&logical, node);
        }
        self.joined = joined;
        found
    }

    /// Joins a line to the lines that continue it, and returns where the last of them ends.
    fn join(&mut self, joined: &mut Joined, mut end: usize, node: &mut Node<'a>) -> usize {
        // Those of continuation characters alone belong to no instruction.
        node.empty_continuations.clear();
        while let Some(next) = self.next_line() {
            end = next.end();
            node.lines.end = next.number;
            let text = trim_start(next.text);
            match text.as_bytes().first() {
                Some(b'#') => {}
                None => node.empty_continuations.push(Span::new(next.start, end)),
                Some(_) => {
                    let open = before_continuation(next.text, self.escape);
                    joined.push(open.unwrap_or(next.text), next.start);
                    if open.is_none() {
                        break;
                    }
                }
            }
        }
        end
    }

    /// Splits a line into words, and reads its heredocs from the lines below.
    fn split(&mut self, line: &Logical<'_, 'a>, node: &mut Node<'a>) {
        node.head = node.span;
        node.original = Original::new(&self.source[node.span.start..node.span.end], self.escape);
        node.original = node.original.with_blanks();
        line::split(line.fragment(), self.escape, node, &mut self.diagnostics);
        if let Some(first) = node.empty_continuations.first() {
            self.diagnostics.push(
                Diagnostic::warning(
                    DiagnosticKind::EmptyContinuation,
                    format!("Empty continuation line found in: {}", line.text),
                    *first,
                )
                .with_help("empty continuation lines will become errors in a future release"),
            );
        }
        if line::may_have_heredocs(node)
            && memchr::memchr(b'<', line.text.as_bytes()).is_some()
            && line.text.contains("<<")
        {
            self.heredocs(node, line);
        }
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

    /// Reads the bodies of all heredocs of an instruction.
    fn heredocs(&mut self, node: &mut Node<'a>, line: &Logical<'_, 'a>) {
        let markers = match heredoc::markers(line.text) {
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
            match heredoc::body(marker, line.fragment(), &mut self.lines) {
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

/// Remembers a comment. An empty one separates what stands above it from the instruction.
fn comment<'a>(line: Line<'a>, comments: &mut Vec<Word<'a>>) {
    let Some(behind) = trim_start(line.text).strip_prefix('#') else { return };
    // Nearly always one blank stands before the text.
    let text = trim_start(behind.strip_prefix(' ').unwrap_or(behind));
    if text.is_empty() {
        comments.clear();
        return;
    }
    let start = line.end() - text.len();
    let text = trim_end(text);
    comments.push(Spanned::new(Cow::Borrowed(text), Span::new(start, start + text.len())));
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
