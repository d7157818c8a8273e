use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use dfbuild_image::{Entry, Kind, TreePath};
use dfbuild_layer::{Contents, Index};

use crate::build::Build;
use crate::error::StepError;
use crate::options::SecretLeak;
use crate::redact::trimmed;
use crate::secrets::Secrets;

/// Looks for the values of secrets in the files of a layer, while these are read anyway.
pub(crate) struct Leaks {
    /// None if there is nothing to look for.
    words: Option<Words>,
    found: Mutex<BTreeSet<Leak>>,
}

struct Words {
    automaton: AhoCorasick,
    /// The name of each word's secret.
    ids: Vec<String>,
    /// What of the bytes before may belong to a word that ends in the next ones.
    overlap: usize,
}

/// A file, and the secret that is in it.
pub(crate) type Leak = (TreePath, String);

/// Shorter values are in files by chance.
const SHORTEST: usize = 12;

const BUFFER: usize = 128 << 10;

impl Leaks {
    /// Looks for the secrets of a build, unless it does not care.
    pub(crate) fn of(build: &Build, secrets: &Secrets) -> Self {
        if build.secret_leak == SecretLeak::Off {
            return Self::none();
        }
        let values = secrets.values();
        Self::new(values.iter().map(|(id, value)| ((*id).to_owned(), trimmed(value).to_vec())))
    }

    /// Looks for nothing.
    pub(crate) fn none() -> Self {
        Self { words: None, found: Mutex::default() }
    }

    fn new(secrets: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let long = secrets.into_iter().filter(|(_, value)| value.len() >= SHORTEST);
        let (ids, values): (Vec<String>, Vec<Vec<u8>>) = long.unzip();
        let longest = values.iter().map(Vec::len).max().unwrap_or_default();
        // So many words that there is no automaton for them are no secrets.
        let automaton = AhoCorasick::new(&values).ok().filter(|_| !ids.is_empty());
        let words =
            automaton.map(|automaton| Words { automaton, ids, overlap: longest.saturating_sub(1) });
        Self { words, found: Mutex::default() }
    }

    /// A writer that notices secrets in an archive, but not in which file.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch(self.finder())
    }

    /// The same contents, in which secrets are found when they are read.
    pub(crate) fn contents<'a>(&'a self, inner: &'a dyn Contents) -> impl Contents + 'a {
        WatchedContents { leaks: self, inner }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn are_none(&self) -> bool {
        self.words.is_none()
    }

    /// What was found so far.
    pub(crate) fn found(&self) -> Vec<Leak> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The files with what a watch noticed in their archive.
    pub(crate) fn found_by(
        &self,
        watch: &Watch<'_>,
        index: &Index,
        contents: &dyn Contents,
    ) -> Result<Vec<Leak>, StepError> {
        if watch.0.found.is_empty() { Ok(Vec::new()) } else { self.search(index, contents) }
    }

    /// Reads all files of a layer.
    fn search(&self, index: &Index, contents: &dyn Contents) -> Result<Vec<Leak>, StepError> {
        let watched = self.contents(contents);
        for entry in index.entries() {
            if matches!(entry.kind, Kind::File { size, .. } if size >= SHORTEST as u64) {
                let path = entry.path.to_path();
                let mut file = watched.open(entry).map_err(StepError::io("read", path))?;
                io::copy(&mut file, &mut io::sink()).map_err(StepError::io("read", path))?;
            }
        }
        Ok(self.found())
    }

    fn finder(&self) -> Finder<'_> {
        Finder { words: self.words.as_ref(), tail: Vec::new(), found: BTreeSet::new() }
    }
}

/// A stream in which words are looked for.
struct Finder<'a> {
    words: Option<&'a Words>,
    /// The end of what came before.
    tail: Vec<u8>,
    found: BTreeSet<usize>,
}

