//! The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.

use super::word::template_name;

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// `*`: any text without a newline.
    Any,
    /// `?`: any character but a newline.
    One,
    /// This character.
    Char(char),
}

/// The longest pattern. Matching takes a step for each character of it and of the value.
const MAX_PATTERN: usize = 2048;

/// Why a substitution has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Nothing can be escaped but what is special.
    Escape { pattern: String, escaped: char },
    /// The pattern is too long.
    Pattern,
    /// The result is too long: substitutions in substitutions multiply.
    Result,
}

impl Problem {
    /// The text of the error.
    pub(super) fn in_substitution(&self) -> String {
        match self {
            Self::Escape { pattern, escaped } => {
                format!("invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")
            }
            Self::Pattern => {
                format!("a pattern in substitution is longer than {MAX_PATTERN} characters")
            }
            Self::Result => super::too_long(),
        }
    }
}

/// Removes the shortest or longest match from the start.
pub(super) fn trim_prefix(value: &str, pattern: &str, longest: bool) -> Result<String, Problem> {
    let tokens = read(pattern)?;
    let end = match_at(&tokens, value, longest).unwrap_or(0);
    Ok(value[end..].to_owned())
}

/// Removes the shortest or longest match from the end: both texts are reversed, as in the reference implementation.
pub(super) fn trim_suffix(value: &str, pattern: &str, longest: bool) -> Result<String, Problem> {
    let reversed: String = value.chars().rev().collect();
    let trimmed = trim_prefix(&reversed, &reverse_pattern(pattern), longest)?;
    Ok(trimmed.chars().rev().collect())
}

/// Replaces the first match, or every match. In the latter case the replacement is a template of Go's `regexp`.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    replacement: &str,
    all: bool,
    limit: usize,
) -> Result<String, Problem> {
    let ends = longest_ends(&read(pattern)?, value);
    let find = |from: usize| {
        let found = ends[from..].iter().position(Option::is_some)?;
        Some((from + found, ends[from + found]?))
    };
    if !all {
        return Ok(match find(0) {
            Some((start, end)) => [&value[..start], replacement, &value[end..]].concat(),
            None => value.to_owned(),
        });
    }
    let mut out = String::new();
    let mut done = 0;
    let mut search = 0;
    while search <= value.len() {
        let Some((start, end)) = find(search) else { break };
        out.push_str(&value[done..start]);
        // An empty match right behind the last one does not count.
        if end > done || start == 0 {
            push_template(&mut out, replacement, &value[start..end]);
        }
        if out.len() > limit {
            return Err(Problem::Result);
        }
        done = end;
        let next = value[search..].chars().next().map_or(1, char::len_utf8);
        search = end.max(search + next);
    }
    out.push_str(&value[done..]);
    Ok(out)
}

/// Appends a template in which `$0` is the match and every other name is nothing.
fn push_template(out: &mut String, template: &str, found: &str) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Ok((after, name)) = template_name(after) {
            if name == "0" {
                out.push_str(found);
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
}

fn read(pattern: &str) -> Result<Vec<Token>, Problem> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        tokens.push(match char {
            '*' => Token::Any,
            '?' => Token::One,
            // These two need an escape only because of the braces around the pattern.
            '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\')) => Token::Char(escaped),
                other => {
                    let escaped = other.unwrap_or('\u{fffd}');
                    return Err(Problem::Escape { pattern: pattern.to_owned(), escaped });
                }
            },
            char => Token::Char(char),
        });
    }
    if tokens.len() > MAX_PATTERN { Err(Problem::Pattern) } else { Ok(tokens) }
}

/// The end of the shortest or longest match at the start of a value.
fn match_at(tokens: &[Token], value: &str, longest: bool) -> Option<usize> {
    let mut places = vec![false; value.len() + 1];
    places[0] = true;
    for token in tokens {
        let mut next = vec![false; value.len() + 1];
        let mut open = false;
        for (at, char) in
            value.char_indices().map(|(at, char)| (at, Some(char))).chain([(value.len(), None)])
        {
            let here = places[at];
            match token {
                Token::Any => {
                    open |= here;
                    next[at] = open;
                    open &= char != Some('\n');
                }
                Token::One | Token::Char(_) if here => {
                    let accepts = match token {
                        Token::Char(wanted) => char == Some(*wanted),
                        _ => char.is_some_and(|char| char != '\n'),
                    };
                    if let (true, Some(char)) = (accepts, char) {
                        next[at + char.len_utf8()] = true;
                    }
                }
                Token::One | Token::Char(_) => {}
            }
        }
        places = next;
    }
    if longest {
        places.iter().rposition(|here| *here)
    } else {
        places.iter().position(|here| *here)
    }
}

