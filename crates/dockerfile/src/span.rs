//! Byte spans, and the index that turns them into lines and columns.

use std::borrow::Cow;
use std::ops::Range;

/// Text that is borrowed from the source where it stands there as it is, and owned where continuations, quotes or escapes
/// have been taken out of it.
pub type Text<'a> = Cow<'a, str>;

/// A text and where it was written.
pub type Word<'a> = Spanned<Text<'a>>;

/// A half-open range of bytes in the source.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to, not including, `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty span at `offset`.
    pub const fn at(offset: usize) -> Self {
        Self { start: offset, end: offset }
    }

    /// The number of bytes.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span covers nothing.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// The smallest span that covers both.
    pub fn join(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl From<Span> for std::ops::Range<usize> {
    fn from(span: Span) -> Self {
        span.start..span.end
    }
}

/// A value and where it was written.
///
/// A value that was written across a line continuation has a span that covers the continuation too,
/// so the text under the span may be longer than the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands in the source.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins a value to its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Keeps the place and changes the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

impl Word<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

/// A part of a text, which is borrowed if the text is.
pub(crate) fn part_of<'a>(text: &Text<'a>, range: Range<usize>) -> Text<'a> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
    }
}

/// A place in the source for people: both numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The byte within the line.
    pub column: usize,
}

/// First and last line of something, from 1, both inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineRange {
    /// The first line.
    pub start: usize,
    /// The last line.
    pub end: usize,
}

/// The starts of all lines, to find the line of an offset in logarithmic time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineIndex {
    starts: Vec<usize>,
    len: usize,
}

impl LineIndex {
    /// Reads the line starts of `source`.
    pub fn new(source: &str) -> Self {
        let mut starts = vec![0];
        starts
            .extend(source.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        Self { starts, len: source.len() }
    }

    /// The number of lines; a final newline does not begin another one.
    pub fn line_count(&self) -> usize {
        match self.starts.last() {
            Some(last) if *last == self.len && self.starts.len() > 1 => self.starts.len() - 1,
            _ => self.starts.len(),
        }
    }

    /// The line and column of a byte offset. Offsets behind the end count as the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.len);
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        Position { line, column: offset - self.starts[line - 1] + 1 }
    }

    /// The lines that a span touches.
    pub fn lines(&self, span: Span) -> LineRange {
        let last = if span.is_empty() { span.start } else { span.end - 1 };
        LineRange { start: self.position(span.start).line, end: self.position(last).line }
    }

    /// The span of a line, from 1, without its line ending's `\n`.
    pub fn line_span(&self, line: usize) -> Option<Span> {
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let end = self.starts.get(line).map_or(self.len, |next| next - 1);
        Some(Span { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one() {
        let index = LineIndex::new("ab\ncd\n");
        assert_eq!(index.position(0), Position { line: 1, column: 1 });
        assert_eq!(index.position(2), Position { line: 1, column: 3 });
        assert_eq!(index.position(4), Position { line: 2, column: 2 });
        assert_eq!(index.position(99), Position { line: 3, column: 1 });
        assert_eq!(index.line_count(), 2);
        assert_eq!(index.line_span(2), Some(Span::new(3, 5)));
        assert_eq!(index.line_span(9), None);
    }

    #[test]
    fn a_span_up_to_a_newline_stays_on_its_line() {
        let index = LineIndex::new("ab\ncd\n");
        assert_eq!(index.lines(Span::new(0, 3)), LineRange { start: 1, end: 1 });
        assert_eq!(index.lines(Span::new(1, 4)), LineRange { start: 1, end: 2 });
    }
}
