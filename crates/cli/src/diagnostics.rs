use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use dfbuild::{Diagnostic, DiagnosticKind, LineIndex, Span};

use crate::source::Source;

/// More than this nobody reads: a file with so many is no Dockerfile.
pub(crate) const MAX_SHOWN: usize = 1000;

/// Shows diagnostics with their places in the Dockerfile, a caret, advice, and the change that would
/// mend them.
pub(crate) fn render<'a>(
    source: &Source,
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
    colour: bool,
) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let shown = Shown { source, index: LineIndex::new(&source.text) };
    let mut diagnostics = diagnostics.into_iter();
    let mut reports: Vec<String> = diagnostics
        .by_ref()
        .take(MAX_SHOWN)
        .map(|diagnostic| {
            let title = diagnostic.text();
            renderer.render(&shown.report(diagnostic, &title))
        })
        .collect();
    let more = diagnostics.count();
    if more > 0 {
        reports.push(format!("{more} more are not shown"));
    }
    reports.join("\n\n")
}

/// The first error, and how many more there are: `Dockerfile:3: unknown instruction: FORM (did you mean FROM?)
/// (and 2 more errors)`.
pub(crate) fn one_line(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let index = LineIndex::new(&source.text);
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let Some(first) = errors.next() else { return format!("{}: it has errors", source.name) };
    let text = if first.kind == DiagnosticKind::Option {
        first.text()
    } else {
        let line = index.position(first.span.start).line;
        format!("{}:{line}: {}", source.name, first.text())
    };
    match errors.count() {
        0 => text,
        1 => format!("{text} (and 1 more error)"),
        more => format!("{text} (and {more} more errors)"),
    }
}

/// A source, of which each report shows a few lines.
struct Shown<'a> {
    source: &'a Source,
    index: LineIndex,
}

impl<'a> Shown<'a> {
    fn report(&self, diagnostic: &'a Diagnostic, title: &'a str) -> Vec<Group<'a>> {
        let level = if diagnostic.is_error() { Level::ERROR } else { Level::WARNING };
        let spans = diagnostic.labels.iter().map(|label| label.span);
        let window = self.window(spans.fold(diagnostic.span, Span::join));
        let mut snippet = self
            .snippet(window)
            .annotation(AnnotationKind::Primary.span(self.range(window, diagnostic.span)));
        for label in &diagnostic.labels {
            let place = AnnotationKind::Context.span(self.range(window, label.span));
            snippet = snippet.annotation(place.label(label.text.as_str()));
        }
        let mut group = Group::with_title(level.primary_title(title));
        // Without text there is nothing to show a place in.
        if !self.source.text.is_empty() && diagnostic.kind != DiagnosticKind::Option {
            group = group.element(snippet);
        }
        let help = diagnostic.help.as_deref();
        let Some(fix) = &diagnostic.fix else {
            return vec![group.elements(help.map(|help| Level::HELP.message(help)))];
        };
        let window = self.window(fix.span);
        let patch = Patch::new(self.range(window, fix.span), fix.replacement.as_str());
        let fix = self.snippet(window).patch(patch);
        let help = Level::HELP.secondary_title(help.unwrap_or("change it like this"));
        vec![group, Group::with_title(help).element(fix)]
    }

    /// The lines around a span: the renderer reads all that it is given, which should not be the whole file for each report.
    fn window(&self, span: Span) -> Span {
        let lines = self.index.lines(span);
        let line = |number| self.index.line_span(number).unwrap_or_default();
        let first = line(lines.start);
        // The end of the file is shown behind its last line.
        let start = if first.start == self.source.text.len() && lines.start > 1 {
            line(lines.start - 1).start
        } else {
            first.start
        };
        Span::new(start, line(lines.end).end.max(start))
    }

    fn snippet<T: Clone>(&self, window: Span) -> Snippet<'a, T> {
        Snippet::source(&self.source.text[window.start..window.end])
            .line_start(self.index.position(window.start).line)
            .path(self.source.name.as_str())
    }

    /// A span as the renderer takes it: in a window.
    fn range(&self, window: Span, span: Span) -> Range<usize> {
        let range = range(&self.source.text, span);
        let within = |at: usize| at.clamp(window.start, window.end) - window.start;
        within(range.start)..within(range.end)
    }
}