impl Finder<'_> {
    fn feed(&mut self, bytes: &[u8]) {
        let Some(words) = self.words else { return };
        let mut look = |text: &[u8]| {
            let matches = words.automaton.find_overlapping_iter(text);
            self.found.extend(matches.map(|found| found.pattern().as_usize()));
        };
        look(bytes);
        if !self.tail.is_empty() {
            self.tail.extend_from_slice(&bytes[..bytes.len().min(words.overlap)]);
            look(&self.tail);
        }
        if bytes.len() >= words.overlap {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - words.overlap..]);
        } else if self.tail.is_empty() {
            self.tail.extend_from_slice(bytes);
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(words.overlap));
        }
    }
}

/// See [`Leaks::watch`].
pub(crate) struct Watch<'a>(Finder<'a>);

impl Write for Watch<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct WatchedContents<'a> {
    leaks: &'a Leaks,
    inner: &'a dyn Contents,
}

impl Contents for WatchedContents<'_> {
    fn file(&self, entry: &Entry) -> io::Result<Option<File>> {
        // What is shared is not read.
        if self.leaks.are_none() { self.inner.file(entry) } else { Ok(None) }
    }

    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        let inner = self.inner.open(entry)?;
        if self.leaks.words.is_none() {
            return Ok(inner);
        }
        let finder = self.leaks.finder();
        let inner = io::BufReader::with_capacity(BUFFER, inner);
        Ok(Box::new(WatchedFile { leaks: self.leaks, finder, inner, path: entry.path.clone() }))
    }
}

struct WatchedFile<'a, R> {
    leaks: &'a Leaks,
    finder: Finder<'a>,
    inner: R,
    path: TreePath,
}

impl<R: Read> Read for WatchedFile<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.finder.feed(&buffer[..count]);
        if let (Some(words), false) = (self.finder.words, self.finder.found.is_empty()) {
            let mut all = self.leaks.found.lock().unwrap_or_else(PoisonError::into_inner);
            let found = std::mem::take(&mut self.finder.found);
            all.extend(found.into_iter().map(|at| (self.path.clone(), words.ids[at].clone())));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaks() -> Leaks {
        Leaks::new([
            ("token".to_owned(), b"hunter2hunter2".to_vec()),
            ("long".to_owned(), b"x hunter2hunter2 y and more".to_vec()),
            ("short".to_owned(), b"hunter2".to_vec()),
        ])
    }

    /// The names of what is found in a text that comes in pieces.
    fn found(pieces: &[&str]) -> Vec<String> {
        let leaks = leaks();
        let mut finder = leaks.finder();
        for piece in pieces {
            finder.feed(piece.as_bytes());
        }
        let words = leaks.words.as_ref().unwrap();
        finder.found.iter().map(|at| words.ids[*at].clone()).collect()
    }

    #[test]
    fn words_are_found_however_they_are_cut() {
        for (text, expect) in [
            ("a hunter2hunter2 b", &["token"][..]),
            ("a hunter2hunter b", &[]),
            ("hunter2", &[]),
            ("a x hunter2hunter2 y and more b", &["token", "long"]),
        ] {
            assert_eq!(found(&[text]), expect, "{text}");
            for cut in 0..=text.len() {
                let (one, two) = text.split_at(cut);
                assert_eq!(found(&[one, two]), expect, "{one}|{two}");
            }
            let bytes: Vec<String> = text.chars().map(String::from).collect();
            let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
            assert_eq!(found(&bytes), expect, "{text} byte by byte");
        }
    }

    #[test]
    fn a_file_is_named() {
        struct Text;
        impl Contents for Text {
            fn open(&self, _: &Entry) -> io::Result<Box<dyn Read + '_>> {
                Ok(Box::new(&b"password=hunter2hunter2\n"[..]))
            }
        }
        let leaks = leaks();
        let digest = dfbuild_image::Digest::of("");
        let file = |path: &str, size| Entry::new(path, Kind::File { size, digest }, 0o644, 0);
        let index = Index::new(vec![file("a", 24), file("small", 5)]).unwrap();
        let found = leaks.search(&index, &Text).unwrap();
        assert_eq!(found, [("a".into(), "token".to_owned())]);
    }
}
