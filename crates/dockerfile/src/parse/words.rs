//! Splitting an instruction into its keyword, its flags and its words.

use nom::branch::alt;
use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::{anychar, char};
use nom::combinator::{opt, recognize};
use nom::multi::{many0_count, many1_count};
use nom::sequence::{pair, preceded};
use nom::{IResult, Parser};

use super::logical::Fragment;
use crate::span::Spanned;

/// The blanks that separate words; others, such as a no-break space, are part of them.
pub(crate) fn is_separator(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// The keyword of an instruction and the rest of it. Blanks at the ends do not count.
pub(crate) fn split_keyword(line: Fragment) -> (Fragment, Fragment) {
    let line = line.trim();
    let end = line.text.find(is_separator).unwrap_or(line.text.len());
    let rest = line.from(end);
    let blanks = rest.text.len() - rest.text.trim_start_matches(is_separator).len();
    (line.slice(0..end), rest.from(blanks))
}

/// The flags at the start of the arguments, without quotes and escapes, and what follows them. A bare `--` ends them.
pub(crate) fn split_flags(args: Fragment) -> (Vec<Spanned<String>>, Fragment) {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        let rest = &args.text[at..];
        at += rest.len() - rest.trim_start().len();
        let rest = &args.text[at..];
        if !rest.starts_with("--") {
            return (flags, args.from(at).trim());
        }
        let (after, flag) = flag(rest).unwrap_or(("", rest.to_owned()));
        let end = args.text.len() - after.len();
        if flag == "--" {
            return (flags, args.from(end).trim());
        }
        flags.push(Spanned::new(flag, args.slice(at..end).span()));
        at = end;
    }
}

/// One flag. The escape here is always `\`, and it also works in single quotes.
fn flag(input: &str) -> IResult<&str, String> {
    let mut text = String::new();
    let mut rest = input;
    let mut quote = None;
    loop {
        let (after, plain) = take_while(|it: char| {
            it != '\\' && it != '"' && it != '\'' && (quote.is_some() || !it.is_whitespace())
        })
        .parse(rest)?;
        text.push_str(plain);
        rest = after;
        let mut chars = rest.chars();
        match chars.next() {
            Some('\\') => {
                if let Some(escaped) = chars.next() {
                    text.push(escaped);
                }
                rest = chars.as_str();
            }
            Some(found @ ('"' | '\'')) => {
                match quote {
                    None => quote = Some(found),
                    Some(open) if open == found => quote = None,
                    Some(_) => text.push(found),
                }
                rest = chars.as_str();
            }
            Some(_) | None => return Ok((rest, text)),
        }
    }
}

/// Words between separators.
pub(crate) fn split_separators(args: Fragment) -> Vec<Fragment> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < args.text.len() {
        let len = args.text[at..].find(is_separator).unwrap_or(args.text.len() - at);
        words.push(args.slice(at..at + len));
        at += len;
        at += args.text[at..].len() - args.text[at..].trim_start_matches(is_separator).len();
    }
    words
}

/// Words between blanks that are neither quoted nor escaped. Quotes and escapes stay in the words; an escape at the very
/// end is dropped.
pub(crate) fn split_quoted(args: Fragment, escape: char) -> Vec<Fragment> {
    let mut words = Vec::new();
    let mut rest = args.text;
    while let Ok((after, word)) =
        preceded(take_while(char::is_whitespace), |input| quoted_word(input, escape)).parse(rest)
    {
        let end = args.text.len() - after.len();
        let start = end - word.len();
        let word = if after.is_empty() && ends_with_lone_escape(word, escape) {
            args.slice(start..end - escape.len_utf8())
        } else {
            args.slice(start..end)
        };
        if !word.text.is_empty() {
            words.push(word);
        }
        rest = after;
    }
    words
}

fn quoted_word(input: &str, escape: char) -> IResult<&str, &str> {
    recognize(many1_count(|input| part(input, escape))).parse(input)
}

fn part(input: &str, escape: char) -> IResult<&str, &str> {
    let escaped = || recognize(pair(char(escape), opt(anychar)));
    let plain =
        take_while1(move |it: char| !it.is_whitespace() && it != '"' && it != '\'' && it != escape);
    let single = recognize((char('\''), take_while(|it| it != '\''), opt(char('\''))));
    let inside = move |it: char| it != '"' && it != escape;
    let double =
        recognize((char('"'), many0_count(alt((take_while1(inside), escaped()))), opt(char('"'))));
    alt((plain, escaped(), single, double)).parse(input)
}

/// Whether the last character escapes nothing. In single quotes it is text.
fn ends_with_lone_escape(word: &str, escape: char) -> bool {
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(found) = chars.next() {
        match quote {
            Some('\'') if found == '\'' => quote = None,
            Some('\'') => {}
            _ if found == escape && chars.next().is_none() => return true,
            _ if found == escape => {}
            Some(open) if found == open => quote = None,
            None if found == '"' || found == '\'' => quote = Some(found),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{split_flags, split_keyword, split_quoted, split_separators};
    use crate::parse::logical::Logical;

    fn line(text: &str) -> Logical {
        let mut line = Logical::default();
        line.push(text, 0);
        line
    }

    #[test]
    fn keywords_end_at_ascii_blanks() {
        let check = |text: &str, keyword: &str, rest: &str| {
            let line = line(text);
            let (found, args) = split_keyword(line.fragment());
            assert_eq!((found.text, args.text), (keyword, rest), "{text:?}");
        };
        check(" RUN\t\u{b}a  b ", "RUN", "a  b");
        check("RUN", "RUN", "");
        check("CMD\u{a0}x y", "CMD\u{a0}x", "y");
    }

    #[test]
    fn flags_lose_their_quotes() {
        let check = |text: &str, flags: &[&str], rest: &str| {
            let line = line(text);
            let (found, args) = split_flags(line.fragment());
            let values: Vec<_> = found.iter().map(crate::Spanned::as_str).collect();
            assert_eq!((values.as_slice(), args.text), (flags, rest), "{text:?}");
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
        let words: Vec<_> = split_separators(line.fragment()).iter().map(|it| it.text).collect();
        assert_eq!(words, ["a", "\"b", "c\"", "d\u{a0}e"]);
    }

    #[test]
    fn quotes_keep_words_together() {
        let check = |text: &str, words: &[&str]| {
            let line = line(text);
            let found: Vec<_> =
                split_quoted(line.fragment(), '\\').iter().map(|it| it.text).collect();
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
