//! Environment files: `.env` beside a compose file, and those of `--env-file`.

use crate::error::{Error, Place};
use crate::interpolate::expand;

/// Reads an environment file as compose does: `NAME=value`, `export NAME=value`, comments after
/// ` #`, single quotes for texts as they are, double quotes with `\n`, `\"` and the like. Outside of
/// single quotes variables are put in; what the file set before comes after what `lookup` knows.
/// A name without `=` has no value and is left out.
pub fn parse(
    file: &str,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, Error> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 0;
    while !rest.is_empty() {
        line += 1;
        let (whole_line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let first = whole_line.trim();
        let first = first.strip_prefix("export ").unwrap_or(first).trim_start();
        if first.is_empty() || first.starts_with('#') {
            rest = after;
            continue;
        }
        let place = Place { file: file.to_owned(), line, column: 1 };
        let fail = |reason: String| Error::EnvFile { place: place.clone(), reason };
        let Some((name, value)) = first.split_once('=') else {
            rest = after;
            continue;
        };
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(fail(format!("`{name}` is no name of a variable")));
        }
        let value = value.trim_start();
        let known = |name: &str| {
            lookup(name).or_else(|| {
                let own = variables.iter().rev().find(|(known, _)| known == name);
                own.map(|(_, value)| value.clone())
            })
        };
        let value = if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            // A quoted value may go on over lines.
            let start = whole_line.trim_end().len() - value.len();
            let whole = &rest[start + 1..];
            let (inner, length) = quoted(whole, quote)
                .ok_or_else(|| fail(format!("the quote of {name} is not closed")))?;
            line += u64::try_from(whole[..length].matches('\n').count()).unwrap_or(0);
            rest = whole[length..].split_once('\n').map_or("", |(_, after)| after);
            if quote == '"' {
                expand(&inner, &known, &mut Vec::new()).map_err(fail)?
            } else {
                inner
            }
        } else {
            rest = after;
            let plain = value.find(" #").map_or(value, |at| &value[..at]).trim_end();
            expand(plain, &known, &mut Vec::new()).map_err(fail)?
        };
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

/// What stands up to the closing quote, and how many bytes that took with the quote.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inner = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            letter if letter == quote => return Some((inner, at + 1)),
            '\\' if quote == '"' => match letters.next()?.1 {
                'n' => inner.push('\n'),
                'r' => inner.push('\r'),
                't' => inner.push('\t'),
                '$' => inner.push_str("$$"),
                other @ ('"' | '\\') => inner.push(other),
                other => inner.extend(['\\', other]),
            },
            letter => inner.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let lookup = |name: &str| (name == "HOST").then(|| "outer".to_owned());
        let variables = parse(".env", text, &lookup).map_err(|error| error.to_string())?;
        let words: Vec<_> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(words.join("|"))
    }

    #[test]
    fn lines() {
        for (text, expect) in [
            ("", ""),
            ("A=1\n# no\n\nexport B = 2 # yes\nC=a#b\n", "A=1|B=2|C=a#b"),
            ("A=1\nB=$A-${HOST}\nHOST=inner\nC=$HOST", "A=1|B=1-outer|HOST=inner|C=outer"),
            ("A='$B \"x\"' # c\nB=\"a\\n\\\"b\\\" $A\"\n", "A=$B \"x\"|B=a\n\"b\" $B \"x\""),
            ("A=\"two\nlines\"\nB=2", "A=two\nlines|B=2"),
            ("A=\"\\$x\"", "A=$x"),
            ("A\nB=\r\n", "B="),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expect), "{text}");
        }
        for (text, expect) in [
            ("A=1\nB=\"x\n", "read .env:2:1: the quote of B is not closed"),
            ("a b=1", "read .env:1:1: `a b` is no name of a variable"),
            ("A=${B:?gone}", "read .env:1:1: the required variable B has no value: gone"),
        ] {
            assert_eq!(read(text).unwrap_err(), expect, "{text}");
        }
    }
}