/// Where the longest match that begins at each byte of a value ends. It goes through the tokens from the last one, so one
/// pass for each token finds all of them.
fn longest_ends(tokens: &[Token], value: &str) -> Vec<Option<usize>> {
    let mut ends: Vec<Option<usize>> = (0..=value.len())
        .map(|at| if value.is_char_boundary(at) { Some(at) } else { None })
        .collect();
    for token in tokens.iter().rev() {
        let mut behind = ends[value.len()];
        // At the end only a star matches.
        if *token != Token::Any {
            ends[value.len()] = None;
        }
        // What the characters from here on can be, up to the longest end.
        let mut star = behind;
        for (at, char) in value.char_indices().rev() {
            let here = ends[at];
            ends[at] = match token {
                Token::Any => {
                    star = if char == '\n' { here } else { star.max(here) };
                    star
                }
                Token::One if char != '\n' => behind,
                Token::Char(wanted) if char == *wanted => behind,
                Token::One | Token::Char(_) => None,
            };
            behind = here;
        }
    }
    ends
}

/// Reverses a pattern, but not the order within an escape.
fn reverse_pattern(pattern: &str) -> String {
    let mut units = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        let escaped = if char == '\\' { chars.next() } else { None };
        units.push((char, escaped));
    }
    units.into_iter().rev().flat_map(|(char, escaped)| [Some(char), escaped]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::{trim_prefix, trim_suffix};

    fn replace(
        value: &str,
        pattern: &str,
        replacement: &str,
        all: bool,
    ) -> Result<String, super::Problem> {
        super::replace(value, pattern, replacement, all, 100)
    }

    #[test]
    fn prefixes_are_cut_short_or_long() {
        assert_eq!(trim_prefix("a.b.c", "*.", false).unwrap(), "b.c");
        assert_eq!(trim_prefix("a.b.c", "*.", true).unwrap(), "c");
        assert_eq!(trim_prefix("a.b.c", "x", true).unwrap(), "a.b.c");
        assert_eq!(trim_prefix("*b", "\\*", false).unwrap(), "b");
        assert_eq!(trim_prefix("a\nb", "*b", false).unwrap(), "a\nb", "a star ends at a newline");
    }

    #[test]
    fn suffixes_are_cut_short_or_long() {
        assert_eq!(trim_suffix("a.b.c", ".*", false).unwrap(), "a.b");
        assert_eq!(trim_suffix("a.b.c", ".*", true).unwrap(), "a");
        assert_eq!(trim_suffix("ab?", "\\?", false).unwrap(), "ab");
        let error = trim_suffix("ab", "\\.x", false).unwrap_err();
        assert_eq!(
            error.in_substitution(),
            "invalid pattern (x\\.) in substitution: invalid escape '\\.'"
        );
    }

    #[test]
    fn one_or_all_matches_are_replaced() {
        assert_eq!(replace("a-b-c", "-", "+", false).unwrap(), "a+b-c");
        assert_eq!(replace("a-b-c", "-", "+", true).unwrap(), "a+b+c");
        assert_eq!(replace("abc", "", "_", false).unwrap(), "_abc");
        assert_eq!(replace("abc", "", "_", true).unwrap(), "_a_b_c_");
        assert_eq!(replace("a/b", "\\/", ":", true).unwrap(), "a:b");
        assert_eq!(replace("x12y", "1*2", "-", true).unwrap(), "x-y");
        assert_eq!(replace("x12\n12y", "1*y", "-", true).unwrap(), "x12\n-");
        assert_eq!(replace("a\nb\n", "*", "-", true).unwrap(), "-\n-\n-");
        assert_eq!(replace("äbäb", "?b", "<$0>", true).unwrap(), "<äb><äb>");
        assert_eq!(replace("äbäb", "ä*b", "-", false).unwrap(), "-");
        assert_eq!(replace("abab", "b?", "-", false).unwrap(), "a-b");
    }

    #[test]
    fn there_is_an_end_to_growing() {
        assert!(replace("abcdefghij", "?", "0123456789", true).is_ok());
        assert_eq!(replace("abcdefghijk", "?", "0123456789", true), Err(super::Problem::Result));
        let long = "?".repeat(2049);
        assert_eq!(replace("a", &long, "", true), Err(super::Problem::Pattern));
    }

    #[test]
    fn only_replacing_all_takes_a_template() {
        assert_eq!(replace("ab", "b", "$0$1$$", false).unwrap(), "a$0$1$$");
        assert_eq!(replace("ab", "b", "<$0$1${0}$$>", true).unwrap(), "a<bb$>");
        assert_eq!(replace("ab", "b", "$-${0", true).unwrap(), "a$-${0");
    }
}
