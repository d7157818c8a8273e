//! A logical line: physical lines joined at their continuations, with a way back to the source.

use std::ops::Range;

use crate::span::{Span, Spanned};

/// The text of an instruction without line endings, continuation characters and comments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logical {
    pub(crate) text: String,
    /// Where each piece of the text begins here and in the source.
    segments: Vec<(usize, usize)>,
}

impl Logical {
    /// Appends a piece of the source.
    pub(crate) fn push(&mut self, text: &str, source: usize) {
        self.segments.push((self.text.len(), source));
        self.text.push_str(text);
    }

    /// The whole text.
    pub(crate) fn fragment(&self) -> Fragment<'_> {
        Fragment { line: self, text: &self.text, at: 0 }
    }

    fn source_of(&self, offset: usize) -> usize {
        let segment = self.segments.partition_point(|(start, _)| *start <= offset);
        let (start, source) = self.segments[..segment].last().copied().unwrap_or_default();
        source + (offset - start)
    }

    fn span(&self, range: Range<usize>) -> Span {
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
pub(crate) struct Fragment<'a> {
    line: &'a Logical,
    pub(crate) text: &'a str,
    /// Where the text begins in the line.
    at: usize,
}

impl Fragment<'_> {
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
        self.slice(offset..self.text.len())
    }

    /// The text without blanks at its ends, those outside ASCII too.
    pub(crate) fn trim(self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        let len = self.text.trim().len();
        self.slice(start..start + len)
    }

    /// The text and its place.
    pub(crate) fn spanned(self) -> Spanned<String> {
        Spanned::new(self.text.to_owned(), self.span())
    }
}

#[cfg(test)]
mod tests {
    use super::Logical;
    use crate::span::Span;

    #[test]
    fn places_go_through_continuations() {
        // "RUN ab\<newline>cd"
        let mut line = Logical::default();
        line.push("RUN ab", 0);
        line.push("cd", 8);
        let fragment = line.fragment();
        assert_eq!(fragment.text, "RUN abcd");
        assert_eq!(fragment.slice(4..8).span(), Span::new(4, 10));
        assert_eq!(fragment.slice(6..8).span(), Span::new(8, 10));
        assert_eq!(fragment.slice(4..6).span(), Span::new(4, 6));
        assert_eq!(fragment.slice(8..8).span(), Span::at(10));
        assert_eq!(fragment.from(3).trim().span(), Span::new(4, 10));
    }
}
