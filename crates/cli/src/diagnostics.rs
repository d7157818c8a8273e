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
            // A title longer than a line is not wrapped, and its text is wanted whole by grep.
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
    let help = Level::HELP.secondary_title(help.unwrap_or("this would mend it"));
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
