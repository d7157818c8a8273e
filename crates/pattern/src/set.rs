//! An ordered list of patterns.

use crate::ignore_file::Pattern;

/// Patterns in order; the last that matches decides.
#[derive(Clone, Debug, Default)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
}

/// Why a list of patterns is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `!` with nothing behind it.
    #[error("illegal exclusion pattern: \"!\"")]
    EmptyExclusion {
        /// The pattern's index in the list.
        index: usize,
    },
    /// A class or an escape without an end.
    #[error("syntax error in pattern")]
    BadPattern {
        /// The pattern's index in the list.
        index: usize,
    },
}

/// What a list of patterns says about a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether the path is ignored.
    pub ignored: bool,
    /// The index, in the list given to [`PatternSet::new`], of the pattern that decided.
    pub by: Option<usize>,
}

/// Which patterns matched a directory or one of its parents: handed down in a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentState {
    matched: Vec<u64>,
}

impl PatternSet {
    /// Compiles patterns.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self, Error> {
        Ok(Self { patterns: patterns.into_iter().collect() })
    }

    /// Compiles patterns given as text, such as the values of `--exclude`.
    pub fn from_texts<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        Self::new(texts.into_iter().map(|text| Pattern { text: text.as_ref().to_vec(), line: 0 }))
    }

    /// The patterns as given.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether nothing is ever ignored.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern begins with `!`.
    pub fn has_exclusions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.text.first() == Some(&b'!'))
    }

    /// Whether the path, relative and with `/`, or one of its parents is ignored.
    pub fn matches(&self, path: &[u8]) -> Decision {
        let _ = path;
        Decision::default()
    }

    /// The same as [`Self::matches`] for a path whose parent has the state `parent`, and the state to hand down to the
    /// entries below the path. The state of the root is [`ParentState::default`].
    pub fn matches_with_parent(
        &self,
        path: &[u8],
        parent: &ParentState,
    ) -> (Decision, ParentState) {
        (self.matches(path), parent.clone())
    }

    /// Whether something below the ignored directory `dir` could still be taken back; if not, a walk can leave it out.
    pub fn may_match_below(&self, dir: &[u8]) -> bool {
        let _ = dir;
        self.has_exclusions()
    }
}
