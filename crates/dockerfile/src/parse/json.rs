//! JSON as Go's `encoding/json` reads it.

use std::borrow::Cow;
use std::ops::Range;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, one_of};
use nom::combinator::{opt, recognize, verify};
use nom::{IResult, Parser};

use super::lines::trim_start;

/// How deep Go reads values within values.
const MAX_DEPTH: usize = 10_000;

/// What a text is that begins with `[`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Array {
    /// An array of strings.
    Strings,
    /// An array with something other than strings, and the place of the first such thing.
    Other(Range<usize>),
    /// Not JSON at all.
    None,
}

/// Reads a text that should be an array and nothing else. `each` gets every string and its place, quotes included, even if
/// it turns out later that there is no such array. What has no escapes is borrowed.
pub(crate) fn array<'t>(text: &'t str, each: impl FnMut(Cow<'t, str>, Range<usize>)) -> Array {
    // Shell text begins with something else, which is quickly told.
    if !trim_start(text).starts_with('[') {
        return Array::None;
    }
    read_array(text, each).unwrap_or(Array::None)
}

fn read_array<'t>(
    text: &'t str,
    mut each: impl FnMut(Cow<'t, str>, Range<usize>),
) -> Option<Array> {
    let at = |rest: &str| text.len() - rest.len();
    let mut rest = blanks(text).strip_prefix('[')?;
    let mut other = None;
    rest = blanks(rest);
    if let Some(end) = rest.strip_prefix(']') {
        rest = end;
    } else {
        loop {
            rest = blanks(rest);
            let start = at(rest);
            if let Ok((after, string)) = string(rest) {
                rest = after;
                each(string, start..at(rest));
            } else {
                rest = skip_value(rest)?;
                other.get_or_insert(start..at(rest));
            }
            rest = blanks(rest);
            match rest.chars().next()? {
                ',' => rest = &rest[1..],
                ']' => {
                    rest = &rest[1..];
                    break;
                }
                _ => return None,
            }
        }
    }
    if !blanks(rest).is_empty() {
        return None;
    }
    Some(other.map_or(Array::Strings, Array::Other))
}

/// The member of a text that is one object, if that member is a string.
pub(crate) fn member(text: &str, key: &str) -> Option<String> {
    let mut rest = blanks(text).strip_prefix('{')?;
    let mut found = None;
    loop {
        let (after, name) = string(blanks(rest)).ok()?;
        rest = blanks(blanks(after).strip_prefix(':')?);
        let value = string(rest).ok();
        rest = match &value {
            Some((after, _)) => after,
            None => skip_value(rest)?,
        };
        if name == key {
            found = value.map(|(_, value)| value.into_owned());
        }
        rest = blanks(rest);
        match rest.chars().next()? {
            ',' => rest = &rest[1..],
            '}' => return if blanks(&rest[1..]).is_empty() { found } else { None },
            _ => return None,
        }
    }
}

fn blanks(text: &str) -> &str {
    let blanks = text.bytes().take_while(|it| matches!(it, b' ' | b'\t' | b'\r' | b'\n'));
    &text[blanks.count()..]
}

/// Passes over one value without recursion: what follows it.
fn skip_value(text: &str) -> Option<&str> {
    let mut rest = text;
    // What closes each open list or object.
    let mut open: Vec<char> = Vec::new();
    loop {
        rest = blanks(rest);
        let first = rest.chars().next()?;
        if first == '[' || first == '{' {
            let close = if first == '[' { ']' } else { '}' };
            rest = blanks(&rest[1..]);
            if let Some(after) = rest.strip_prefix(close) {
                rest = after;
            } else {
                open.push(close);
                if open.len() > MAX_DEPTH {
                    return None;
                }
                rest = key(rest, close)?;
                continue;
            }
        } else {
            rest = scalar(rest).ok()?.0;
        }
        // Behind a value: the next one, or the ends of what is open.
        loop {
            let Some(close) = open.last().copied() else { return Some(rest) };
            rest = blanks(rest);
            if let Some(after) = rest.strip_prefix(close) {
                open.pop();
                rest = after;
            } else {
                rest = key(blanks(rest.strip_prefix(',')?), close)?;
                break;
            }
        }
    }
}

/// Passes over the key in an object.
fn key(text: &str, close: char) -> Option<&str> {
    if close == ']' {
        return Some(text);
    }
    let (rest, _) = string(text).ok()?;
    blanks(rest).strip_prefix(':')
}

