//! A logical line: physical lines joined at their continuations, with a way back to the source.

use std::borrow::Cow;
use std::ops::Range;

use super::lines::{trim_end, trim_start};
use crate::span::{Span, Spanned, Text, Word};

/// Room for most instructions that go over several lines.
const TYPICAL_LENGTH: usize = 1024;

/// Physical lines joined to one. It is used again for each instruction, so that joining needs no memory of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined {
    text: String,
    segments: Vec<(usize, usize)>,
}

impl Joined {
    /// Forgets the last line and begins with another one.
    pub(crate) fn begin(&mut self, text: &str) {
        self.segments.clear();
        self.text.clear();
        self.text.reserve(TYPICAL_LENGTH);
        self.text.push_str(text);
    }

    /// Appends a piece that stands in the source at `start`.
    pub(crate) fn push(&mut self, text: &str, start: usize) {
        self.segments.push((self.text.len(), start));
        self.text.push_str(text);
    }

    /// The line, whose first piece stands in `source` at `start`.
    pub(crate) fn logical<'l, 'a>(&'l self, source: &'a str, start: usize) -> Logical<'l, 'a> {
        Logical { source, text: &self.text, start, segments: &self.segments }
    }
}

/// The text of an instruction without line endings, continuation characters and comments.
#[derive(Clone, Debug)]
pub(crate) struct Logical<'l, 'a> {
    source: &'a str,
    pub(crate) text: &'l str,
    /// Where the text begins in the source.
    start: usize,
    /// Where each further piece of the text begins here and in the source.
    segments: &'l [(usize, usize)],
}

impl<'l, 'a: 'l> Logical<'l, 'a> {
    /// A line with one piece: `text`, which stands in `source` at `start`.
    pub(crate) fn new(source: &'a str, text: &'a str, start: usize) -> Self {
        Self { source, text, start, segments: &[] }
    }

    /// The whole text.
    pub(crate) fn fragment(&self) -> Fragment<'_, 'a> {
        Fragment { line: self, text: self.text, at: 0 }
    }

    fn source_of(&self, offset: usize) -> usize {
        let segment = self.segments.partition_point(|(start, _)| *start <= offset);
        match segment.checked_sub(1) {
            Some(last) => self.segments[last].1 + (offset - self.segments[last].0),
            None => self.start + offset,
        }
    }

    #[inline]
    fn span(&self, range: Range<usize>) -> Span {
        if self.segments.is_empty() {
            Span::new(self.start + range.start, self.start + range.end)
        } else {
            self.span_in_segments(range)
        }
    }

    fn span_in_segments(&self, range: Range<usize>) -> Span {
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
    line: &'l Logical<'l, 'a>,
    pub(crate) text: &'l str,
    /// Where the text begins in the line.
    at: usize,
}

impl<'a> Fragment<'_, 'a> {
    /// Where the text stands in the source.
    #[inline]
    pub(crate) fn span(self) -> Span {
        self.line.span(self.at..self.at + self.text.len())
    }

    /// The part of the text.
    #[inline]
    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        Self { text: &self.text[range.clone()], at: self.at + range.start, ..self }
    }

    /// Everything behind `offset`.
    #[inline]
    pub(crate) fn from(self, offset: usize) -> Self {
        Self { text: &self.text[offset..], at: self.at + offset, ..self }
    }

    /// The text without blanks at its ends, those outside ASCII too.
    #[inline]
    pub(crate) fn trim(self) -> Self {
        let text = trim_start(self.text);
        Self { text: trim_end(text), at: self.at + (self.text.len() - text.len()), ..self }
    }

    /// The text and its place. What no continuation interrupts is borrowed from the source.
    #[expect(
        clippy::inline_always,
        reason = "a word that is returned through memory and copied at once stalls the processor"
    )]
    #[inline(always)]
    pub(crate) fn spanned(self) -> Word<'a> {
        let span = self.span();
        Spanned::new(self.text_at(span), span)
    }

    #[inline]
    fn text_at(self, span: Span) -> Text<'a> {
        if span.len() == self.text.len() {
            Cow::Borrowed(&self.line.source[span.start..span.end])
        } else {
            Cow::Owned(self.text.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::Joined;
    use crate::span::Span;

    #[test]
    fn places_go_through_continuations() {
        let source = "RUN ab\\\ncd";
        let mut joined = Joined::default();
        joined.begin(&source[..6]);
        joined.push(&source[8..], 8);
        let line = joined.logical(source, 0);
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
