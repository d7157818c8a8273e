use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use dfbuild::{Diagnostic, LineIndex, Span};

use crate::source::Source;

/// Shows diagnostics with their places in the Dockerfile, a caret, advice, and the change that would
/// mend them.
pub(crate) fn render<'a>(
    source: &Source,
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
    colour: bool,
) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let reports: Vec<String> = diagnostics
        .into_iter()
        .map(|diagnostic| {
            let title = diagnostic.text();
            renderer.render(&report(source, diagnostic, &title))
        })
        .collect();
    reports.join("\n\n")
}

/// All errors on one line, for grep: `Dockerfile:3: unknown instruction: FORM (did you mean FROM?)`.
pub(crate) fn one_line(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let index = LineIndex::new(&source.text);
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .map(|diagnostic| {
            let line = index.position(diagnostic.span.start).line;
            format!("{}:{line}: {}", source.name, diagnostic.text())
        })
        .collect();
    if errors.is_empty() {
        return format!("{}: it has errors", source.name);
    }
    errors.join("; ")
}

fn report<'a>(source: &'a Source, diagnostic: &'a Diagnostic, title: &'a str) -> Vec<Group<'a>> {
    let level = if diagnostic.is_error() { Level::ERROR } else { Level::WARNING };
    let text = source.text.as_str();
    let mut snippet = Snippet::source(text)
        .path(source.name.as_str())
        .annotation(AnnotationKind::Primary.span(range(text, diagnostic.span)));
    for label in &diagnostic.labels {
        let place = AnnotationKind::Context.span(range(text, label.span));
        snippet = snippet.annotation(place.label(label.text.as_str()));
    }
    let mut group = Group::with_title(level.primary_title(title));
    // Without text there is nothing to show a place in.
    if !text.is_empty() {
        group = group.element(snippet);
    }
    let help = diagnostic.help.as_deref();
    let Some(fix) = &diagnostic.fix else {
        return vec![group.elements(help.map(|help| Level::HELP.message(help)))];
    };
    let patch = Patch::new(range(text, fix.span), fix.replacement.as_str());
    let fix = Snippet::source(text).path(source.name.as_str()).patch(patch);
    let help = Level::HELP.secondary_title(help.unwrap_or("change it like this"));
    vec![group, Group::with_title(help).element(fix)]
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
        let source = Source { name: "Dockerfile".into(), text: text.into() };
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
    fn all_of_them() {
        let text = check("FROM é\nENV é\nCOPY [\"a\", 'b']\nHEALTH x\n");
        assert!(
            text.starts_with(
                "Dockerfile:2: ENV must have two arguments; \
                 Dockerfile:4: unknown instruction: HEALTH\n\nerror: "
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
    fn spans_are_brought_into_the_text() {
        assert_eq!(range("é", Span::new(1, 1)), 0..2);
        assert_eq!(range("ab", Span::new(1, 9)), 1..2);
        assert_eq!(range("ab", Span::new(9, 9)), 2..2);
    }
}
