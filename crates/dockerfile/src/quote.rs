//! Go's double quotes.

/// The text in double quotes with escapes, as Go's `%q` prints it.
pub fn quote(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            char if is_printable(char) => out.push(char),
            char => {
                let code = u32::from(char);
                let written = match code {
                    0..=0x7f => write!(out, "\\x{code:02x}"),
                    0x80..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
                written.expect("writing to a string does not fail");
            }
        }
    }
    out.push('"');
    out
}

/// Go prints letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_control();
    }
    if char.is_whitespace() {
        return false;
    }
    // The standard library knows what is printable, but escapes combining marks at the start of a text only.
    let mut pair = String::from("x");
    pair.push(char);
    pair.escape_debug().nth(1) == Some(char)
}

/// Lists of quoted texts as Go's `%q` prints a list: `["a" "b"]`.
pub fn quote_list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{quote, quote_list};

    #[test]
    fn only_what_go_escapes_is_escaped() {
        assert_eq!(quote("a\"b\\\t\u{1}\u{7f}"), r#""a\"b\\\t\x01\x7f""#);
        assert_eq!(quote("ü☃e\u{301}"), "\"ü☃e\u{301}\"");
        assert_eq!(quote("\u{a0}\u{feff}\u{e0001}"), r#""\u00a0\ufeff\U000e0001""#);
    }

    #[test]
    fn lists_stand_in_brackets() {
        assert_eq!(quote_list(["a", "b c"]), r#"["a" "b c"]"#);
        assert_eq!(quote_list::<&str>([]), "[]");
    }
}
