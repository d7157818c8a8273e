//! Splitting an instruction into its keyword, its flags and its words.

use std::borrow::Cow;

use super::lines::trim_start;
use super::logical::Fragment;
use super::scan::{before_blank, eight, find_blank};
use crate::keyword::{Keyword, PACKED_LEN};
use crate::list::List;
use crate::span::{Spanned, Word};

/// The blanks that separate words; others, such as a no-break space, are part of them.
pub(crate) fn is_separator(char: char) -> bool {
    char.is_ascii() && is_separator_byte(char as u8)
}

/// The same for bytes. All separators are ASCII, so bytes can be looked at one by one.
fn is_separator_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// Where the first separator from `at` on is, or the end.
#[inline]
fn find_separator(text: &[u8], at: usize) -> usize {
    let mut at = find_blank(text, at);
    // Some control characters are a part of a word.
    while at < text.len() && !is_separator_byte(text[at]) {
        at = find_blank(text, at + 1);
    }
    at
}

/// Where the separators end that stand at `at`.
#[inline]
fn skip_separators(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && is_separator_byte(text[at]) {
        at += 1;
    }
    at
}

/// The keyword of an instruction, which has no blanks at its ends, what it names, and the rest of it.
#[expect(clippy::inline_always, reason = "as with fragments")]
#[inline(always)]
pub(crate) fn split_keyword<'l, 'a>(
    line: Fragment<'l, 'a>,
) -> (Option<Keyword>, Fragment<'l, 'a>, Fragment<'l, 'a>) {
    let (name, end) = find_keyword(line.bytes());
    let rest = match line.bytes()[end..] {
        // Nearly always one blank stands behind a name.
        [b' ', next, ..] if next.is_ascii_graphic() => end + 1,
        _ => skip_separators(line.bytes(), end),
    };
    (name, line.slice(0..end), line.from(rest))
}

/// What the first word names, and where it ends.
#[inline]
fn find_keyword(text: &[u8]) -> (Option<Keyword>, usize) {
    if let Some(word) = eight(text) {
        let end = before_blank(word);
        if end < PACKED_LEN && is_separator_byte(text[end]) {
            return (Keyword::find_packed(word, end), end);
        }
    }
    let end = find_separator(text, 0);
    (Keyword::find(&text[..end]), end)
}

/// The flags at the start of the arguments, without quotes and escapes, and what follows them. A bare `--` ends them.
#[expect(clippy::inline_always, reason = "as with fragments")]
#[inline(always)]
pub(crate) fn split_flags<'l, 'a>(
    args: Fragment<'l, 'a>,
    flags: &mut List<Word<'a>>,
) -> Fragment<'l, 'a> {
    let plain = args.bytes().first().is_some_and(|it| it.is_ascii_graphic() && *it != b'-');
    args.from(if plain { 0 } else { read_flags(args, flags) }).trim()
}

/// Where the arguments begin behind the flags.
fn read_flags<'a>(args: Fragment<'_, 'a>, flags: &mut List<Word<'a>>) -> usize {
    let mut at = 0;
    loop {
        let rest = &args.text()[at..];
        at += rest.len() - trim_start(rest).len();
        let rest = &args.text()[at..];
        if !rest.starts_with("--") {
            return at;
        }
        let (len, unquoted) = flag(rest);
        let word = args.slice(at..at + len);
        if unquoted.as_deref().unwrap_or(word.text()) == "--" {
            return at + len;
        }
        flags.push(match unquoted {
            Some(text) => Spanned::new(Cow::Owned(text), word.span()),
            None => word.spanned(),
        });
        at += len;
    }
}

/// The length of a flag, and its text if that is not what stands there. The escape here is always `\`, and it also works
/// in single quotes.
fn flag(input: &str) -> (usize, Option<String>) {
    let special = |it: char| it.is_whitespace() || matches!(it, '\\' | '"' | '\'');
    let ascii = input.bytes().take_while(|it| PLAIN[usize::from(*it)]).count();
    let plain = input[ascii..].find(special).map_or(input.len(), |at| ascii + at);
    if input[plain..].chars().next().is_none_or(char::is_whitespace) {
        return (plain, None);
    }
    let mut text = input[..plain].to_owned();
    let mut quote = None;
    let mut chars = input[plain..].char_indices();
    while let Some((at, found)) = chars.next() {
        match found {
            '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
            '"' | '\'' => match quote {
                None => quote = Some(found),
                Some(open) if open == found => quote = None,
                Some(_) => text.push(found),
            },
            found if found.is_whitespace() && quote.is_none() => return (plain + at, Some(text)),
            found => text.push(found),
        }
    }
    (input.len(), Some(text))
}

