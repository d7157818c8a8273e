//! Text that is legal, but very likely not what was meant.

use super::reading::Part;
use crate::ast::Heredoc;
use crate::diagnostic::{Diagnostic, DiagnosticKind, Fix, Label};
use crate::keyword::Keyword;
use crate::original::Original;
use crate::parse::json::{self, Array};
use crate::span::{Span, Word};

/// Quotes that are none.
const CURLY: [char; 4] = ['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];

/// What to do about quotes that are none.
pub(crate) const CURLY_HELP: &str = "curly quotes are letters: only `\"` and `'` quote";

/// Whether a text has quotes that are none.
pub(crate) fn has_curly_quotes(text: &str) -> bool {
    !text.is_ascii() && text.contains(CURLY)
}

/// Several files that go to one name.
pub(super) fn no_directory(words: &[Word], json: bool) -> Option<Diagnostic> {
    let (dest, sources) = words.split_last()?;
    if sources.len() < 2 {
        return None;
    }
    let name = dest.as_str();
    let is_directory = name.ends_with(['/', '$', '}', '"', '\'', '\\'])
        || name == "."
        || name.ends_with("/.")
        || name.contains('$');
    // Directories are merged, and that is all that is known of a source whose name ends so.
    if is_directory || sources.iter().all(|it| it.value.ends_with('/')) {
        return None;
    }
    let message = format!("several sources, but `{name}` does not end with `/`");
    let end = if json { dest.span.end - 1 } else { dest.span.end };
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, dest.span);
    let help =
        "without it each file is written over the one before; with it they go into the directory";
    Some(diagnostic.with_help(help).with_fix(Span::at(end), "/"))
}

/// A value in quotes of a text processor.
pub(super) fn curly_quotes(word: &Word) -> Option<Diagnostic> {
    if word.value.is_ascii() {
        return None;
    }
    let value = word.value.split_once('=').map_or(word.as_str(), |(_, value)| value);
    if !has_curly_quotes(value) || !value.starts_with(CURLY) {
        return None;
    }
    let message = "these quotes become a part of the value";
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, word.span);
    let mended = word.value.replace(CURLY, "\"");
    Some(diagnostic.with_help(CURLY_HELP).with_fix(word.span, mended))
}

/// A script whose lines end as they do on Windows.
pub(super) fn windows_lines(heredoc: &Heredoc) -> Option<Diagnostic> {
    memchr::memmem::find(heredoc.content.as_bytes(), b"\r\n")?;
    let message = "the lines of this heredoc end with CR LF, as on Windows";
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, heredoc.marker);
    let help =
        "the CR becomes a part of the last word of each command; save the file with LF alone";
    Some(diagnostic.with_help(help).with_fix(heredoc.span, heredoc.content.replace("\r\n", "\n")))
}

/// Whether a command ends where another one should follow.
#[inline]
pub(super) fn has_open_end(text: &[u8]) -> bool {
    matches!(text, [.., b'|'] | [.., b'&', b'&'])
}

/// A command that ends where another one should follow.
#[cold]
pub(super) fn open_end(text: &str, end: usize) -> Option<Diagnostic> {
    let operator = match text.as_bytes() {
        [.., b'&', b'&'] => "&&",
        [.., b'|', b'|'] => "||",
        [.., b'|'] => "|",
        _ => return None,
    };
    let span = Span::new(end - operator.len(), end);
    let message = format!("the command ends with `{operator}`");
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, span);
    Some(diagnostic.with_help("end the line with `\\` to go on in the next one"))
}

/// Whether a word may be the beginning of a JSON array.
#[inline]
pub(super) fn begins_array(word: &Word) -> bool {
    word.value.as_bytes().first() == Some(&b'[')
}

/// Text that looks like a JSON array, but is not one, and so is taken for a shell command or a list of words: from `word`
/// on, in arguments that begin with `first`.
#[cold]
pub(super) fn almost_json(part: &Part, first: &str, word: &Word) -> Option<Diagnostic> {
    let needs_comma = part.name == Some(Keyword::Run);
    let text = part.original.without_blanks().text();
    let text = text[text.find(first)?..].trim_end();
    let text = &text[text.find('[')?..];
    // The `[` of a shell needs a blank behind it.
    let inside = if needs_comma { &text[1..] } else { text[1..].trim_start() };
    let quoted = inside.starts_with(['\'', '"']) || inside.starts_with(CURLY);
    if !quoted || (needs_comma && !text.contains(',')) {
        return None;
    }
    let message = "this looks like a JSON array, but is none, so it is taken as it stands";
    let span = Span::new(word.span.start, part.args_span().end);
    let diagnostic = Diagnostic::warning(DiagnosticKind::Suspicious, message, span);
    let mended = text.replace('\'', "\"").replace(CURLY, "\"");
    Some(if json::array(&mended, |_, _| {}) == Array::Strings {
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
    pub(super) name: Option<Keyword>,
    /// The place without heredocs.
    pub(super) head: Span,
    pub(super) has_heredocs: bool,
}

impl Above {
    pub(super) fn is_known(self) -> bool {
        self.name.is_some()
    }
}

/// Whether a word is one of those that end most heredocs: alone on a line it was meant for no instruction.
pub(super) fn ends_heredoc(word: &str) -> bool {
    ["EOF", "EOT", "EOS", "END"].contains(&word)
}

/// Explains a line that begins with no instruction by what stands above it.
pub(super) fn explain_lost_line(
    source: &str,
    escape: u8,
    above: Above,
    diagnostic: &mut Diagnostic,
) {
    if diagnostic.help.is_some() {
        return;
    }
    let text = Original::new(&source[above.head.start..above.head.end], escape).text();
    let text = text.as_bytes();
    let end = Span::at(above.head.end);
    let tail: [u8; 2] = text.last_chunk().copied().unwrap_or_default();
    // A `<<` that begins no heredoc.
    let lone_marker = !above.has_heredocs
        && matches!(above.name, Some(Keyword::Run | Keyword::Copy | Keyword::Add))
        && memchr::memmem::find(text, b"<<").is_some();
    let help = if lone_marker {
        "the `<<` above begins no heredoc: it must begin a word, outside quotes"
    } else if matches!(tail, [_, b'|' | b';'] | [b'&', b'&']) {
        diagnostic.fix = Some(Fix { span: end, replacement: " \\".to_owned() });
        "the line above ends without `\\`"
    } else if matches!(tail, [_, b'\\' | b'`']) {
        "a doubled escape character at the end of the line above does not continue it"
    } else {
        let word = &source[diagnostic.span.start..diagnostic.span.end];
        if ends_heredoc(word) {
            let help =
                format!("`{word}` looks like the end of a heredoc, but no `<<{word}` is open");
            diagnostic.help = Some(help);
        }
        return;
    };
    diagnostic.help = Some(help.to_owned());
    diagnostic.labels.push(Label { span: end, text: "here".to_owned() });
}
