//! Parser directives: `# key=value` lines at the very top.

use std::borrow::Cow;

use nom::bytes::complete::{tag, take_while};
use nom::character::complete::{char, satisfy};
use nom::combinator::{recognize, rest};
use nom::sequence::{delimited, pair};
use nom::{IResult, Parser};

use super::json;
use super::lines::{Line, Lines, trim_start};
use crate::ast::{Directives, Syntax};
use crate::span::{Span, Spanned, Word};

/// A line that may be a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    /// The key in lower case: `syntax`, `escape` or `check`.
    pub(crate) key: &'static str,
    /// The value without blanks around it.
    pub(crate) value: Word<'a>,
}

/// Reads a line, whose text is `text`. `None` if it is not a known directive, which ends all of them.
pub(crate) fn read<'a>(line: Line, text: &'a str, marker: &str) -> Option<Directive<'a>> {
    let text = trim_start(text);
    if !text.starts_with(marker) {
        return None;
    }
    let (_, (key, value)) = key_value(text, marker).ok()?;
    let key = ["syntax", "escape", "check"].into_iter().find(|it| it.eq_ignore_ascii_case(key))?;
    let start = line.end - value.len();
    let trimmed = value.trim_end_matches(is_blank);
    Some(Directive {
        key,
        value: Spanned::new(Cow::Borrowed(trimmed), Span::new(start, start + trimmed.len())),
    })
}

fn key_value<'a>(text: &'a str, marker: &str) -> IResult<&'a str, (&'a str, &'a str)> {
    let letters = recognize(pair(
        satisfy(|it| it.is_ascii_alphabetic()),
        take_while(|it: char| it.is_ascii_alphanumeric()),
    ));
    let equals = delimited(take_while(is_blank), char('='), take_while(is_blank));
    let (text, _) = (tag(marker), take_while(char::is_whitespace)).parse(text)?;
    let (text, (key, _, value)) = (letters, equals, rest).parse(text)?;
    if value.is_empty() {
        return Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::NonEmpty)));
    }
    Ok((text, (key, value)))
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\u{c}')
}

/// The directives that are looked for in the text itself, before it is parsed: a `#!` line may stand above them, and
/// `syntax` may also be written for other languages, as `// syntax=` or as JSON.
pub(crate) fn detect(source: &str) -> Directives<'_> {
    // Most files begin with an instruction.
    let first = source.trim_start_matches('\u{feff}').trim_start();
    if !first.starts_with(['#', '/', '{']) {
        return Directives::default();
    }
    // Others, with a plain comment.
    let end = first.find('\n').unwrap_or(first.len());
    if first.starts_with('#') && !first.starts_with("#!") && !first[..end].contains('=') {
        return Directives::default();
    }
    let top = |marker: &'static str| {
        Lines::new(source)
            .skip_while(|line| line.number == 1 && line.text(source).starts_with("#!"))
            .map_while(move |line| {
                // Unlike the parser, the detection takes no blanks before the marker.
                let text = line.text(source);
                if text.starts_with(marker) { read(line, text, marker) } else { None }
            })
    };
    let find = |marker, key: &str| top(marker).find(|it| it.key == key).map(|it| it.value);
    let syntax =
        find("#", "syntax").or_else(|| find("//", "syntax")).or_else(|| syntax_in_json(source));
    let syntax = syntax.map(|command_line| {
        let reference = command_line.value.split(' ').next().unwrap_or_default().to_owned();
        let reference = Cow::Owned(reference);
        Syntax { reference, command_line }
    });
    Directives { syntax, escape: None, check: find("#", "check") }
}

fn syntax_in_json(source: &str) -> Option<Word<'_>> {
    let text = source.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let value = json::member(text, "syntax")?;
    Some(Spanned::new(Cow::Owned(value), Span::new(0, source.len())))
}

#[cfg(test)]
mod tests {
    use super::{Word, detect};

    fn check(source: &str, syntax: Option<(&str, &str)>, options: Option<&str>) {
        let directives = detect(source);
        let found = directives.syntax.as_ref().map(|it| (&*it.reference, it.command_line.as_str()));
        assert_eq!(found, syntax, "{source:?}");
        assert_eq!(directives.check.as_ref().map(Word::as_str), options, "{source:?}");
        if let Some(value) = directives.check {
            assert_eq!(&source[value.span.start..value.span.end], value.value);
        }
    }

    #[test]
    fn directives_stand_at_the_top() {
        check(
            "# syntax=a/b:1 -x \n#CHECK = skip=all\r\nFROM a",
            Some(("a/b:1", "a/b:1 -x")),
            Some("skip=all"),
        );
        check("\n# syntax=a", None, None);
        check("# hello\n# syntax=a", None, None);
        check("# unknown=1\n# syntax=a", None, None);
        check("#!/x\n# check=skip=all\n", None, Some("skip=all"));
    }

    #[test]
    fn syntax_may_be_written_for_other_languages() {
        check("// syntax=a\n", Some(("a", "a")), None);
        check("{\"x\": [1], \"syntax\": \"a\\u002fb\"}", Some(("a/b", "a/b")), None);
        check("{\"syntax\": 1}", None, None);
    }
}
