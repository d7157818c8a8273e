//! The comments above an instruction.

use std::fmt;

use crate::parse::lines::{Lines, trim_end, trim_start};
use crate::span::{Span, Spanned};

/// The comment lines right above an instruction, without `#` and without surrounding blanks. Blank lines may stand between
/// them; an empty comment separates what stands above it from the instruction.
///
/// Few who read a file look at its comments: they are told apart when they are asked for.
#[derive(Clone, Copy, Default)]
pub struct Comments<'a> {
    /// From the first of the lines to the end of the last one.
    lines: &'a str,
    /// Where they stand in the source.
    start: usize,
}

impl<'a> Comments<'a> {
    /// The comments in lines of which all are comments or blank, and none is an empty comment.
    #[inline]
    pub(crate) const fn new(lines: &'a str, start: usize) -> Self {
        Self { lines, start }
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.lines.is_empty()
    }

    /// The texts and their places.
    pub fn iter(self) -> impl Iterator<Item = Spanned<&'a str>> {
        Lines::within(self.lines).filter_map(move |line| {
            let behind = trim_start(trim_start(line.text(self.lines)).strip_prefix('#')?);
            let start = self.start + line.end - behind.len();
            let text = trim_end(behind);
            Some(Spanned::new(text, Span::new(start, start + text.len())))
        })
    }
}

impl<'a> Comments<'a> {
    /// The text after `name` in the first line that begins with it and a blank: what it says about a stage or a build
    /// argument of this name.
    pub fn about(self, name: &str) -> Option<&'a str> {
        if name.is_empty() {
            return None;
        }
        self.iter().find_map(|line| line.value.strip_prefix(name)?.strip_prefix(' '))
    }
}

impl fmt::Debug for Comments<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Comments<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Comments<'_> {}

#[cfg(test)]
mod tests {
    use super::Comments;

    #[test]
    fn comments_stand_where_their_places_say() {
        let source = "x\n# one \n\n\t#  two\r\n#three";
        let comments = Comments::new(&source[2..], 2);
        let found: Vec<_> = comments.iter().map(|it| it.value).collect();
        assert_eq!(found, ["one", "two", "three"]);
        assert!(comments.iter().all(|it| source[it.span.start..it.span.end] == *it.value));
        assert!(Comments::default().iter().next().is_none());
    }
}
