//! Texts in the commands of a GitHub workflow.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

/// A text as a command takes it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Has `write` write what others said: a line of it that looks like a command is none.
pub(crate) fn quoted<W: Write>(
    out: &mut W,
    write: impl FnOnce(&mut W) -> io::Result<()>,
) -> io::Result<()> {
    // Nobody can guess the word that ends it.
    let word = format!("dfbuild-{:x}", RandomState::new().hash_one(()));
    writeln!(out, "::stop-commands::{word}")?;
    write(out)?;
    writeln!(out, "::{word}::")
}

/// The same as the value of a property.
pub(crate) fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_said_is_no_command() {
        let mut out = Vec::new();
        quoted(&mut out, |out| writeln!(out, "::add-mask::x")).unwrap();
        let text = String::from_utf8(out).unwrap();
        let word = text.lines().next().unwrap().strip_prefix("::stop-commands::").unwrap();
        assert!(text.ends_with(&format!("::add-mask::x\n::{word}::\n")), "{text}");
        assert!(word.len() > 12, "{word}");
    }
}