/// The words between separators.
pub(crate) fn separated<'l, 'a>(args: Fragment<'l, 'a>) -> Separated<'l, 'a> {
    // A word also ends where its line does, and there are whole chunks to look at behind that.
    Separated { args, wide: args.with_rest(), at: 0 }
}

/// See [`separated`].
#[derive(Debug)]
pub(crate) struct Separated<'l, 'a> {
    args: Fragment<'l, 'a>,
    wide: &'l [u8],
    at: usize,
}

impl<'l, 'a> Iterator for Separated<'l, 'a> {
    type Item = Fragment<'l, 'a>;

    #[expect(clippy::inline_always, reason = "as with fragments")]
    #[inline(always)]
    fn next(&mut self) -> Option<Fragment<'l, 'a>> {
        let start = self.at;
        let len = self.args.bytes().len();
        if start == len {
            return None;
        }
        let (end, next) = separated_word(self.wide, len, start);
        self.at = next;
        Some(self.args.slice(start..end))
    }
}

/// Where the word at `at` ends, of which at most `len` bytes are looked at, and where the next one begins.
fn separated_word(wide: &[u8], len: usize, at: usize) -> (usize, usize) {
    let end = find_separator(wide, at).min(len);
    (end, skip_separators(&wide[..len], end))
}

/// Appends the words between separators.
pub(crate) fn split_separators<'a>(args: Fragment<'_, 'a>, words: &mut Vec<Word<'a>>) {
    for word in separated(args) {
        words.push(word.spanned());
    }
}

/// A word that may have quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotedWord<'l, 'a> {
    /// It, quotes and escapes included.
    pub(crate) text: Fragment<'l, 'a>,
    /// Where its first `=` is.
    pub(crate) equals: Option<usize>,
    /// How it ends.
    pub(crate) ending: Ending,
}

/// How a word with quotes ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With what belongs to it.
    Whole,
    /// Inside quotes.
    Open,
    /// With an escape that nothing follows. In single quotes that is text.
    Dangling,
}

/// Words between blanks that are neither quoted nor escaped. Quotes and escapes stay in the words; an escape at the very
/// end is dropped.
pub(crate) fn quoted_words<'l, 'a>(args: Fragment<'l, 'a>, escape: u8) -> QuotedWords<'l, 'a> {
    QuotedWords { args, escape, at: 0 }
}

/// See [`quoted_words`].
#[derive(Debug)]
pub(crate) struct QuotedWords<'l, 'a> {
    args: Fragment<'l, 'a>,
    escape: u8,
    at: usize,
}

impl<'l, 'a> Iterator for QuotedWords<'l, 'a> {
    type Item = QuotedWord<'l, 'a>;

    #[expect(clippy::inline_always, reason = "as with fragments")]
    #[inline(always)]
    fn next(&mut self) -> Option<QuotedWord<'l, 'a>> {
        loop {
            match self.args.bytes().get(self.at) {
                Some(first) if first.is_ascii_graphic() => {}
                Some(b' ') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => {
                    let rest = &self.args.text()[self.at..];
                    self.at += rest.len() - trim_start(rest).len();
                    if self.at == self.args.text().len() {
                        return None;
                    }
                }
                None => return None,
            }
            let word = self.args.from(self.at);
            let (end, equals) = plain_word(word.bytes());
            let plain = matches!(word.bytes().get(end), None | Some(b' '));
            let (end, equals, ending) = if plain {
                (end, equals, Ending::Whole)
            } else {
                quoted_word(word.text(), self.escape, end, equals)
            };
            self.at += end;
            let end = if ending == Ending::Dangling { end - 1 } else { end };
            if end > 0 {
                let equals = if equals == NONE { None } else { Some(equals) };
                return Some(QuotedWord { text: word.slice(0..end), equals, ending });
            }
        }
    }
}

/// No place. It is a number so that two places fit into registers.
const NONE: usize = usize::MAX;

/// Where a word ends in which nothing is quoted, or where something is, and where its first `=` is.
#[inline]
fn plain_word(bytes: &[u8]) -> (usize, usize) {
    let end = |from: usize, plain: &[bool; 256]| {
        let len = bytes[from..].iter().position(|it| !plain[usize::from(*it)]);
        len.map_or(bytes.len(), |len| from + len)
    };
    let name = end(0, &IN_NAME);
    if bytes.get(name) == Some(&b'=') { (end(name + 1, &PLAIN), name) } else { (name, NONE) }
}