fn scalar(input: &str) -> IResult<&str, &str> {
    alt((recognize(string), number, tag("true"), tag("false"), tag("null"))).parse(input)
}

fn number(input: &str) -> IResult<&str, &str> {
    let digits = |input| take_while1(|it: char| it.is_ascii_digit()).parse(input);
    let integer = alt((tag("0"), digits));
    let fraction = opt((char('.'), digits));
    let exponent = opt((one_of("eE"), opt(one_of("+-")), digits));
    // Go refuses numbers that no float can hold.
    let fits = |number: &str| number.parse().is_ok_and(f64::is_finite);
    verify(recognize((opt(char('-')), integer, fraction, exponent)), fits).parse(input)
}

/// Reads a string. A lone half of a surrogate pair becomes the replacement character.
fn string(input: &str) -> IResult<&str, Cow<'_, str>> {
    let fail = |at| Err(nom::Err::Error(nom::error::Error::new(at, nom::error::ErrorKind::Char)));
    let (mut rest, _) = char('"').parse(input)?;
    let mut text = Cow::Borrowed("");
    loop {
        let special = |it: u8| it == b'"' || it == b'\\' || it < b' ';
        let plain = rest.bytes().position(special).unwrap_or(rest.len());
        text += &rest[..plain];
        rest = &rest[plain..];
        if let Some(after) = rest.strip_prefix('"') {
            return Ok((after, text));
        }
        let text = text.to_mut();
        let Some(after) = rest.strip_prefix('\\') else { return fail(rest) };
        let (after, escape) = one_of("\"\\/bfnrtu").parse(after)?;
        rest = after;
        match escape {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let Some(unit) = hex(rest) else { return fail(rest) };
                rest = &rest[4..];
                let mut decoded = char::from_u32(unit);
                if (0xd800..0xdc00).contains(&unit)
                    && let Some(low) = rest.strip_prefix("\\u").and_then(hex)
                    && (0xdc00..0xe000).contains(&low)
                {
                    decoded = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
                    rest = &rest[6..];
                }
                text.push(decoded.unwrap_or('\u{fffd}'));
            }
            other => text.push(other),
        }
    }
}

fn hex(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    if digits.bytes().all(|it| it.is_ascii_hexdigit()) {
        u32::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Array, array};

    fn kind(text: &str) -> Array {
        array(text, |_, _| {})
    }

    fn check(text: &str, expect: &[&str]) {
        let mut strings = Vec::new();
        assert_eq!(array(text, |text, at| strings.push((text, at))), Array::Strings, "{text}");
        let values: Vec<_> = strings.iter().map(|(value, _)| &**value).collect();
        assert_eq!(values, expect, "{text}");
        for (_, at) in strings {
            assert!(text[at.clone()].starts_with('"') && text[at].ends_with('"'));
        }
    }

    #[test]
    fn arrays_of_strings() {
        check(" [ \"a\" ,\t\"b c\" ] ", &["a", "b c"]);
        check("[]", &[]);
        check(
            r#"["\u00e9\n\/", "\ud83d\ude00", "\ud800x", "\ud800\u0041"]"#,
            &["é\n/", "😀", "\u{fffd}x", "\u{fffd}A"],
        );
    }

    #[test]
    fn other_arrays_are_told_from_other_text() {
        assert_eq!(kind("[\"a\", 1]"), Array::Other(6..7));
        assert_eq!(kind("[{\"a\": [1, {}, null]}, \"x\"]"), Array::Other(1..21));
        assert_eq!(kind("[[[-1.5e+3]], true]"), Array::Other(1..12));
        for text in [
            "",
            "[",
            "[\"a\"",
            "[\"a\",]",
            "['a']",
            "[\"a\"] x",
            "[\"\\x\"]",
            "[\"a\" \"b\"]",
            "[01]",
            "[a]",
            "[\"\t\"]",
            "[{1:2}]",
            "[\"\\u12g4\"]",
            "[1e999]",
        ] {
            assert_eq!(kind(text), Array::None, "{text}");
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        assert_eq!(
            kind(&format!("[{}{}]", "[".repeat(9000), "]".repeat(9000))),
            Array::Other(1..18001)
        );
        assert_eq!(kind(&"[".repeat(1_000_000)), Array::None);
    }
}
