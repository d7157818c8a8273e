//! Physical lines.

use super::scan::{all_newlines, leading_spaces, skip_spaces};
use crate::span::LineRange;

/// The longest line, without its line ending, that the reference implementation reads.
pub(crate) const MAX_LINE: usize = 65_535;

/// A physical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Its offset in the source.
    pub(crate) start: usize,
    /// The offset behind its text, which is that without its line ending, of which `\r` may be repeated.
    pub(crate) end: usize,
    /// The offset behind its line ending.
    pub(crate) next: usize,
    /// The number, from 1.
    pub(crate) number: usize,
}

#[expect(clippy::inline_always, reason = "as with `FileLines::next`")]
impl Line {
    /// The text without its line ending, of the source of which this is a line.
    #[inline(always)]
    pub(crate) fn text(self, source: &str) -> &str {
        &source[self.start..self.end]
    }

    /// Whether it may be longer than the reference implementation reads.
    #[inline(always)]
    pub(crate) fn is_too_long(self) -> bool {
        self.next - self.start > MAX_LINE
    }

    /// Where the text begins behind the blanks at the start, those outside ASCII too.
    #[inline(always)]
    pub(crate) fn text_start(self, source: &str) -> usize {
        match source.as_bytes()[self.start..self.end] {
            [] => self.end,
            [first, ..] if first.is_ascii_graphic() => self.start,
            _ => {
                // Nearly all indents are a few spaces.
                let bytes = source.as_bytes();
                let start = self.start + leading_spaces(bytes, self.start);
                match bytes.get(start) {
                    Some(first) if first.is_ascii_graphic() => start,
                    _ => self.find_text(source),
                }
            }
        }
    }

    fn find_text(self, source: &str) -> usize {
        let bytes = source.as_bytes();
        let start = skip_spaces(bytes, self.start);
        match bytes.get(start) {
            Some(first) if first.is_ascii_graphic() => start,
            Some(b'\n') => self.end,
            _ => self.end - trim_start(self.text(source)).len(),
        }
    }

    /// Whether there is a text that is no comment.
    #[inline]
    pub(crate) fn has_text(self, source: &str) -> bool {
        let start = self.text_start(source);
        start < self.end && source.as_bytes()[start] != b'#'
    }

    /// Where the text from `start` on ends if a character at its end continues the line. A doubled one does not.
    #[inline(always)]
    pub(crate) fn continuation(self, source: &[u8], start: usize, escape: u8) -> Option<usize> {
        let text = &source[start..self.end];
        // The last byte of most lines is neither the character nor a blank that may stand behind it.
        match text {
            [.., before, last] if *last == escape => {
                if *before == escape {
                    None
                } else {
                    Some(self.end - 1)
                }
            }
            [.., last] if matches!(*last, b' ' | b'\t') || *last == escape => {
                find_continuation(text, escape).map(|len| start + len)
            }
            _ => None,
        }
    }
}

/// The lines of a file, whose ends are all known. A byte order mark is not part of the first one.
#[derive(Debug, Default)]
pub(crate) struct FileLines<'a> {
    source: &'a str,
    /// Where the newlines are.
    newlines: Vec<usize>,
    place: Place,
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Where the next line begins.
    start: usize,
    /// The number of the line read last.
    number: usize,
}

impl<'a> FileLines<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let place = Place { start: text_start(source), number: 0 };
        Self { source, newlines: all_newlines(source.as_bytes()), place }
    }

    /// All of the text.
    pub(crate) fn source(&self) -> &'a str {
        self.source
    }

    /// The number of the line read last.
    pub(crate) fn number(&self) -> usize {
        self.place.number
    }

    /// How far the file was read.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The lines behind the first one of `lines`.
    pub(crate) fn behind(&self, lines: LineRange) -> impl Iterator<Item = Line> {
        let source = self.source.as_bytes();
        (lines.start + 1..=lines.end).map(move |number| {
            let start = self.newlines[number - 2] + 1;
            let newline = self.newlines.get(number - 1);
            let (end, next) = newline.map_or((source.len(), source.len()), |at| (*at, at + 1));
            Line { start, end: without_returns(source, start, end), next, number }
        })
    }

    /// Goes on at a place.
    pub(crate) fn go_to(&mut self, place: Place) {
        self.place = place;
    }
}

impl Iterator for FileLines<'_> {
    type Item = Line;

    #[expect(
        clippy::inline_always,
        reason = "a line that is returned through memory and copied at once stalls the processor"
    )]
    #[inline(always)]
    fn next(&mut self) -> Option<Line> {
        let Place { start, number } = self.place;
        let bytes = self.source.as_bytes();
        let (end, next) = match self.newlines.get(number) {
            Some(newline) => (*newline, *newline + 1),
            None if start < bytes.len() => (bytes.len(), bytes.len()),
            None => return None,
        };
        let end = without_returns(bytes, start, end);
        self.place = Place { start: next, number: number + 1 };
        Some(Line { start, end, next, number: number + 1 })
    }
}

/// Where the text of a source begins, behind a byte order mark.
fn text_start(source: &str) -> usize {
    if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// Where a line ends of which any number of `\r` is the ending too.
#[expect(clippy::inline_always, reason = "as with `FileLines::next`")]
#[inline(always)]
fn without_returns(bytes: &[u8], start: usize, end: usize) -> usize {
    match bytes[start..end] {
        [.., b'\r'] => end - bytes[start..end].iter().rev().take_while(|it| **it == b'\r').count(),
        _ => end,
    }
}

/// The lines of a source or a part of one, found one after the other: where only some are wanted. A byte order mark is not part of the first one.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    source: &'a str,
    at: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self { at: text_start(source), ..Self::within(source) }
    }

    /// The lines of a part of a source, which has no byte order mark.
    pub(crate) fn within(part: &'a str) -> Self {
        Self { source: part, at: 0, number: 0 }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let start = self.at;
        let bytes = self.source.as_bytes();
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let newline = memchr::memchr(b'\n', rest).map(|len| start + len);
        let (end, next) = newline.map_or((bytes.len(), bytes.len()), |at| (at, at + 1));
        let end = without_returns(bytes, start, end);
        self.at = next;
        self.number += 1;
        Some(Line { start, end, next, number: self.number })
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
pub(crate) fn before_continuation(text: &str, escape: u8) -> Option<&str> {
    find_continuation(text.as_bytes(), escape).map(|len| &text[..len])
}

/// How long the text is before the character that continues a line.
fn find_continuation(text: &[u8], escape: u8) -> Option<usize> {
    let last = text.iter().rposition(|it| !matches!(it, b' ' | b'\t'))?;
    let doubled = last > 0 && text[last - 1] == escape;
    if text[last] == escape && !doubled { Some(last) } else { None }
}

#[cfg(test)]
mod tests {
    use super::{FileLines, Line, Lines, before_continuation};

    #[test]
    fn lines_know_their_place() {
        let source = "\u{feff}a\r\n\nb";
        let lines: Vec<_> =
            Lines::new(source).map(|it| (it.number, it.start, it.text(source))).collect();
        assert_eq!(lines, [(1, 3, "a"), (2, 6, ""), (3, 7, "b")]);
    }

    #[test]
    fn lines_of_files_are_the_same() {
        for source in ["", "\n", "a", "a\n", "\u{feff}", "\u{feff}a\r\r\n\n \nb", "\r\nb\n"] {
            let lines = |it: Line| (it.number, it.start, it.end, it.next);
            let expect: Vec<_> = Lines::new(source).map(lines).collect();
            assert_eq!(FileLines::new(source).map(lines).collect::<Vec<_>>(), expect, "{source:?}");
        }
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
