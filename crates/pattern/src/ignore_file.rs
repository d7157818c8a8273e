//! Reading an ignore file.

use crate::clean::clean;

/// One pattern of an ignore file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The pattern in its normal form, with `!` in front if it takes back.
    pub text: Vec<u8>,
    /// The line, from 1; 0 for a pattern that is not from a file.
    pub line: usize,
}

/// Reads the patterns of an ignore file. Comments, blank lines and a byte order mark are left out.
///
/// A comment has its `#` in the first column. Everything else is trimmed, cleaned as Go's `filepath.Clean` does, and
/// loses a leading `/`.
pub fn parse_ignore_file(bytes: &[u8]) -> Vec<Pattern> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.starts_with(b"#"))
        .filter_map(|(index, line)| Some(Pattern { text: normalize(line)?, line: index + 1 }))
        .collect()
}

/// The normal form of a line; nothing for a blank one.
fn normalize(line: &[u8]) -> Option<Vec<u8>> {
    let line = trim(line);
    if line.is_empty() {
        return None;
    }
    let (exclusion, rest) = match line.strip_prefix(b"!") {
        Some(rest) => (true, trim(rest)),
        None => (false, line),
    };
    let mut text = if exclusion { b"!".to_vec() } else { Vec::new() };
    if !rest.is_empty() {
        let cleaned = clean(rest);
        // The root alone stays, so that the matcher sees a path and not nothing.
        text.extend(if cleaned.len() > 1 {
            cleaned.strip_prefix(b"/").unwrap_or(&cleaned)
        } else {
            &cleaned
        });
    }
    Some(text)
}

/// Removes blanks, those outside ASCII too, from both ends.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    match std::str::from_utf8(line) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => line.trim_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_ignore_file;

    fn check(text: &str, expect: &[(&str, usize)]) {
        let patterns = parse_ignore_file(text.as_bytes());
        let found: Vec<_> =
            patterns.iter().map(|it| (str::from_utf8(&it.text).unwrap(), it.line)).collect();
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn comments_and_blanks_are_left_out_and_lines_are_counted() {
        check("\u{feff}#a\n\n b \r\n #c\n", &[("b", 3), ("#c", 4)]);
    }

    #[test]
    fn paths_are_cleaned() {
        check(
            "/a/\n./b//c/..\n///\n! /d/ \n!\n",
            &[("a", 1), ("b", 2), ("/", 3), ("!d", 4), ("!", 5)],
        );
    }
}
