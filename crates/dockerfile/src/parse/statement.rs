//! An instruction as it lies in the file, before its words are looked at.

use super::logical::Logical;
use crate::ast::Comments;
use crate::original::Original;
use crate::span::{LineRange, Span};

/// The lines of an instruction and what stands above it.
#[derive(Debug, Default)]
pub(crate) struct Statement<'a> {
    /// The comment lines above.
    pub(crate) comments: Comments<'a>,
    /// Blank lines inside the continuation.
    pub(crate) empty_continuations: Vec<Span>,
    /// From the keyword to the end, heredocs not included.
    pub(crate) head: Span,
    /// The lines of the head.
    pub(crate) lines: LineRange,
    /// The first line from the keyword on, without the character that continues it.
    pub(crate) first: &'a str,
    /// Whether it goes over several lines.
    pub(crate) is_continued: bool,
    /// The text of the last line behind the first that has any, with the blanks at its end; empty if none has.
    pub(crate) tail: Span,
}

impl<'a> Statement<'a> {
    /// The first line alone.
    #[inline]
    pub(crate) fn first_line<'l>(&self, source: &'a str) -> Logical<'l, 'a>
    where
        'a: 'l,
    {
        Logical::new(source, self.first, self.head.start)
    }

    /// The text with the blanks at its ends.
    pub(crate) fn original(&self, source: &'a str, escape: u8) -> Original<'a> {
        Original::new(&source[self.head.start..self.head.end], escape).with_blanks()
    }
}
