use dfbuild::Stream;

/// Joins the pieces that a step writes into lines, each stream for itself.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A line that does not end is cut here, so that it cannot take all memory.
const LONGEST: usize = 64 * 1024;

impl LineBuffer {
    /// Adds what was written and returns the lines that it completes, fit for a terminal.
    pub(super) fn add(&mut self, stream: Stream, bytes: &[u8]) -> Vec<String> {
        let pending = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            pending.extend_from_slice(piece);
            if pending.ends_with(b"\n") || pending.len() >= LONGEST {
                lines.push(clean(pending));
                pending.clear();
            }
        }
        lines
    }

    /// What stands in the last line that has no end yet, as that of a progress bar.
    pub(super) fn open_line(&self) -> Option<String> {
        /// As much as a line of a terminal could show of it.
        const MOST: usize = 4096;
        let open = if self.stdout.is_empty() { &self.stderr } else { &self.stdout };
        let line = clean(&open[open.len().saturating_sub(MOST)..]);
        Some(line).filter(|line| !line.trim().is_empty())
    }

    /// Returns the lines that have no end yet.
    pub(super) fn finish(self) -> Vec<String> {
        let rest = [self.stdout, self.stderr].into_iter().filter(|rest| !rest.is_empty());
        rest.map(|rest| clean(&rest)).collect()
    }
}

/// A line as a terminal would leave it, without what moves the cursor, rings or colours: no output
/// of a command may change the terminal or forge our own lines. After a carriage return only the
/// last text counts, so a progress bar shows its end.
pub(super) fn clean(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    let last = line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or("");
    let mut text = String::with_capacity(last.len());
    let mut chars = last.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\t' => text.push(c),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// Skips the rest of an escape sequence (ECMA-48): `[` up to a final byte, `]` and its like up to
/// BEL or ST, others with one final character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            chars.find(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || c == '\u{9c}' {
                    break;
                }
                if c == '\u{1b}' {
                    chars.next_if_eq(&'\\');
                    break;
                }
            }
        }
        Some('\u{20}'..='\u{2f}') => {
            chars.find(|c| ('\u{30}'..='\u{7e}').contains(c));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.add(Stream::Stdout, b"one\ntw"), ["one"]);
        assert!(buffer.add(Stream::Stderr, b"err").is_empty());
        assert_eq!(buffer.add(Stream::Stdout, b"o\n\nthree"), ["two", ""]);
        assert_eq!(buffer.add(Stream::Stderr, b"or\n"), ["error"]);
        assert_eq!(buffer.finish(), ["three"]);
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.add(Stream::Stdout, &vec![b'x'; LONGEST]).len(), 1);
        assert!(buffer.finish().is_empty());
    }

    #[test]
    fn a_character_in_two_pieces_stays_whole() {
        let mut buffer = LineBuffer::default();
        let bytes = "é\n".as_bytes();
        assert!(buffer.add(Stream::Stdout, &bytes[..1]).is_empty());
        assert_eq!(buffer.add(Stream::Stdout, &bytes[1..]), ["é"]);
    }

    #[test]
    fn terminal_control_is_left_out() {
        for (given, expect) in [
            ("plain", "plain"),
            ("a\tb", "a\tb"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bx", "x"),
            ("\u{1b}cx", "x"),
            ("10%\r50%\r100%\r\n", "100%"),
            ("be\u{7}ll\u{8}", "bell"),
            ("\u{9b}31m", "31m"),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(clean(given.as_bytes()), expect, "{given:?}");
        }
        assert_eq!(clean(b"\xff"), "\u{fffd}");
    }
}
