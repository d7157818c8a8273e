//! From text to the low-level tree.

pub(crate) mod directive;
pub(crate) mod heredoc;
pub(crate) mod json;
mod line;
pub(crate) mod lines;
pub(crate) mod logical;
pub(crate) mod words;

use lines::{Line, Lines, MAX_LINE, before_continuation};
use logical::Logical;

use crate::ast::Heredoc;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::{Node, Tree};
use crate::span::{LineRange, Span, Spanned};

/// Splits a file into instructions and those into words. Never fails: what cannot be read has a diagnostic.
pub fn tree(source: &str) -> Tree {
    let mut reader = Reader {
        lines: Lines::new(source),
        escape: '\\',
        seen: Vec::new(),
        directives_done: false,
        comments: Vec::new(),
        recoveries: 0,
        tree: Tree { directives: directive::detect(source), ..Tree::default() },
    };
    while let Some(line) = reader.next_line() {
        reader.instruction(line);
    }
    reader.finish(source)
}

/// How often reading may go on inside a heredoc without an end, which each time reads the rest of the file twice.
const MAX_RECOVERIES: usize = 16;

struct Reader<'a> {
    lines: Lines<'a>,
    escape: char,
    /// The keys of the directives so far.
    seen: Vec<directive::Directive>,
    directives_done: bool,
    comments: Vec<Spanned<String>>,
    /// How often reading went on inside a heredoc without an end.
    recoveries: usize,
    tree: Tree,
}

/// A logical line with what was found while joining it.
struct Joined {
    line: Logical,
    start: usize,
    end: usize,
    lines: LineRange,
    empty: Vec<Span>,
}

impl<'a> Reader<'a> {
    /// The next physical line; a line that is too long is reported and read all the same.
    fn next_line(&mut self) -> Option<Line<'a>> {
        let line = self.lines.next()?;
        if line.raw.len() > MAX_LINE && line.raw.trim_end_matches('\n').len() > MAX_LINE {
            self.tree.diagnostics.push(Diagnostic::error(
                DiagnosticKind::LineTooLong,
                format!("dockerfile line greater than max allowed size of {MAX_LINE}"),
                Span::new(line.start, line.end()),
            ));
        }
        Some(line)
    }

    /// Reads what begins in a line: nothing, a comment, a directive or an instruction.
    fn instruction(&mut self, line: Line<'a>) {
        self.directive(line);
        if line.is_blank() || line.is_comment() {
            return;
        }
        let joined = self.join(line);
        if joined.line.text.trim().is_empty() {
            return;
        }
        let fragment = joined.line.fragment();
        let mut node = line::node(fragment, self.escape, &mut self.tree.diagnostics);
        node.comments = std::mem::take(&mut self.comments);
        node.span = Span::new(joined.start, joined.end);
        node.head = node.span;
        node.lines = joined.lines;
        node.empty_continuations.clone_from(&joined.empty);
        if let Some(first) = node.empty_continuations.first() {
            self.tree.diagnostics.push(
                Diagnostic::warning(
                    DiagnosticKind::EmptyContinuation,
                    format!("Empty continuation line found in: {}", joined.line.text),
                    *first,
                )
                .with_help("empty continuation lines will become errors in a future release"),
            );
        }
        if line::may_have_heredocs(&node) && joined.line.text.contains("<<") {
            self.heredocs(&mut node, &joined);
        }
        self.tree.nodes.push(node);
    }

    /// Looks for a directive, and keeps a comment that is none for the next instruction.
    fn directive(&mut self, line: Line) {
        let found = if self.directives_done { None } else { directive::read(line, "#") };
        let Some(found) = found else {
            self.directives_done = true;
            if line.is_comment() {
                self.comment(line);
            }
            return;
        };
        if let Some(first) = self.seen.iter().find(|it| it.key == found.key) {
            let diagnostic = Diagnostic::error(
                DiagnosticKind::Directive,
                format!("only one {} parser directive can be used", found.key),
                found.value.span,
            );
            self.tree.diagnostics.push(diagnostic.with_label(first.value.span, "the first one"));
            return;
        }
        if found.key == "escape" {
            match found.value.value.as_str() {
                "\\" | "`" => {
                    let escape = found.value.clone().map(|it| if it == "`" { '`' } else { '\\' });
                    self.escape = escape.value;
                    self.tree.directives.escape = Some(escape);
                }
                other => self.tree.diagnostics.push(Diagnostic::error(
                    DiagnosticKind::Directive,
                    format!("invalid escape token '{other}' does not match ` or \\"),
                    found.value.span,
                )),
            }
        }
        self.seen.push(found);
    }

    /// Remembers a comment. An empty one separates what stands above it from the instruction.
    fn comment(&mut self, line: Line) {
        let text = line.text();
        let Some(hash) = text.find('#') else { return };
        let comment = &text[hash + 1..];
        if comment.trim().is_empty() {
            self.comments.clear();
            return;
        }
        let start = line.start + hash + 1 + (comment.len() - comment.trim_start().len());
        let comment = comment.trim();
        self.comments
            .push(Spanned::new(comment.to_owned(), Span::new(start, start + comment.len())));
    }

    /// Joins a line to the lines that continue it.
    fn join(&mut self, line: Line<'a>) -> Joined {
        let text = line.text();
        let indent = text.len() - text.trim_start().len();
        let text = &text[indent..];
        let start = line.start + indent;
        let mut joined = Joined {
            line: Logical::default(),
            start,
            end: line.end(),
            lines: LineRange { start: line.number, end: line.number },
            empty: Vec::new(),
        };
        let mut open = before_continuation(text, self.escape);
        joined.line.push(open.unwrap_or(text), start);
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
            open = before_continuation(next.text(), self.escape);
            joined.line.push(open.unwrap_or(next.text()), next.start);
        }
        joined
    }

    /// Reads the bodies of all heredocs of an instruction.
    fn heredocs(&mut self, node: &mut Node, joined: &Joined) {
        let line = joined.line.fragment();
        let markers = match heredoc::markers(&joined.line.text) {
            Ok(markers) => markers,
            Err(reason) => {
                self.tree.diagnostics.push(Diagnostic::error(
                    DiagnosticKind::Heredoc,
                    reason,
                    node.head,
                ));
                return;
            }
        };
        for marker in &markers {
            let before = self.lines.clone();
            match heredoc::body(marker, line, &mut self.lines) {
                Ok(found) => {
                    node.span.end = found.terminator.end;
                    node.lines.end = self.lines.number();
                    node.heredocs.push(found);
                }
                Err(found) => {
                    self.tree.diagnostics.push(unterminated(&found, marker.spaced));
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

    fn finish(mut self, source: &str) -> Tree {
        let end = Span::at(source.len());
        if source.is_empty() {
            self.tree.diagnostics.push(Diagnostic::error(
                DiagnosticKind::EmptyFile,
                "the Dockerfile cannot be empty",
                end,
            ));
        } else if self.tree.nodes.is_empty() {
            self.tree.diagnostics.push(Diagnostic::error(
                DiagnosticKind::NoInstructions,
                "file with no instructions",
                end,
            ));
        }
        self.tree
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
            diagnostic.with_label(span, "this does not end it").with_help(help).with_fix(span, name)
        }
        None if spaced => diagnostic.with_help(
            "a word that begins with `<<` begins a heredoc; quote it if that is not meant",
        ),
        None => diagnostic.with_help(format!("a line with nothing but `{name}` ends the heredoc")),
    }
}
