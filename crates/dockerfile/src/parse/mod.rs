//! From text to the low-level tree.

pub(crate) mod arguments;
pub(crate) mod directive;
pub(crate) mod heredoc;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod lines;
pub(crate) mod logical;
pub(crate) mod statement;
pub(crate) mod words;

use std::borrow::Cow;

use lines::{Line, Lines, MAX_LINE, before_continuation, trim_end, trim_start};
use logical::{Fragment, Joined};
use statement::Statement;

use crate::ast::{Directives, Heredoc};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::{Node, Tree};
use crate::span::{LineRange, Span, Spanned, Word};

/// Splits a file into instructions and those into words. Never fails: what cannot be read has a diagnostic.
pub fn tree(source: &str) -> Tree<'_> {
    let mut reader = Reader::new(source);
    // A guess that saves most of the growing; a file of a few instructions is not made to pay for a large one.
    let mut nodes = Vec::with_capacity((source.len() / BYTES_PER_INSTRUCTION).min(64));
    let mut statement = Statement::default();
    let mut joined = Joined::default();
    while reader.next(&mut statement, &mut joined) {
        nodes.push(reader.node(&mut statement, &mut joined));
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
    pub(crate) source: &'a str,
    lines: Lines<'a>,
    /// The escape character, which is ASCII.
    pub(crate) escape: u8,
    directives: Directives<'a>,
    /// The directives so far.
    seen: Vec<directive::Directive<'a>>,
    directives_done: bool,
    /// How often reading went on inside a heredoc without an end.
    recoveries: usize,
    /// What is wrong with the text, whatever it means.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The heredocs of an instruction.
#[derive(Debug, Default)]
pub(crate) struct Bodies<'a> {
    pub(crate) heredocs: Vec<Heredoc<'a>>,
    /// Where the last of them ends and in which line; none if there are none.
    pub(crate) end: Option<(usize, usize)>,
    /// Whether one has no end, which has a diagnostic.
    pub(crate) is_broken: bool,
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
            recoveries: 0,
            diagnostics: Vec::new(),
        }
    }

    /// Finds the next instruction, in place of what is in `statement` and `joined`. `false` at the end of the file.
    #[inline]
    pub(crate) fn next(&mut self, statement: &mut Statement<'a>, joined: &mut Joined) -> bool {
        statement.comments.clear();
        statement.empty_continuations.clear();
        loop {
            let Some(line) = self.next_line() else { return false };
            let text = trim_start(line.text);
            match text.as_bytes().first() {
                Some(b'#') => {
                    if !self.directive(line) {
                        comment(line, &mut statement.comments);
                    }
                }
                Some(_) => {
                    self.directives_done = true;
                    let end = line.end();
                    statement.head = Span::new(end - text.len(), end);
                    statement.lines = LineRange { start: line.number, end: line.number };
                    let open = before_continuation(text, self.escape);
                    statement.first = open.unwrap_or(text);
                    statement.is_continued = open.is_some();
                    if open.is_none() || self.continuation(statement, joined) {
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
        if line.next - line.start > MAX_LINE {
            self.check_length(line);
        }
        Some(line)
    }

    #[cold]
    fn check_length(&mut self, line: Line<'a>) {
        let ending = usize::from(self.source.as_bytes()[line.next - 1] == b'\n');
        if line.next - line.start - ending > MAX_LINE {
            self.diagnostics.push(Diagnostic::error(
                DiagnosticKind::LineTooLong,
                format!("dockerfile line greater than max allowed size of {MAX_LINE}"),
                Span::new(line.start, line.end()),
            ));
        }
    }

    /// Finds the lines that continue the first one. Continuation characters alone are no instruction.
    fn continuation(&mut self, statement: &mut Statement<'a>, joined: &mut Joined) -> bool {
        joined.clear();
        let mut found = !statement.first.is_empty();
        while let Some(next) = self.next_line() {
            statement.head.end = next.end();
            statement.lines.end = next.number;
            let text = trim_start(next.text);
            match text.as_bytes().first() {
                Some(b'#') => {}
                None => statement.empty_continuations.push(Span::new(next.start, next.end())),
                Some(_) => {
                    let open = before_continuation(next.text, self.escape);
                    let piece = open.unwrap_or(next.text);
                    joined.push(Span::new(next.start, next.start + piece.len()));
                    found = found || !trim_start(piece).is_empty();
                    if open.is_none() {
                        break;
                    }
                }
            }
        }
        found
    }

    /// Splits an instruction into words, and reads its heredocs from the lines below.
    fn node(&mut self, statement: &mut Statement<'a>, joined: &mut Joined) -> Node<'a> {
        let line = statement.line(self.source, joined);
        let mut node = Node {
            span: statement.head,
            head: statement.head,
            lines: statement.lines,
            original: statement.original(self.source, self.escape),
            comments: std::mem::take(&mut statement.comments),
            empty_continuations: std::mem::take(&mut statement.empty_continuations),
            ..Node::default()
        };
        line::split(line.fragment(), self.escape, &mut node, &mut self.diagnostics);
        self.empty_continuation(&node.empty_continuations, line.text);
        if line::may_have_heredocs(&node) {
            let bodies = self.heredocs(line.fragment(), node.head);
            (node.span.end, node.lines.end) = bodies.end.unwrap_or((node.span.end, node.lines.end));
            node.heredocs = bodies.heredocs;
            node.broken |= bodies.is_broken;
        }
        node
    }

    /// Reports blank lines inside a continuation.
    #[inline]
    pub(crate) fn empty_continuation(&mut self, found: &[Span], line: &str) {
        let Some(first) = found.first() else { return };
        self.diagnostics.push(
            Diagnostic::warning(
                DiagnosticKind::EmptyContinuation,
                format!("Empty continuation line found in: {line}"),
                *first,
            )
            .with_help("empty continuation lines will become errors in a future release"),
        );
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

    /// Reads the bodies of all heredocs of an instruction: of a whole line, whose place is `head`.
    #[inline]
    pub(crate) fn heredocs(&mut self, line: Fragment<'_, 'a>, head: Span) -> Bodies<'a> {
        if memchr::memchr(b'<', line.bytes()).is_none() || !line.text().contains("<<") {
            return Bodies::default();
        }
        self.bodies(line, head)
    }

    fn bodies(&mut self, line: Fragment<'_, 'a>, head: Span) -> Bodies<'a> {
        let mut bodies = Bodies::default();
        let markers = match heredoc::markers(line.text()) {
            Ok(markers) => markers,
            Err(reason) => {
                self.diagnostics.push(Diagnostic::error(DiagnosticKind::Heredoc, reason, head));
                return bodies;
            }
        };
        for marker in markers {
            let before = self.lines.clone();
            let spaced = marker.spaced;
            match heredoc::body(marker, line, &mut self.lines) {
                Ok(found) => {
                    bodies.end = Some((found.terminator.end, self.lines.number()));
                    bodies.heredocs.push(found);
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
                    let so_far = bodies.end.map_or(head.end, |(end, _)| end);
                    bodies.end = Some((found.span.end.max(so_far), self.lines.number()));
                    bodies.is_broken = true;
                    return bodies;
                }
            }
        }
        bodies
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
