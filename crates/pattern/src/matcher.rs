//! One compiled pattern, `**` included.

use crate::utf8::{REPLACEMENT, next_char};

/// A compiled pattern without its `!`.
///
/// moby turns a pattern into a comparison where it can, and into a regular expression otherwise. The kinds here are the
/// same, because they differ in more than speed: `a/**` compares beginnings, so it matches `a/` but not `a`.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    /// The path is this.
    Exact(Vec<u8>),
    /// The path begins with this.
    Prefix(Vec<u8>),
    /// The path ends with this, or is this without its leading slash.
    Suffix(Vec<u8>),
    /// The path is matched by all of these in order.
    Tokens(Vec<Token>),
}

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    /// These bytes.
    Literal(Vec<u8>),
    /// `?`: one character that is no slash.
    One,
    /// `*`: any number of characters that are no slash.
    Star,
    /// `**` at the end: anything.
    Deep,
    /// `**/` or `**` before something else: nothing, or anything up to a slash.
    DeepDirectories,
    /// `[a-z]`.
    Class(Class),
    /// `^` outside a class, which the regular expression takes for the start of the path.
    Start,
}

/// A character class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    negated: bool,
    ranges: Vec<(u32, u32)>,
}

impl Class {
    fn holds(&self, char: u32) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&char)) != self.negated
    }
}

impl Matcher {
    /// Compiles a pattern that [`crate::glob::check`] has accepted.
    pub(crate) fn compile(pattern: &[u8]) -> Self {
        let tokens = tokenize(pattern);
        match tokens.as_slice() {
            [] => Self::Exact(Vec::new()),
            _ if !pattern.contains(&b'*') && literal_only(&tokens) && !pattern.contains(&b'\\') => {
                Self::Exact(pattern.to_vec())
            }
            [Token::Deep] => Self::Suffix(Vec::new()),
            [Token::DeepDirectories, rest @ ..]
                if literal_only(rest) && !pattern.contains(&b'\\') =>
            {
                Self::Suffix(pattern[2..].to_vec())
            }
            [rest @ .., Token::Deep] if literal_only(rest) && !pattern.contains(&b'\\') => {
                Self::Prefix(pattern[..pattern.len() - 2].to_vec())
            }
            _ => Self::Tokens(tokens),
        }
    }

    /// Whether the whole of `path` matches.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text),
            Self::Suffix(text) => path.ends_with(text) || text.strip_prefix(b"/") == Some(path),
            Self::Tokens(tokens) => {
                may_match(tokens, path) && Walk::new(tokens, path).reaches_end()
            }
        }
    }

    /// Whether a path that begins with `prefix` could match.
    pub(crate) fn could_match_after(&self, prefix: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.len() > prefix.len() && text.starts_with(prefix),
            Self::Prefix(text) => text.starts_with(prefix) || prefix.starts_with(text),
            Self::Suffix(_) => true,
            Self::Tokens(tokens) => Walk::new(tokens, prefix).survives(),
        }
    }
}

fn literal_only(tokens: &[Token]) -> bool {
    tokens.iter().all(|token| matches!(token, Token::Literal(_) | Token::Start))
}

/// Looks at the fixed text at both ends, which rules out most paths.
fn may_match(tokens: &[Token], path: &[u8]) -> bool {
    let starts = match tokens.first() {
        Some(Token::Literal(text)) => path.starts_with(text),
        _ => true,
    };
    let ends = match tokens.last() {
        Some(Token::Literal(text)) => path.ends_with(text),
        _ => true,
    };
    starts && ends
}

fn tokenize(pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        at += 1;
        match byte {
            b'*' if pattern.get(at) == Some(&b'*') => {
                at += 1;
                if pattern.get(at) == Some(&b'/') {
                    at += 1;
                }
                tokens.push(if at == pattern.len() { Token::Deep } else { Token::DeepDirectories });
            }
            b'*' => tokens.push(Token::Star),
            b'?' => tokens.push(Token::One),
            b'[' => {
                let (class, end) = read_class(pattern, at);
                at = end;
                tokens.push(Token::Class(class));
            }
            b'^' => tokens.push(Token::Start),
            b'\\' if at < pattern.len() => {
                push_literal(&mut tokens, pattern[at]);
                at += 1;
            }
            byte => push_literal(&mut tokens, *byte),
        }
    }
    tokens
}

fn push_literal(tokens: &mut Vec<Token>, byte: u8) {
    if let Some(Token::Literal(text)) = tokens.last_mut() {
        text.push(byte);
    } else {
        tokens.push(Token::Literal(vec![byte]));
    }
}

/// Reads a class from behind its `[`; the class and the offset behind its `]`.
fn read_class(pattern: &[u8], mut at: usize) -> (Class, usize) {
    let mut class = Class::default();
    if pattern.get(at) == Some(&b'^') {
        class.negated = true;
        at += 1;
    }
    while at < pattern.len() {
        if pattern[at] == b']' && !class.ranges.is_empty() {
            return (class, at + 1);
        }
        let (low, next) = read_class_char(pattern, at);
        (class, at) = if pattern.get(next) == Some(&b'-') && next + 1 < pattern.len() {
            let (high, next) = read_class_char(pattern, next + 1);
            class.ranges.push((low, high));
            (class, next)
        } else {
            class.ranges.push((low, low));
            (class, next)
        };
    }
    (class, at)
}

fn read_class_char(pattern: &[u8], at: usize) -> (u32, usize) {
    let at = if pattern[at] == b'\\' && at + 1 < pattern.len() { at + 1 } else { at };
    let (char, width) = next_char(&pattern[at..]);
    (char, at + width)
}