/// The bytes that neither end a word nor change how the next one is read, in quotes or outside.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'\'' | b'\\' | b'`');
        byte += 1;
    }
    plain
};

/// The same without `=`, which ends a name.
const IN_NAME: [bool; 256] = {
    let mut plain = PLAIN;
    plain[b'=' as usize] = false;
    plain
};

/// The length of a word, where its first `=` is, and how it ends. Up to `at` it has been read.
fn quoted_word(
    input: &str,
    escape: u8,
    mut at: usize,
    mut equals: usize,
) -> (usize, usize, Ending) {
    let bytes = input.as_bytes();
    let mut quote = None;
    while let Some(byte) = bytes.get(at).copied() {
        if PLAIN[usize::from(byte)] {
            if byte == b'=' {
                equals = equals.min(at);
            }
            at += 1;
            continue;
        }
        let mut len = 1;
        match quote {
            Some(open) if byte == open => quote = None,
            Some(b'\'') => {}
            _ if byte == escape => match input[at + 1..].chars().next() {
                Some(escaped) => {
                    if escaped == '=' {
                        equals = equals.min(at + 1);
                    }
                    len += escaped.len_utf8();
                }
                None => return (input.len(), equals, Ending::Dangling),
            },
            Some(_) => {}
            None => match byte {
                b'"' | b'\'' => quote = Some(byte),
                byte if byte.is_ascii_graphic() => {}
                _ => match input[at..].chars().next() {
                    Some(blank) if blank.is_whitespace() => return (at, equals, Ending::Whole),
                    other => len = other.map_or(1, char::len_utf8),
                },
            },
        }
        at += len;
    }
    (input.len(), equals, if quote.is_none() { Ending::Whole } else { Ending::Open })
}

#[cfg(test)]
mod tests {
    use super::{quoted_words, split_flags, split_keyword, split_separators};
    use crate::list::List;
    use crate::parse::logical::Logical;

    fn line(text: &str) -> Logical<'_, '_> {
        Logical::new(text, text, 0)
    }

    #[test]
    fn keywords_end_at_ascii_blanks() {
        let check = |text: &str, keyword: &str, rest: &str| {
            let line = line(text);
            let (_, found, args) = split_keyword(line.fragment());
            assert_eq!((found.text(), args.text()), (keyword, rest), "{text:?}");
        };
        check("RUN\t\u{b}a  b", "RUN", "a  b");
        check("RUN", "RUN", "");
        check("CMD\u{a0}x y", "CMD\u{a0}x", "y");
    }

    #[test]
    fn flags_lose_their_quotes() {
        let check = |text: &str, flags: &[&str], rest: &str| {
            let line = line(text);
            let mut found = List::new();
            let args = split_flags(line.fragment(), &mut found);
            let values: Vec<_> = found.iter().map(crate::Word::as_str).collect();
            assert_eq!((values.as_slice(), args.text()), (flags, rest), "{text:?}");
        };
        check("--a=1  --b='x y'\"z\" c --d", &["--a=1", "--b=x yz"], "c --d");
        check("--a -- --b c", &["--a"], "--b c");
        check("--a\\ b=\\\"'\\'' x", &["--a b=\"'"], "x");
        check("--", &[], "");
        check("--a='open x", &["--a=open x"], "");
        check("-a", &[], "-a");
    }

    #[test]
    fn lists_are_split_at_separators_only() {
        let line = line("a  \"b c\"\td\u{a0}e");
        let mut words = Vec::new();
        split_separators(line.fragment(), &mut words);
        let words: Vec<_> = words.into_iter().map(|it| it.value).collect();
        assert_eq!(words, ["a", "\"b", "c\"", "d\u{a0}e"]);
    }

    #[test]
    fn quotes_keep_words_together() {
        let check = |text: &str, words: &[&str]| {
            let line = line(text);
            let found: Vec<_> =
                quoted_words(line.fragment(), b'\\').map(|it| it.text.text()).collect();
            assert_eq!(found, words, "{text:?}");
        };
        check("a=1 b=\"c d\"'e f'g h\\ i", &["a=1", "b=\"c d\"'e f'g", "h\\ i"]);
        check("a='\\' b", &["a='\\'", "b"]);
        check("a=\"\\\" \" b", &["a=\"\\\" \"", "b"]);
        check("a b\\", &["a", "b"]);
        check("a b\\\\", &["a", "b\\\\"]);
        check("\\", &[]);
        check("a 'b c", &["a", "'b c"]);
        check("\u{a0}a\u{3000}b", &["a", "b"]);
        check("'' \"\"", &["''", "\"\""]);
    }
}
