//! One glob without `**`.

/// Whether the whole of `name` matches `pattern` by the rules of Go's `filepath.Match`: `*` and `?` do not match `/`,
/// `[a-z]` and `[^a-z]` are classes, `\` escapes.
pub fn glob(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    Ok(pattern == name)
}

/// A pattern that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;
