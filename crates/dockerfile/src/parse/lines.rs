//! Physical lines.

/// The longest line, without its line ending, that the reference implementation reads.
pub(crate) const MAX_LINE: usize = 65_535;

/// A physical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Its offset in the source.
    pub(crate) start: usize,
    /// The number, from 1.
    pub(crate) number: usize,
    /// The text with its line ending.
    pub(crate) raw: &'a str,
}

impl<'a> Line<'a> {
    /// The text without its line ending, of which `\r` may be repeated.
    pub(crate) fn text(self) -> &'a str {
        self.raw.trim_end_matches(['\r', '\n'])
    }

    /// The offset behind the text.
    pub(crate) fn end(self) -> usize {
        self.start + self.text().len()
    }

    /// Whether it is a comment.
    pub(crate) fn is_comment(self) -> bool {
        self.text().trim_start().starts_with('#')
    }

    /// Whether it has blanks only.
    pub(crate) fn is_blank(self) -> bool {
        self.text().trim_start().is_empty()
    }
}

/// The lines of a source. A byte order mark is not part of the first one.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    source: &'a str,
    at: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let at = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { source, at, number: 0 }
    }

    /// The number of the line read last.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.source[self.at..];
        if rest.is_empty() {
            return None;
        }
        let len = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let line = Line { start: self.at, number: self.number + 1, raw: &rest[..len] };
        self.at += len;
        self.number += 1;
        Some(line)
    }
}

/// The text before the character that continues a line, if one does. A doubled one does not.
pub(crate) fn before_continuation(text: &str, escape: char) -> Option<&str> {
    let text = text.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    if text.ends_with(escape) { None } else { Some(text) }
}

#[cfg(test)]
mod tests {
    use super::{Lines, before_continuation};

    #[test]
    fn lines_know_their_place() {
        let lines: Vec<_> =
            Lines::new("\u{feff}a\r\n\nb").map(|it| (it.number, it.start, it.text())).collect();
        assert_eq!(lines, [(1, 3, "a"), (2, 6, ""), (3, 7, "b")]);
    }

    #[test]
    fn only_a_single_escape_continues() {
        assert_eq!(before_continuation("a \\ \t", '\\'), Some("a "));
        assert_eq!(before_continuation("\\", '\\'), Some(""));
        assert_eq!(before_continuation("a \\\\", '\\'), None);
        assert_eq!(before_continuation("a \\\\\\", '\\'), None);
        assert_eq!(before_continuation("a `", '`'), Some("a "));
        assert_eq!(before_continuation("a \\", '`'), None);
    }
}
