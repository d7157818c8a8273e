//! One glob without `**`.

use crate::utf8::{self, next_char};

/// Whether the whole of `name` matches `pattern` by the rules of Go's `filepath.Match`: `*` and `?` do not match `/`,
/// `[a-z]` and `[^a-z]` are classes, `\` escapes.
///
/// As in Go, a bad pattern is only noticed as far as it is read: the rest of the pattern after the first character that
/// does not match is checked too, but the part behind a `*` is not tried again.
pub fn glob(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern, name);
    'chunks: while !pattern.is_empty() {
        let (star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            // A trailing star matches the rest of the name unless that holds a slash.
            return Ok(!name.contains(&b'/'));
        }
        let here = match_chunk(chunk, name)?;
        if let Some(rest) = here
            && (rest.is_empty() || !pattern.is_empty())
        {
            name = rest;
            continue;
        }
        if star {
            for at in 0..name.len() {
                if name[at] == b'/' {
                    break;
                }
                if let Some(rest) = match_chunk(chunk, &name[at + 1..])? {
                    if pattern.is_empty() && !rest.is_empty() {
                        continue;
                    }
                    name = rest;
                    continue 'chunks;
                }
            }
        }
        // No match, but the rest of the pattern may still be a bad one.
        while !pattern.is_empty() {
            let (_, chunk, rest) = scan_chunk(pattern);
            pattern = rest;
            match_chunk(chunk, b"")?;
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Whether a pattern has only complete classes and escapes.
pub(crate) fn check(pattern: &[u8]) -> Result<(), BadPattern> {
    glob(pattern, b".").map(|_| ())
}

/// A pattern that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Splits off leading stars and the text up to the next star that is neither escaped nor in a class.
fn scan_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let pattern = &pattern[stars..];
    let mut in_class = false;
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' if at + 1 < pattern.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    (stars > 0, &pattern[..at], &pattern[at..])
}

/// Matches a chunk without stars at the start of `name`; what is left of the name if it does.
fn match_chunk<'n>(chunk: &[u8], name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
    let (mut chunk, mut name) = (chunk, name);
    // After the first mismatch only the syntax is checked.
    let mut failed = false;
    while let Some(first) = chunk.first() {
        failed |= name.is_empty();
        match first {
            b'[' => {
                let mut found = None;
                if !failed {
                    let (char, width) = next_char(name);
                    name = &name[width..];
                    found = Some(char);
                }
                let (matched, rest) = match_class(&chunk[1..], found)?;
                chunk = rest;
                failed |= !matched;
            }
            b'?' => {
                if !failed {
                    failed |= name[0] == b'/';
                    name = &name[next_char(name).1..];
                }
                chunk = &chunk[1..];
            }
            first => {
                let mut wanted = *first;
                if wanted == b'\\' {
                    chunk = &chunk[1..];
                    wanted = *chunk.first().ok_or(BadPattern)?;
                }
                if !failed {
                    failed |= name[0] != wanted;
                    name = &name[1..];
                }
                chunk = &chunk[1..];
            }
        }
    }
    Ok(if failed { None } else { Some(name) })
}

/// Reads a class from behind its `[`: whether the character is in it, and the pattern behind its `]`.
fn match_class(class: &[u8], found: Option<u32>) -> Result<(bool, &[u8]), BadPattern> {
    let (negated, mut class) = match class.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, class),
    };
    let mut inside = false;
    let mut ranges = 0;
    loop {
        if let Some(rest) = class.strip_prefix(b"]")
            && ranges > 0
        {
            return Ok((inside != negated, rest));
        }
        let (low, rest) = class_char(class)?;
        class = rest;
        let mut high = low;
        if let Some(rest) = class.strip_prefix(b"-") {
            (high, class) = class_char(rest)?;
        }
        inside |= found.is_some_and(|char| low <= char && char <= high);
        ranges += 1;
    }
}

/// One character of a class, which must not be the last of the pattern.
fn class_char(class: &[u8]) -> Result<(u32, &[u8]), BadPattern> {
    let class = match class.first() {
        None | Some(b'-' | b']') => return Err(BadPattern),
        Some(b'\\') if class.len() == 1 => return Err(BadPattern),
        Some(b'\\') => &class[1..],
        Some(_) => class,
    };
    let (char, width) = next_char(class);
    let rest = &class[width..];
    if (char == utf8::REPLACEMENT && width == 1) || rest.is_empty() {
        return Err(BadPattern);
    }
    Ok((char, rest))
}

#[cfg(test)]
mod tests {
    use super::{BadPattern, glob};

    fn check(pattern: &str, name: &str, expect: bool) {
        assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), Ok(expect), "{pattern} {name}");
    }

    #[test]
    fn stars_stay_within_one_name() {
        check("*", "", true);
        check("*", "one", true);
        check("*", "one/two", false);
        check("one/*", "one/two", true);
        check("*.c", "a.c", true);
        check("*.c", "d/a.c", false);
        check("x*y*z", "xAyByCz", true);
        check("x*y*z", "xAyB", false);
    }

    #[test]
    fn question_marks_match_one_character() {
        check("?", "ü", true);
        check("??", "ü", false);
        check("a?b", "a/b", false);
    }

    #[test]
    fn classes_hold_ranges_and_escapes() {
        check("[f-h]", "g", true);
        check("[^f-h]", "g", false);
        check("[^f-h]", "ü", true);
        check("[\\]x]", "]", true);
    }

    #[test]
    fn bytes_that_are_no_text_match_themselves() {
        assert_eq!(glob(b"a\xffb", b"a\xffb"), Ok(true));
        assert_eq!(glob(b"a?b", b"a\xffb"), Ok(true));
    }

    #[test]
    fn incomplete_patterns_are_errors_even_after_a_mismatch() {
        for pattern in ["[", "[a", "[a-", "[]a]", "[-x]", "q\\", "nomatch[", "x*[y"] {
            assert_eq!(glob(pattern.as_bytes(), b"q"), Err(BadPattern), "{pattern}");
        }
    }
}