/// A span as the renderer takes it: inside of the text and between characters.
fn range(text: &str, span: Span) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let source = Source::standard_input(text);
        let diagnostics = dfbuild_dockerfile::parse(text).diagnostics;
        format!("{}\n\n{}", one_line(&source, &diagnostics), render(&source, &diagnostics, false))
    }

    #[test]
    fn a_misspelt_instruction() {
        assert_eq!(
            check("FROM a\nFORM b\n"),
            "\
Dockerfile:2: unknown instruction: FORM (did you mean FROM?)

error: unknown instruction: FORM (did you mean FROM?)
 --> Dockerfile:2:1
  |
2 | FORM b
  | ^^^^
  |
help: change it like this
  |
2 - FORM b
2 + FROM b
  |"
        );
    }

    #[test]
    fn help_without_a_fix() {
        assert_eq!(
            check("FROM a\nRUN <<EOF\nx\n"),
            "\
Dockerfile:2: unterminated heredoc

error: unterminated heredoc
 --> Dockerfile:2:5
  |
2 | RUN <<EOF
  |     ^^^^^
  |
  = help: a line with nothing but `EOF` ends the heredoc"
        );
    }

    #[test]
    fn the_end_of_no_heredoc() {
        let text = check("FROM a\nRUN x\nEOF\n");
        assert!(text.starts_with("Dockerfile:3: unknown instruction: EOF\n"), "{text}");
        let help = "= help: `EOF` looks like the end of a heredoc, but no `<<EOF` is open";
        assert!(text.ends_with(help), "{text}");
    }

    #[test]
    fn the_place_is_the_same_in_both() {
        let text = check("# only this\n");
        assert!(text.starts_with("Dockerfile:1: file with no instructions\n"), "{text}");
        assert!(text.contains(" --> Dockerfile:1:12\n"), "{text}");
    }

    #[test]
    fn all_of_them() {
        let text = check("FROM é\nENV é\nCOPY [\"a\", 'b']\nHEALTH x\n");
        assert!(
            text.starts_with(
                "Dockerfile:2: ENV must have two arguments (and 1 more error)\n\nerror: "
            ),
            "{text}"
        );
        assert!(text.contains("\n\nwarning: this looks like a JSON array"), "{text}");
        assert!(text.contains(" --> Dockerfile:4:1"), "{text}");
    }

    #[test]
    fn no_text_to_show() {
        assert_eq!(
            check(""),
            "Dockerfile:1: the Dockerfile cannot be empty\n\n\
             error: the Dockerfile cannot be empty"
        );
    }

    #[test]
    fn later_lines_keep_their_numbers() {
        let text = check(&format!("FROM a\n{}RUN <<EOF\n  EOF\n", "USER x\n".repeat(100)));
        assert!(text.contains(" --> Dockerfile:102:5\n    |\n102 | RUN <<EOF\n"), "{text}");
        assert!(text.contains("\n103 | EOF\n"), "{text}");
    }

    #[test]
    fn there_is_an_end_to_them() {
        let text = check(&format!("FROM a\n{}", "RUNN x\n".repeat(1003)));
        assert!(text.ends_with("\n\n3 more are not shown"));
        assert_eq!(text.matches("\nerror: ").count(), 1000);
    }

    #[test]
    fn spans_are_brought_into_the_text() {
        assert_eq!(range("é", Span::new(1, 1)), 0..2);
        assert_eq!(range("ab", Span::new(1, 9)), 1..2);
        assert_eq!(range("ab", Span::new(9, 9)), 2..2);
    }
}
