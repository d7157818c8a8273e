//! Physical lines.

/// The longest line, without its line ending, that the reference implementation reads.
pub(crate) const MAX_LINE: usize = 65_535;

/// A physical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Its offset in the source.
    pub(crate) start: usize,
    /// The offset behind its line ending.
    pub(crate) next: usize,
    /// The number, from 1.
    pub(crate) number: usize,
    /// The text without its line ending, of which `\r` may be repeated.
    pub(crate) text: &'a str,
}

impl Line<'_> {
    /// The offset behind the text.
    #[inline]
    pub(crate) fn end(self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is a comment.
    pub(crate) fn is_comment(self) -> bool {
        trim_start(self.text).as_bytes().first() == Some(&b'#')
    }

    /// Whether it has blanks only.
    pub(crate) fn is_blank(self) -> bool {
        trim_start(self.text).is_empty()
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

    /// The lines of a part of a source, which has no byte order mark.
    pub(crate) fn within(part: &'a str) -> Self {
        Self { source: part, at: 0, number: 0 }
    }

    /// All of the text.
    pub(crate) fn source(&self) -> &'a str {
        self.source
    }

    /// The number of the line read last.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[expect(
        clippy::inline_always,
        reason = "a line that is returned through memory and copied at once stalls the processor"
    )]
    #[inline(always)]
    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.at;
        let rest = &self.source.as_bytes()[start..];
        if rest.is_empty() {
            return None;
        }
        let (mut end, next) = match memchr::memchr(b'\n', rest) {
            Some(at) => (start + at, start + at + 1),
            None => (self.source.len(), self.source.len()),
        };
        while end > start && self.source.as_bytes()[end - 1] == b'\r' {
            end -= 1;
        }
        self.at = next;
        self.number += 1;
        Some(Line { start, next, number: self.number, text: &self.source[start..end] })
    }
}

/// Without blanks at the start, those outside ASCII too, which hardly any text has.
#[inline]
pub(crate) fn trim_start(text: &str) -> &str {
    match text.as_bytes().first() {
        Some(first) if first.is_ascii_graphic() => text,
        _ => trim_blanks(text),
    }
}

fn trim_blanks(text: &str) -> &str {
    let blanks = text.bytes().take_while(|it| matches!(it, b' ' | b'\t')).count();
    let text = &text[blanks..];
    match text.as_bytes().first() {
        Some(first) if first.is_ascii_graphic() => text,
        _ => text.trim_start(),
    }
}

/// Without blanks at the end, those outside ASCII too.
#[inline]
pub(crate) fn trim_end(text: &str) -> &str {
    match text.as_bytes().last() {
        Some(last) if last.is_ascii_graphic() => text,
        _ => text.trim_end(),
    }
}

/// The text before the character that continues a line, if one does. A doubled one does not.
#[inline]
pub(crate) fn before_continuation(text: &str, escape: u8) -> Option<&str> {
    // The last byte of most lines is neither the character nor a blank that may stand behind it.
    let last = *text.as_bytes().last()?;
    if last == escape || last == b' ' || last == b'\t' {
        find_continuation(text, escape)
    } else {
        None
    }
}

fn find_continuation(text: &str, escape: u8) -> Option<&str> {
    let bytes = text.as_bytes();
    let last = bytes.iter().rposition(|it| !matches!(it, b' ' | b'\t'))?;
    let doubled = last > 0 && bytes[last - 1] == escape;
    if bytes[last] == escape && !doubled { Some(&text[..last]) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{Lines, before_continuation};

    #[test]
    fn lines_know_their_place() {
        let lines: Vec<_> =
            Lines::new("\u{feff}a\r\n\nb").map(|it| (it.number, it.start, it.text)).collect();
        assert_eq!(lines, [(1, 3, "a"), (2, 6, ""), (3, 7, "b")]);
    }

    #[test]
    fn only_a_single_escape_continues() {
        assert_eq!(before_continuation("a \\ \t", b'\\'), Some("a "));
        assert_eq!(before_continuation("\\", b'\\'), Some(""));
        assert_eq!(before_continuation("a \\\\", b'\\'), None);
        assert_eq!(before_continuation("a \\\\\\", b'\\'), None);
        assert_eq!(before_continuation("a `", b'`'), Some("a "));
        assert_eq!(before_continuation("a \\", b'`'), None);
    }
}
