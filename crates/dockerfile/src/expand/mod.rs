//! Quotes and variables: from a written word to its value.
//!
//! This follows the word lexer of BuildKit, oddities included, because files in the wild depend on them.

mod evaluate;
mod pattern;
mod word;

use std::collections::BTreeSet;
use std::ops::Range;

use crate::quote::quote;
use evaluate::{Evaluated, Evaluator};
use word::Switches;
pub(crate) use word::heredoc_word;

/// The longest value of a short word: more than a variable can hold in a process, and so little that a word which
/// multiplies itself ends soon.
const MAX_LENGTH: usize = 1 << 20;

/// How much longer than the word itself, the body of a heredoc perhaps, the value of a long one may be.
const MAX_GROWTH: usize = 16;

fn too_long() -> String {
    format!(
        "the value is longer than {MAX_LENGTH} bytes and more than {MAX_GROWTH} times as long as the word"
    )
}

/// Looks up a variable; `None` means that it is not set.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Expands words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent switches of the reference implementation"
)]
pub struct Expander {
    /// The character that escapes.
    pub escape: char,
    /// Keep quotes in the result.
    pub raw_quotes: bool,
    /// Keep escape characters in the result.
    pub raw_escapes: bool,
    /// Keep the text of a variable that is not set.
    pub skip_unset: bool,
    /// Treat quotes like any other character.
    pub skip_process_quotes: bool,
}

/// The value of a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The value as one word.
    pub value: String,
    /// The value split at blanks that are neither quoted nor escaped.
    pub words: Vec<String>,
    /// The variables that were set.
    pub matched: BTreeSet<String>,
    /// The variables that were not.
    pub unmatched: BTreeSet<String>,
}

/// Why a word has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {quoted}: {reason}")]
pub struct ExpandError {
    /// The word, in Go's quotes.
    pub quoted: String,
    /// What is wrong, in the words of the reference implementation.
    pub reason: String,
}

impl Expander {
    /// The expander for words of instructions in a file with this escape character.
    pub const fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            skip_unset: false,
            skip_process_quotes: false,
        }
    }

    /// The expander for the bodies of heredocs: quotes are text, and `\` always escapes.
    pub const fn heredoc() -> Self {
        Self { raw_quotes: true, skip_process_quotes: true, ..Self::new('\\') }
    }

    /// Expands to one word, to several, and tells which variables were used.
    pub fn expand(self, word: &str, env: &Lookup) -> Result<Expanded, ExpandError> {
        self.trace(word, env).0
    }

    /// Expands like [`Self::expand`], but also tells of a word without a value which variables were used before the error.
    pub(crate) fn trace(
        self,
        word: &str,
        env: &Lookup,
    ) -> (Result<Expanded, ExpandError>, BTreeSet<String>, BTreeSet<String>) {
        let (evaluated, matched, unmatched) = self.evaluate(word, env);
        let expanded = evaluated.map(|evaluated| Expanded {
            value: evaluated.value,
            words: evaluated.words.into_iter().map(|(word, _)| word).collect(),
            matched: matched.clone(),
            unmatched: unmatched.clone(),
        });
        (expanded, matched, unmatched)
    }

    /// Splits like [`Self::expand_words`] and tells where in the text each word stands.
    pub(crate) fn words_with_places(
        self,
        word: &str,
        env: &Lookup,
    ) -> Result<Vec<(String, Range<usize>)>, ExpandError> {
        self.evaluate(word, env).0.map(|evaluated| evaluated.words)
    }

    fn evaluate(
        self,
        word: &str,
        env: &Lookup,
    ) -> (Result<Evaluated, ExpandError>, BTreeSet<String>, BTreeSet<String>) {
        let switches = Switches {
            escape: self.escape,
            raw_quotes: self.raw_quotes,
            raw_escapes: self.raw_escapes,
            skip_process_quotes: self.skip_process_quotes,
        };
        let pieces = word::read(word, switches);
        let mut evaluator = Evaluator {
            env,
            skip_unset: self.skip_unset,
            limit: MAX_LENGTH.max(word.len().saturating_mul(MAX_GROWTH)),
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        };
        let evaluated = evaluator
            .evaluate(&pieces)
            .map_err(|failure| ExpandError { quoted: quote(word), reason: failure.reason });
        (evaluated, evaluator.matched, evaluator.unmatched)
    }

    /// Expands to one word.
    pub fn expand_word(self, word: &str, env: &Lookup) -> Result<String, ExpandError> {
        self.expand(word, env).map(|expanded| expanded.value)
    }

    /// Expands and splits at blanks, as `EXPOSE` does.
    pub fn expand_words(self, word: &str, env: &Lookup) -> Result<Vec<String>, ExpandError> {
        self.expand(word, env).map(|expanded| expanded.words)
    }
}
