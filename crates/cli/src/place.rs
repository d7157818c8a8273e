//! Places for programs.

use dfbuild::{LineIndex, Span};
use serde::Serialize;

use crate::source::Source;

/// Lines and columns from 1; the end column is behind the last character. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Region {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) end_line: usize,
    pub(crate) end_column: usize,
}

/// Finds the places of spans.
pub(crate) struct Places<'a> {
    text: &'a str,
    index: LineIndex,
}

impl<'a> Places<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Self { text: &source.text, index: LineIndex::new(&source.text) }
    }

    /// Where the lines are.
    pub(crate) fn index(&self) -> &LineIndex {
        &self.index
    }

    pub(crate) fn region(&self, span: Span) -> Region {
        let (line, column) = self.position(span.start);
        let (end_line, end_column) = self.position(span.end.max(span.start));
        Region { line, column, end_line, end_column }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let position = self.index.position(offset);
        let start = self.index.line_span(position.line).map_or(0, |span| span.start);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        (position.line, before.chars().count() + 1)
    }
}
