//! Text that is legal, but very likely not what was meant.

use crate::diagnostic::{Diagnostic, DiagnosticKind, Fix, Label};
use crate::keyword::Keyword;
use crate::node::Node;
use crate::parse::json::{self, Array};
use crate::parse::lines::trim_end;
use crate::span::Span;

/// Looks at one instruction.
pub(super) fn check(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let node = node.child.as_deref().unwrap_or(node);
    if node.broken || node.json {
        return;
    }
    match node.name {
        Some(Keyword::Run) => {
            diagnostics.extend(open_end(node));
            diagnostics.extend(almost_json(node, true));
        }
        Some(
            Keyword::Cmd
            | Keyword::Entrypoint
            | Keyword::Healthcheck
            | Keyword::Shell
            | Keyword::Copy
            | Keyword::Add
            | Keyword::Volume,
        ) => {
            diagnostics.extend(almost_json(node, false));
        }
        _ => {}
    }
}

/// A command that ends where another one should follow.
fn open_end(node: &Node) -> Option<Diagnostic> {
    let text = node.args.last().filter(|_| node.heredocs.is_empty())?;
    let operator = match text.value.as_bytes() {
        [.., b'&', b'&'] => "&&",
        [.., b'|', b'|'] => "||",
        [.., b'|'] => "|",
        _ => return None,
    };
    let span = Span::new(text.span.end - operator.len(), text.span.end);
    let message = format!("the command ends with `{operator}`");
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, span);
    Some(diagnostic.with_help("end the line with `\\` to go on in the next one"))
}

/// Text that looks like a JSON array, but is not one, and so is taken for a shell command or a list of words.
fn almost_json(node: &Node, needs_comma: bool) -> Option<Diagnostic> {
    let first = node.args.iter().find(|it| it.value.as_bytes().first() == Some(&b'['))?;
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

/// What the instruction above has to do with a line that begins with no instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Above {
    known: bool,
    end: Span,
    /// The last two bytes.
    tail: [u8; 2],
    /// Whether there is a `<<` that begins no heredoc.
    lone_marker: bool,
}

impl Above {
    pub(super) fn of(node: &Node) -> Self {
        let text = trim_end(&node.original).as_bytes();
        let tail = text.last_chunk().copied().unwrap_or_default();
        let lone_marker = node.heredocs.is_empty()
            && matches!(node.name, Some(Keyword::Run | Keyword::Copy | Keyword::Add))
            && memchr::memmem::find(text, b"<<").is_some();
        Self { known: node.name.is_some(), end: Span::at(node.head.end), tail, lone_marker }
    }

    pub(super) fn is_known(self) -> bool {
        self.known
    }
}

/// Explains a line that begins with no instruction by what stands above it.
pub(super) fn explain_lost_line(above: Above, diagnostic: &mut Diagnostic) {
    if diagnostic.help.is_some() {
        return;
    }
    let help = if above.lone_marker {
        "the `<<` above begins no heredoc: it must begin a word, outside quotes"
    } else if matches!(above.tail, [_, b'|' | b';'] | [b'&', b'&']) {
        diagnostic.fix = Some(Fix { span: above.end, replacement: " \\".to_owned() });
        "the line above ends without `\\`"
    } else if matches!(above.tail, [_, b'\\' | b'`']) {
        "a doubled escape character at the end of the line above does not continue it"
    } else {
        return;
    };
    diagnostic.help = Some(help.to_owned());
    diagnostic.labels.push(Label { span: above.end, text: "here".to_owned() });
}
