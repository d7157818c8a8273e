//! A logical line: physical lines joined at their continuations, with a way back to the source.

use std::borrow::Cow;
use std::ops::Range;

use super::lines::{trim_end, trim_start};
use crate::span::{Span, Spanned, Text, Word};

/// Room for most instructions that go over several lines.
const TYPICAL_LENGTH: usize = 256;

/// The text of an instruction without line endings, continuation characters and comments.
#[derive(Clone, Debug)]
pub(crate) struct Logical<'a> {
    source: &'a str,
    pub(crate) text: Text<'a>,
    /// Where the text begins in the source.
    start: usize,
    /// Where each further piece of the text begins here and in the source.
    segments: Vec<(usize, usize)>,
}

impl<'a> Logical<'a> {
    /// A line with one piece: `text`, which stands in `source` at `start`.
    pub(crate) fn new(source: &'a str, text: &'a str, start: usize) -> Self {
        Self { source, text: Cow::Borrowed(text), start, segments: Vec::new() }
    }

    /// Appends a piece of the source.
    pub(crate) fn push(&mut self, text: &str, start: usize) {
        self.segments.push((self.text.len(), start));
        match &mut self.text {
            Cow::Owned(whole) => whole.push_str(text),
            Cow::Borrowed(first) => {
                let room = first.len() + text.len();
                let mut whole = String::with_capacity(room.saturating_mul(2).max(TYPICAL_LENGTH));
                whole.push_str(first);
                whole.push_str(text);
                self.text = Cow::Owned(whole);
            }
        }
    }

    /// The whole text.
    pub(crate) fn fragment(&self) -> Fragment<'_, 'a> {
        Fragment { line: self, text: &self.text, at: 0 }
    }

    fn source_of(&self, offset: usize) -> usize {
        let segment = self.segments.partition_point(|(start, _)| *start <= offset);
        match segment.checked_sub(1) {
            Some(last) => self.segments[last].1 + (offset - self.segments[last].0),
            None => self.start + offset,
        }
    }

    fn span(&self, range: Range<usize>) -> Span {
        if self.segments.is_empty() {
            return Span::new(self.start + range.start, self.start + range.end);
        }
        if range.is_empty() {
            // The end of the text belongs to the piece before it, not to an empty piece that follows.
            let offset = range.start;
            return Span::at(if offset == 0 {
                self.source_of(0)
            } else {
                self.source_of(offset - 1) + 1
            });
        }
        Span::new(self.source_of(range.start), self.source_of(range.end - 1) + 1)
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'l, 'a> {
    line: &'l Logical<'a>,
    pub(crate) text: &'l str,
    /// Where the text begins in the line.
    at: usize,
}

impl<'a> Fragment<'_, 'a> {
    /// Where the text stands in the source.
    pub(crate) fn span(self) -> Span {
        self.line.span(self.at..self.at + self.text.len())
    }

    /// The part of the text.
    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        Self { text: &self.text[range.clone()], at: self.at + range.start, ..self }
    }

    /// Everything behind `offset`.
    pub(crate) fn from(self, offset: usize) -> Self {
        Self { text: &self.text[offset..], at: self.at + offset, ..self }
    }

    /// The text without blanks at its ends, those outside ASCII too.
    pub(crate) fn trim(self) -> Self {
        let text = trim_start(self.text);
        Self { text: trim_end(text), at: self.at + (self.text.len() - text.len()), ..self }
    }

    /// The text and its place. What no continuation interrupts is borrowed from the source.
    pub(crate) fn spanned(self) -> Word<'a> {
        let span = self.span();
        let value = if span.len() == self.text.len() {
            Cow::Borrowed(&self.line.source[span.start..span.end])
        } else {
            Cow::Owned(self.text.to_owned())
        };
        Spanned::new(value, span)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::Logical;
    use crate::span::Span;

    #[test]
    fn places_go_through_continuations() {
        let source = "RUN ab\\\ncd";
        let mut line = Logical::new(source, &source[..6], 0);
        line.push(&source[8..], 8);
        let fragment = line.fragment();
        assert_eq!(fragment.text, "RUN abcd");
        assert_eq!(fragment.slice(4..8).span(), Span::new(4, 10));
        assert_eq!(fragment.slice(6..8).span(), Span::new(8, 10));
        assert_eq!(fragment.slice(4..6).span(), Span::new(4, 6));
        assert_eq!(fragment.slice(8..8).span(), Span::at(10));
        assert_eq!(fragment.from(3).trim().span(), Span::new(4, 10));
        assert!(matches!(fragment.slice(6..8).spanned().value, Cow::Borrowed("cd")));
        assert!(matches!(fragment.slice(4..8).spanned().value, Cow::Owned(_)));
    }
}
