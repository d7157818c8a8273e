use std::collections::VecDeque;

use crate::secrets::Secrets;

/// What stands in the place of a secret.
const MARK: &[u8] = b"***";

/// Shorter values are in texts by chance.
const SHORTEST: usize = 8;

/// The values of secrets that must not be shown, ready to be looked for in streams.
#[derive(Debug, Default)]
pub(crate) struct Redaction {
    words: Vec<Word>,
    /// Which bytes a word begins with: all others are passed on at once.
    begins: Vec<bool>,
}

/// A value, with the table of Knuth, Morris and Pratt: how much of it is still there when the byte
/// after the first `n` is another one.
struct Word {
    bytes: Vec<u8>,
    table: Vec<usize>,
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Word(..)")
    }
}

impl Redaction {
    /// Looks for the values of all secrets of a build that were read so far or can be.
    pub(crate) fn of(secrets: &Secrets) -> Self {
        Self::new(secrets.values().iter().map(|(_, value)| trimmed(value).to_vec()))
    }

    fn new(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let values = values.into_iter().filter(|value| value.len() >= SHORTEST);
        let words: Vec<Word> = values.map(Word::new).collect();
        let mut begins = vec![false; 256];
        for word in &words {
            begins[usize::from(word.bytes[0])] = true;
        }
        Self { words, begins }
    }

    /// Begins a stream.
    pub(crate) fn stream(&self) -> Redacting<'_> {
        Redacting {
            redaction: self,
            found: vec![0; self.words.len()],
            held: VecDeque::new(),
            in_secret: false,
        }
    }
}

/// The end of a line is not part of a secret: `$(cat …)` does not show it.
pub(crate) fn trimmed(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

impl Word {
    fn new(bytes: Vec<u8>) -> Self {
        let mut table = vec![0; bytes.len()];
        let mut length = 0;
        for at in 1..bytes.len() {
            while length > 0 && bytes[at] != bytes[length] {
                length = table[length - 1];
            }
            length += usize::from(bytes[at] == bytes[length]);
            table[at] = length;
        }
        Self { bytes, table }
    }

    /// How much of the word the stream ends with after one more byte.
    fn after(&self, found: usize, byte: u8) -> usize {
        let mut length = if found == self.bytes.len() { self.table[found - 1] } else { found };
        while length > 0 && self.bytes[length] != byte {
            length = self.table[length - 1];
        }
        length + usize::from(self.bytes[length] == byte)
    }
}

/// A stream without secrets. What may be the beginning of one is held back until that is clear.
#[derive(Debug)]
pub(crate) struct Redacting<'a> {
    redaction: &'a Redaction,
    /// How much of each word the stream ends with.
    found: Vec<usize>,
    /// What is not passed on yet, and whether each byte is part of a secret.
    held: VecDeque<(u8, bool)>,
    /// Whether the last byte that was passed on was part of a secret, whose mark is there.
    in_secret: bool,
}

impl Redacting<'_> {
    /// Takes the next bytes; returns what can be shown now.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.redaction.words.is_empty() {
            return bytes.to_vec();
        }
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.held.is_empty() && !self.redaction.begins[usize::from(byte)] {
                shown.push(byte);
                self.in_secret = false;
                continue;
            }
            self.take(byte, &mut shown);
        }
        shown
    }

    /// What was held back, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        self.release(0, &mut shown);
        shown
    }

    fn take(&mut self, byte: u8, shown: &mut Vec<u8>) {
        self.held.push_back((byte, false));
        let mut keep = 0;
        for (word, found) in self.redaction.words.iter().zip(&mut self.found) {
            *found = word.after(*found, byte);
            keep = keep.max(*found);
            if *found == word.bytes.len() {
                let begin = self.held.len() - word.bytes.len();
                self.held.range_mut(begin..).for_each(|(_, hidden)| *hidden = true);
            }
        }
        self.release(keep, shown);
    }

    /// Passes on all but the last `keep` bytes.
    fn release(&mut self, keep: usize, shown: &mut Vec<u8>) {
        let count = self.held.len() - keep;
        for (byte, hidden) in self.held.drain(..count) {
            match (hidden, self.in_secret) {
                (false, _) => shown.push(byte),
                (true, false) => shown.extend_from_slice(MARK),
                (true, true) => {}
            }
            self.in_secret = hidden;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str], chunks: &[&str]) -> String {
        let redaction = Redaction::new(words.iter().map(|word| word.as_bytes().to_vec()));
        let mut stream = redaction.stream();
        let mut all: Vec<u8> = chunks.iter().flat_map(|it| stream.next(it.as_bytes())).collect();
        all.extend(stream.finish());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn secrets_are_hidden_however_they_are_cut() {
        for (words, text, expect) in [
            (&["hunter2hunter2"][..], "a hunter2hunter2 b", "a *** b"),
            (&["hunter2hunter2"], "hunter2hunter", "hunter2hunter"),
            (&["hunter2hunter2"], "hunter2hunter2hunter2", "***"),
            (&["hunter2hunter2"], "hunter2hunter2, hunter2hunter2", "***, ***"),
            (&["aaaaaaab"], "aaaaaaaaaaab", "aaaa***"),
            (&["abcdefgh", "cdefghijkl"], "abcdefghijkl!", "***!"),
            (&["abcdefgh", "cdefghijkl"], "abcdefghij!", "***ij!"),
            (&["abcdefghijkl", "cdefghij"], "abcdefghijk.", "ab***k."),
            (&["line one\nline two"], "x\nline one\nline two\n", "x\n***\n"),
            (&["short"], "short", "short"),
            (&[], "hunter2", "hunter2"),
        ] {
            assert_eq!(shown(words, &[text]), expect, "{text}");
            for cut in 0..=text.len() {
                let (one, two) = text.split_at(cut);
                assert_eq!(shown(words, &[one, two]), expect, "{one}|{two}");
            }
            let bytes: Vec<String> = text.chars().map(String::from).collect();
            let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
            assert_eq!(shown(words, &bytes), expect, "{text} byte by byte");
        }
    }

    #[test]
    fn what_can_be_no_secret_is_shown_at_once() {
        let redaction = Redaction::new([b"hunter2hunter2".to_vec()]);
        let mut stream = redaction.stream();
        assert_eq!(stream.next(b"password: "), b"password: ");
        assert_eq!(stream.next(b"say hunt"), b"say ");
        assert_eq!(stream.next(b"ing"), b"hunting");
    }
}
