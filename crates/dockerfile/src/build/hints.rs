//! Text that is legal, but very likely not what was meant.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, DiagnosticKind, Fix, Label};
use crate::node::Node;
use crate::parse::json::{self, Array};
use crate::span::Span;

/// Looks at one instruction.
pub(super) fn check(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let node = node.child.as_deref().unwrap_or(node);
    if node.broken || node.json {
        return;
    }
    let keyword = node.keyword.value.to_ascii_lowercase();
    match keyword.as_str() {
        "run" => {
            diagnostics.extend(open_end(node));
            diagnostics.extend(almost_json(node, true));
        }
        "cmd" | "entrypoint" | "healthcheck" | "shell" | "copy" | "add" | "volume" => {
            diagnostics.extend(almost_json(node, false));
        }
        _ => {}
    }
}

/// A command that ends where another one should follow.
fn open_end(node: &Node) -> Option<Diagnostic> {
    let text = node.args.last().filter(|_| node.heredocs.is_empty())?;
    let operator = ["&&", "||", "|"].into_iter().find(|it| text.value.ends_with(it))?;
    let span = Span::new(text.span.end - operator.len(), text.span.end);
    let message = format!("the command ends with `{operator}`");
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, span);
    Some(diagnostic.with_help("end the line with `\\` to go on in the next one"))
}

/// Text that looks like a JSON array, but is not one, and so is taken for a shell command or a list of words.
fn almost_json(node: &Node, needs_comma: bool) -> Option<Diagnostic> {
    let first = node.args.iter().find(|it| it.value.starts_with('['))?;
    let text = node.args_text();
    let text = &text[text.find('[')?..];
    // The `[` of a shell needs a blank behind it.
    let inside = if needs_comma { &text[1..] } else { text[1..].trim_start() };
    let quoted = inside.starts_with(['\'', '"', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']);
    if !quoted || (needs_comma && !text.contains(',')) {
        return None;
    }
    let message = "this looks like a JSON array, but is none, so it is taken as it stands";
    let span = Span::new(first.span.start, node.args_span.end);
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, span);
    let mended = text.replace(['\'', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'], "\"");
    Some(if matches!(json::array(&mended), Array::Strings(_)) {
        diagnostic.with_help("JSON takes only straight double quotes").with_fix(span, mended)
    } else {
        diagnostic.with_help(
            "JSON needs double quotes, commas between the words and nothing behind the `]`",
        )
    })
}

/// Explains lines that begin with no instruction by what stands above them.
pub(super) fn lost_lines(nodes: &[Node], diagnostics: &mut [Diagnostic]) {
    let mut unexplained: HashMap<usize, &mut Diagnostic> = diagnostics
        .iter_mut()
        .filter(|it| it.kind == DiagnosticKind::UnknownInstruction && it.help.is_none())
        .map(|it| (it.span.start, it))
        .collect();
    for pair in nodes.windows(2) {
        let [above, lost] = pair else { continue };
        let Some(diagnostic) = unexplained.get_mut(&lost.keyword.span.start) else { continue };
        let text = above.original.trim_end();
        let end = Span::at(above.head.end);
        if text.contains("<<") && above.heredocs.is_empty() {
            diagnostic.help = Some(
                "the `<<` above begins no heredoc: it must begin a word, outside quotes".to_owned(),
            );
        } else if ["&&", "||", "|", ";"].iter().any(|it| text.ends_with(it)) {
            diagnostic.help = Some("the line above ends without `\\`".to_owned());
            diagnostic.fix = Some(Fix { span: end, replacement: " \\".to_owned() });
        } else if text.ends_with('\\') || text.ends_with('`') {
            diagnostic.help = Some(
                "a doubled escape character at the end of the line above does not continue it"
                    .to_owned(),
            );
        } else {
            continue;
        }
        diagnostic.labels.push(Label { span: end, text: "here".to_owned() });
    }
}
