//! Inline files.

use std::borrow::Cow;

use crate::span::{Span, Text};

/// A heredoc: `<<NAME` and the lines up to `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc<'a> {
    /// The delimiter without quotes, which is also the name of the file.
    pub name: Text<'a>,
    /// The number before `<<`; 0 if there is none.
    pub fd: u64,
    /// Whether the body may be expanded: no part of the delimiter is quoted.
    pub expand: bool,
    /// Whether it was `<<-`: leading tabs do not count.
    pub chomp: bool,
    /// The body as written, line endings included, leading tabs too.
    pub content: Text<'a>,
    /// The `<<NAME` word.
    pub marker: Span,
    /// The body.
    pub span: Span,
    /// The line that ends the body; empty if there is none.
    pub terminator: Span,
}

impl Heredoc<'_> {
    /// The body with the leading tabs of every line removed if this is a `<<-`.
    pub fn text(&self) -> Text<'_> {
        if self.chomp {
            Cow::Owned(strip_leading_tabs(&self.content))
        } else {
            Cow::Borrowed(&self.content)
        }
    }
}

/// Removes the tabs, not the spaces, at the start of every line.
fn strip_leading_tabs(content: &str) -> String {
    content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::strip_leading_tabs;

    #[test]
    fn only_tabs_are_stripped() {
        assert_eq!(strip_leading_tabs("\t\ta\n \tb\n\t\n"), "a\n \tb\n\n");
    }
}