/// All places in a path that a list of tokens can reach at the same time, so that no pattern takes exponential time.
struct Walk<'a> {
    tokens: &'a [Token],
    path: &'a [u8],
    places: Vec<bool>,
    /// Whether a token wanted more than the path has.
    ran_out: bool,
}

impl<'a> Walk<'a> {
    fn new(tokens: &'a [Token], path: &'a [u8]) -> Self {
        let mut places = vec![false; path.len() + 1];
        places[0] = true;
        Self { tokens, path, places, ran_out: false }
    }

    fn reaches_end(mut self) -> bool {
        self.tokens.iter().all(|token| self.step(token)) && self.places[self.path.len()]
    }

    /// Whether some longer path could still match.
    fn survives(mut self) -> bool {
        for token in self.tokens {
            if self.places[self.path.len()] || self.ran_out {
                return true;
            }
            if !self.step(token) {
                break;
            }
        }
        // A match that ends right here does not go on below.
        self.ran_out
    }

    /// Moves all places over a token; whether any is left.
    fn step(&mut self, token: &Token) -> bool {
        let path = self.path;
        let mut next = vec![false; path.len() + 1];
        // Where a run of `*` or `**` is open.
        let mut open = false;
        for at in 0..=path.len() {
            let here = self.places[at];
            match token {
                Token::Literal(text) => {
                    if here && path[at..].starts_with(text) {
                        next[at + text.len()] = true;
                    }
                    self.ran_out |=
                        here && text.len() > path.len() - at && text.starts_with(&path[at..]);
                }
                Token::One => {
                    self.step_char(here, at, &mut next, |char| char != u32::from(b'/'));
                }
                Token::Class(class) => {
                    self.step_char(here, at, &mut next, |char| class.holds(char));
                }
                Token::Star => {
                    open |= here;
                    next[at] = open;
                    open &= path.get(at) != Some(&b'/');
                }
                Token::Deep => {
                    open |= here;
                    next[at] = open;
                    open &= path.get(at) != Some(&b'\n');
                    self.ran_out |= at == path.len() && open;
                }
                Token::DeepDirectories => {
                    next[at] = here || (open && at > 0 && path[at - 1] == b'/');
                    open |= here;
                    open &= path.get(at) != Some(&b'\n');
                    self.ran_out |= at == path.len() && open;
                }
                Token::Start => next[at] = here && at == 0,
            }
        }
        self.places = next;
        self.ran_out || self.places.contains(&true)
    }

    fn step_char(
        &mut self,
        here: bool,
        at: usize,
        next: &mut [bool],
        accepts: impl Fn(u32) -> bool,
    ) {
        if !here {
            return;
        }
        let rest = &self.path[at..];
        if rest.is_empty() {
            self.ran_out = true;
            return;
        }
        let (char, width) = next_char(rest);
        debug_assert!(char != REPLACEMENT || width == 1 || width == 3);
        if accepts(char) {
            next[at + width] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Matcher;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let matcher = Matcher::compile(pattern.as_bytes());
        for path in yes {
            assert!(matcher.matches(path.as_bytes()), "{pattern} should match {path}");
        }
        for path in no {
            assert!(!matcher.matches(path.as_bytes()), "{pattern} should not match {path}");
        }
    }

    #[test]
    fn double_stars_cross_directories() {
        check("**", &["x", "x/y"], &[]);
        check("x/**", &["x/y", "x/y/z", "x/"], &["x", "xy"]);
        check("**/x", &["x", "a/x", "a/b/x"], &["ax", "x/a"]);
        check("**x", &["x", "ax", "a/bx"], &["xa"]);
        check("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["az", "a/bz"]);
        check("a**/*.z", &["a.z", "ab/q.z", "a/b/c.z"], &["b/a.z"]);
        check("**/a/**", &["a/b", "x/a/b/c"], &["a", "x/a"]);
        check("x**", &["x", "xy", "x/y"], &["yx"]);
    }

    #[test]
    fn special_characters_of_regular_expressions_are_text() {
        check("a.b+(c)|{d}$", &["a.b+(c)|{d}$"], &["axb+(c)|{d}$"]);
        check("a.?", &["a.b"], &["abc"]);
        check("a\\*", &["a*"], &["ab"]);
    }

    #[test]
    fn a_caret_is_text_only_without_other_magic() {
        check("^a", &["^a"], &["a"]);
        check("^a*", &["a", "ab"], &["^a"]);
    }

    #[test]
    fn classes_match_one_character() {
        check("[a-cx]*", &["a", "x1"], &["d", ""]);
        check("[^a]", &["b", "ü"], &["a", "bb"]);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(40);
        check(&pattern, &[], &[&"a".repeat(39), &format!("{}b", "a".repeat(4000))]);
    }

    #[test]
    fn prefixes_tell_what_may_follow() {
        let could = |pattern: &str, prefix: &str| {
            Matcher::compile(pattern.as_bytes()).could_match_after(prefix.as_bytes())
        };
        assert!(could("a/b/c", "a/"));
        assert!(could("a/b/c", "a/b/"));
        assert!(!could("a/b/c", "a/b/c/"));
        assert!(!could("a/b/c", "ab/"));
        assert!(could("**/x", "a/"));
        assert!(could("a/**/x?", "a/b/"));
        assert!(!could("a/**/x?", "b/"));
        assert!(could("*/b", "a/"));
        assert!(!could("*/b", "a/b/"));
        assert!(!could("*.md", "docs/"));
        assert!(could("a/*", "a/"));
    }
}
