//! A logical line: physical lines joined at their continuations, with a way back to the source.

use std::borrow::Cow;
use std::ops::Range;

use super::lines::{trim_end, trim_start};
use crate::span::{Span, Spanned, Text, Word};

/// The lines for which there is room at first.
const LINES: usize = 16;

/// Physical lines joined to one. It is used again for each instruction, so that joining needs no memory of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined {
    text: String,
    segments: Vec<(usize, usize)>,
}

impl Joined {
    /// Puts the lines of `head` together, of which the first is `first` and the others are `further`, without the characters
    /// that continue them. The others know where they stand.
    pub(super) fn join<'l, 'a>(
        &'l mut self,
        source: &'a str,
        first: &str,
        head: Span,
        further: impl Iterator<Item = (&'a str, usize)>,
    ) -> Logical<'l, 'a> {
        self.segments.clear();
        self.text.clear();
        self.text.reserve(head.len());
        self.segments.reserve(LINES);
        self.text.push_str(first);
        for (text, start) in further {
            self.segments.push((self.text.len(), start));
            self.text.push_str(text);
        }
        Logical { source, text: &self.text, start: head.start, segments: &self.segments }
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
    pub(crate) fn fragment(&'l self) -> Fragment<'l, 'a> {
        Fragment { line: self, text: self.text, start: 0 }
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
    text: &'l str,
    /// Where the text begins in the line.
    start: usize,
}

#[expect(
    clippy::inline_always,
    reason = "a fragment or a word that is returned through memory and copied at once stalls the processor"
)]
impl<'l, 'a> Fragment<'l, 'a> {
    /// The line of which this is a part.
    #[inline(always)]
    pub(crate) fn whole(self) -> Self {
        self.line.fragment()
    }

    /// The text.
    #[inline(always)]
    pub(crate) fn text(self) -> &'l str {
        self.text
    }

    /// The bytes of the text.
    #[inline(always)]
    pub(crate) fn bytes(self) -> &'l [u8] {
        self.text.as_bytes()
    }

    /// The bytes of the text and what follows it in the file.
    #[inline(always)]
    pub(crate) fn with_rest(self) -> &'l [u8] {
        if self.line.segments.is_empty() {
            &self.line.source.as_bytes()[self.line.start + self.start..]
        } else {
            self.bytes()
        }
    }

    /// Whether there is no text.
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// Where the text ends in the line.
    #[inline(always)]
    fn end(self) -> usize {
        self.start + self.text.len()
    }

    /// Where the text stands in the source.
    #[inline(always)]
    pub(crate) fn span(self) -> Span {
        self.line.span(self.start..self.end())
    }

    /// A part of the text.
    #[inline(always)]
    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        let start = self.start + range.start;
        Self { line: self.line, text: &self.text[range], start }
    }

    /// Everything behind `offset`.
    #[inline(always)]
    pub(crate) fn from(self, offset: usize) -> Self {
        Self { line: self.line, text: &self.text[offset..], start: self.start + offset }
    }

    /// The text without blanks at its ends, those outside ASCII too.
    #[inline(always)]
    pub(crate) fn trim(self) -> Self {
        let text = trim_start(self.text);
        let start = self.end() - text.len();
        Self { line: self.line, text: trim_end(text), start }
    }

    /// The text and its place. What no continuation interrupts is borrowed from the source.
    #[inline(always)]
    pub(crate) fn spanned(self) -> Word<'a> {
        if self.line.segments.is_empty() {
            let start = self.line.start + self.start;
            let span = Span::new(start, start + self.text.len());
            return Spanned::new(Cow::Borrowed(&self.line.source[span.start..span.end]), span);
        }
        self.spanned_in_segments()
    }

    fn spanned_in_segments(self) -> Word<'a> {
        let span = self.span();
        Spanned::new(self.text_at(span), span)
    }

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
        let line =
            joined.join(source, &source[..6], Span::new(0, source.len()), [("cd", 8)].into_iter());
        let fragment = line.fragment();
        assert_eq!(fragment.text(), "RUN abcd");
        assert_eq!(fragment.slice(4..8).span(), Span::new(4, 10));
        assert_eq!(fragment.slice(6..8).span(), Span::new(8, 10));
        assert_eq!(fragment.slice(4..6).span(), Span::new(4, 6));
        assert_eq!(fragment.slice(8..8).span(), Span::at(10));
        assert_eq!(fragment.from(3).trim().span(), Span::new(4, 10));
        assert!(matches!(fragment.slice(6..8).spanned().value, Cow::Borrowed("cd")));
        assert!(matches!(fragment.slice(4..8).spanned().value, Cow::Owned(_)));
    }
}
