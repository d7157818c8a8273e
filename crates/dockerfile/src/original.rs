//! The text of an instruction with its lines joined, put together only for those who ask.

use std::borrow::Cow;

use crate::parse::lines::{Lines, before_continuation, trim_end, trim_start};
use crate::parse::words::is_separator;
use crate::span::{Text, part_of};

/// Where an instruction was written, and how to read it as one line.
///
/// Few who read a file need the text besides the words, and it is as long as the file: joining waits until it is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Original<'a> {
    /// The lines from the keyword on.
    source: &'a str,
    /// The escape character.
    escape: char,
    ends: Ends,
}

/// What becomes of the blanks at the ends of a text.
///
/// It is as large as a character, so that nothing is left free between the fields of instructions: what is free would be
/// copied with them, in pieces that overlap.
#[derive(Clone, Copy, Debug, Default)]
#[repr(u32)]
enum Ends {
    /// They are no part of it.
    #[default]
    Trimmed,
    /// They stay.
    Kept,
}

impl<'a> Original<'a> {
    /// The text of `source`, which begins with an instruction and ends with its last line.
    #[inline]
    pub(crate) const fn new(source: &'a str, escape: u8) -> Self {
        Self { source, escape: escape as char, ends: Ends::Trimmed }
    }

    /// What stands behind `offset` bytes of the source.
    #[inline]
    pub(crate) fn behind(self, offset: usize) -> Self {
        Self { source: &self.source[offset..], ..self }
    }

    /// The same with the blanks at its ends.
    pub(crate) const fn with_blanks(self) -> Self {
        Self { ends: Ends::Kept, ..self }
    }

    /// The same without the blanks at its ends.
    pub(crate) const fn without_blanks(self) -> Self {
        Self { ends: Ends::Trimmed, ..self }
    }

    fn keeps_blanks(self) -> bool {
        matches!(self.ends, Ends::Kept)
    }

    /// It, which is ASCII.
    fn escape_byte(self) -> u8 {
        self.escape as u8
    }

    /// The text with continuation lines joined and comments left out. What goes over one line is borrowed.
    pub fn text(&self) -> Text<'a> {
        let mut lines = Lines::within(self.source);
        let first = lines.next().map_or("", |line| line.text(self.source));
        let Some(first) = before_continuation(first, self.escape_byte()) else {
            return Cow::Borrowed(if self.keeps_blanks() { first } else { trim(first) });
        };
        let mut joined = String::with_capacity(self.source.len());
        joined.push_str(first);
        for line in lines.filter(|line| line.has_text(self.source)) {
            let text = line.text(self.source);
            joined.push_str(before_continuation(text, self.escape_byte()).unwrap_or(text));
        }
        let trimmed = trim(&joined);
        if self.keeps_blanks() || trimmed.len() == joined.len() {
            Cow::Owned(joined)
        } else {
            Cow::Owned(trimmed.to_owned())
        }
    }
}

impl<'a> Original<'a> {
    /// The first word of the text.
    pub(crate) fn first_word(&self) -> Text<'a> {
        let line = Lines::within(self.source).next().map_or("", |line| line.text(self.source));
        let line = before_continuation(line, self.escape_byte()).unwrap_or(line);
        match line.find(is_separator) {
            Some(end) if end > 0 => Cow::Borrowed(&line[..end]),
            _ => {
                let text = self.text();
                let end = text.find(is_separator).unwrap_or(text.len());
                part_of(&text, 0..end)
            }
        }
    }
}

impl PartialEq for Original<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Original<'_> {}

fn trim(text: &str) -> &str {
    trim_start(trim_end(text))
}

#[cfg(test)]
mod tests {
    use super::Original;

    #[test]
    fn lines_are_joined_without_comments_and_blank_lines() {
        let check = |source, expect| assert_eq!(Original::new(source, b'\\').text(), expect);
        check("RUN a ", "RUN a");
        check("RUN a \\\r\n # b\r\n\n  && c \\", "RUN a   && c");
        check("RUN a \\\n#b \\\n", "RUN a");
        check("\\\n RUN a", "RUN a");
        assert_eq!(Original::new("RUN a \\\nb ", b'`').text(), "RUN a \\");
        assert_eq!(Original::new("RUN a `\nb ", b'`').with_blanks().text(), "RUN a b ");
    }
}
