//! From text to the low-level tree.

pub(crate) mod arguments;
pub(crate) mod directive;
pub(crate) mod heredoc;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod lines;
pub(crate) mod logical;
pub(crate) mod scan;
pub(crate) mod statement;
pub(crate) mod words;

use lines::{FileLines, Line, MAX_LINE, trim_start};
use logical::{Fragment, Joined, Logical};
use statement::Statement;

use crate::ast::{Comments, Directives, Heredoc};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::{Node, Tree};
use crate::span::{LineRange, Span, Spanned};

/// Splits a file into instructions and those into words. Never fails: what cannot be read has a diagnostic.
pub fn tree(source: &str) -> Tree<'_> {
    let mut reader = Reader::new(source);
    // A guess that saves most of the growing; a file of a few instructions is not made to pay for a large one.
    let mut nodes = Vec::with_capacity((source.len() / BYTES_PER_INSTRUCTION).min(64));
    let mut statement = Statement::default();
    let mut joined = Joined::default();
    while reader.next(&mut statement) {
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
    lines: FileLines<'a>,
    /// The escape character, which is ASCII.
    pub(crate) escape: u8,
    directives: Directives<'a>,
    /// The directives so far.
    seen: Vec<directive::Directive<'a>>,
    directives_done: bool,
    /// How often reading went on inside a heredoc without an end.
    recoveries: usize,
    /// From the instruction that was found last up to here there is no `<<`, nor what may become one when lines are joined.
    next_marker: usize,
    /// Whether nothing in the file is outside ASCII, so that nobody has to look again.
    is_ascii: bool,
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
            lines: FileLines::new(source),
            escape: b'\\',
            directives: directive::detect(source),
            seen: Vec::new(),
            directives_done: false,
            recoveries: 0,
            next_marker: find_marker(source.as_bytes(), 0),
            is_ascii: source.is_ascii(),
            diagnostics: Vec::new(),
        }
    }

    /// Whether a text of the file has nothing outside ASCII.
    #[inline]
    pub(crate) fn is_ascii(&self, text: &str) -> bool {
        self.is_ascii || text.is_ascii()
    }

    /// Finds the next instruction, in place of what is in `statement`. `false` at the end of the file.
    #[inline]
    pub(crate) fn next(&mut self, statement: &mut Statement<'a>) -> bool {
        let bytes = self.source.as_bytes();
        // The lines of the comments so far.
        let mut comments = 0..0;
        if !statement.empty_continuations.is_empty() {
            statement.empty_continuations.clear();
        }
        // They are looked at here and not in their place, which is far away.
        let mut lines = std::mem::take(&mut self.lines);
        while let Some(line) = lines.next() {
            if line.is_too_long() {
                self.check_length(line);
            }
            let start = line.text_start(self.source);
            if start == line.end {
                self.directives_done = true;
                continue;
            }
            if bytes[start] == b'#' {
                if self.directives_done || !self.directive(line) {
                    if is_empty_comment(self.source, start, line.end) {
                        comments = 0..0;
                    } else {
                        let first = if comments.is_empty() { line.start } else { comments.start };
                        comments = first..line.end;
                    }
                }
                continue;
            }
            self.directives_done = true;
            let open = line.continuation(bytes, start, self.escape);
            statement.head = Span::new(start, line.end);
            statement.lines = LineRange { start: line.number, end: line.number };
            statement.first = &self.source[start..open.unwrap_or(line.end)];
            statement.is_continued = open.is_some();
            if open.is_some() {
                self.continuation(&mut lines, statement);
                if statement.first.is_empty() && statement.tail.is_empty() {
                    continue;
                }
            }
            self.lines = lines;
            if self.next_marker < statement.head.start {
                self.next_marker = find_marker(bytes, statement.head.start);
            }
            let start = comments.start;
            statement.comments = Comments::new(&self.source[comments], start);
            return true;
        }
        self.lines = lines;
        false
    }

    #[cold]
    fn check_length(&mut self, line: Line) {
        let ending = usize::from(self.source.as_bytes()[line.next - 1] == b'\n');
        if line.next - line.start - ending > MAX_LINE {
            self.diagnostics.push(Diagnostic::error(
                DiagnosticKind::LineTooLong,
                format!("dockerfile line greater than max allowed size of {MAX_LINE}"),
                Span::new(line.start, line.end),
            ));
        }
    }

    /// Finds the lines that continue the first one.
    #[inline]
    fn continuation(&mut self, lines: &mut FileLines<'a>, statement: &mut Statement<'a>) {
        let bytes = self.source.as_bytes();
        let (mut tail, mut end, mut number) = (0..0, statement.head.end, statement.lines.end);
        for line in lines.by_ref() {
            if line.is_too_long() {
                self.check_length(line);
            }
            (end, number) = (line.end, line.number);
            let start = line.text_start(self.source);
            if start == line.end {
                statement.empty_continuations.push(Span::new(line.start, line.end));
                continue;
            }
            if bytes[start] == b'#' {
                continue;
            }
            let open = line.continuation(bytes, line.start, self.escape);
            let piece_end = open.unwrap_or(line.end);
            if piece_end > start {
                tail = start..piece_end;
            }
            if open.is_none() {
                break;
            }
        }
        statement.head.end = end;
        statement.lines.end = number;
        statement.tail = Span::new(tail.start, tail.end);
    }

    /// The lines of an instruction, put together in `room` if there are several.
    #[inline]
    pub(crate) fn line<'l>(
        &self,
        statement: &Statement<'a>,
        room: &'l mut Joined,
    ) -> Logical<'l, 'a>
    where
        'a: 'l,
    {
        if statement.is_continued {
            let further = self.further_lines(statement);
            room.join(self.source, statement.first, statement.head, further)
        } else {
            statement.first_line(self.source)
        }
    }

    /// The lines of an instruction behind the first that have a text, without the characters that continue them, and where
    /// they stand.
    pub(crate) fn further_lines(
        &self,
        statement: &Statement<'a>,
    ) -> impl Iterator<Item = (&'a str, usize)> {
        let (source, escape) = (self.source, self.escape);
        let lines = self.lines.behind(statement.lines).filter(|line| line.has_text(source));
        lines.map(move |line| {
            let end = line.continuation(source.as_bytes(), line.start, escape);
            (&source[line.start..end.unwrap_or(line.end)], line.start)
        })
    }

    /// Splits an instruction into words, and reads its heredocs from the lines below.
    fn node(&mut self, statement: &mut Statement<'a>, joined: &mut Joined) -> Node<'a> {
        let line = self.line(statement, joined);
        let mut node = Node {
            span: statement.head,
            head: statement.head,
            lines: statement.lines,
            original: statement.original(self.source, self.escape),
            comments: statement.comments,
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

    /// Whether a comment at the top is a directive. The first one that is none ends them.
    #[cold]
    fn directive(&mut self, line: Line) -> bool {
        let Some(found) = directive::read(line, line.text(self.source), "#") else {
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

    /// Whether the instruction at `head`, the last one that was found, may have heredocs.
    #[inline]
    pub(crate) fn may_have_heredocs(&self, head: Span) -> bool {
        head.end > self.next_marker
    }

    /// Reads the bodies of all heredocs of an instruction: of a whole line, whose place is `head`.
    pub(crate) fn heredocs(&mut self, line: Fragment<'_, 'a>, head: Span) -> Bodies<'a> {
        let mut bodies = Bodies::default();
        if !self.may_have_heredocs(head) || !line.text().contains("<<") {
            return bodies;
        }
        let markers = match heredoc::markers(line.text()) {
            Ok(markers) => markers,
            Err(reason) => {
                self.diagnostics.push(Diagnostic::error(DiagnosticKind::Heredoc, reason, head));
                return bodies;
            }
        };
        for marker in markers {
            let before = self.lines.place();
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
                        self.lines.go_to(before);
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
        // Not behind the last line, where there is nothing to show.
        let end = Span::at(self.source.trim_end().len());
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

/// Where the first `<` from `start` on is that another one may follow, if only on the next line, or the end.
fn find_marker(source: &[u8], start: usize) -> usize {
    let is_doubled = |at: &usize| matches!(source.get(at + 1), Some(b'<' | b'\\' | b'`'));
    let mut found = memchr::memchr_iter(b'<', &source[start..]).map(|at| start + at);
    found.find(is_doubled).unwrap_or(source.len())
}

/// Whether nothing stands behind the `#` at `start`: such a comment separates what stands above it from the instruction.
#[inline]
fn is_empty_comment(source: &str, start: usize, end: usize) -> bool {
    // Nearly always one blank stands before the text.
    match source.as_bytes()[start + 1..end] {
        [b' ', first, ..] | [first, ..] if first.is_ascii_graphic() => false,
        _ => trim_start(&source[start + 1..end]).is_empty(),
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
