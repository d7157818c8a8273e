//! An ordered list of patterns.

use crate::clean::clean;
use crate::glob;
use crate::ignore_file::{Pattern, trim};
use crate::matcher::Matcher;

/// Patterns in order; the last that matches decides.
#[derive(Clone, Debug, Default)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
    compiled: Vec<Compiled>,
}

#[derive(Clone, Debug)]
struct Compiled {
    /// The index in the list as given, which may hold blank patterns too.
    index: usize,
    exclusion: bool,
    matcher: Matcher,
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
    /// One bit for each compiled pattern; no words at all if nothing is known of the parents.
    matched: Vec<u64>,
}

impl ParentState {
    fn with_room_for(patterns: usize) -> Self {
        Self { matched: vec![0; patterns.div_ceil(64).max(1)] }
    }

    fn get(&self, pattern: usize) -> bool {
        self.matched.get(pattern / 64).is_some_and(|word| word >> (pattern % 64) & 1 == 1)
    }

    fn set(&mut self, pattern: usize) {
        self.matched[pattern / 64] |= 1 << (pattern % 64);
    }
}

impl PatternSet {
    /// Compiles patterns. Blank ones are passed over.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self, Error> {
        let patterns: Vec<Pattern> = patterns.into_iter().collect();
        let mut compiled = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            compiled.extend(compile(index, &pattern.text)?);
        }
        Ok(Self { patterns, compiled })
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
        self.compiled.is_empty()
    }

    /// Whether a pattern begins with `!`.
    pub fn has_exclusions(&self) -> bool {
        self.compiled.iter().any(|pattern| pattern.exclusion)
    }

    /// Whether the path, relative and with `/`, or one of its parents is ignored.
    ///
    /// The root itself, `.` or nothing, is never ignored. This is moby's `MatchesOrParentMatches`.
    pub fn matches(&self, path: &[u8]) -> Decision {
        self.matches_with_parent(path, &ParentState::default()).0
    }

    /// What a walk decides about a path whose parent has the state `parent`, and the state to hand down to the entries
    /// below the path. The state of the root is [`ParentState::default`]. This is moby's `MatchesUsingParentResults`,
    /// which decides what a context holds.
    ///
    /// It differs from [`Self::matches`] in one case, as moby does: a `!` pattern is not tried on a directory that is not
    /// ignored, so with `**/*.log` and `!keep` a walk ignores `keep/a.log`, but the single question does not.
    pub fn matches_with_parent(
        &self,
        path: &[u8],
        parent: &ParentState,
    ) -> (Decision, ParentState) {
        let path = without_final_slashes(path);
        let mut decision = Decision::default();
        if path.is_empty() || path == b"." {
            return (decision, ParentState::default());
        }
        let mut state = ParentState::with_room_for(self.compiled.len());
        for (at, pattern) in self.compiled.iter().enumerate() {
            // A pattern that could not change the outcome is not tried, unless a parent has already matched it.
            let matched = parent.get(at)
                || (pattern.exclusion == decision.ignored
                    && (pattern.matcher.matches(path)
                        || (parent.matched.is_empty()
                            && parents(path).any(|it| pattern.matcher.matches(it)))));
            if !matched {
                continue;
            }
            state.set(at);
            if pattern.exclusion == decision.ignored {
                decision = Decision { ignored: !pattern.exclusion, by: Some(pattern.index) };
            }
        }
        (decision, state)
    }

    /// Whether something below the ignored directory `dir` could still be taken back; if not, a walk can leave it out.
    ///
    /// True for a directory that is not ignored.
    pub fn may_match_below(&self, dir: &[u8]) -> bool {
        let dir = without_final_slashes(dir);
        let decision = self.matches(dir);
        if !decision.ignored {
            return true;
        }
        // What ignores the directory ignores everything below, so only later patterns can take something back.
        let below = [dir, b"/"].concat();
        self.compiled
            .iter()
            .filter(|pattern| pattern.exclusion && Some(pattern.index) > decision.by)
            .any(|pattern| pattern.matcher.could_match_after(&below))
    }
}

fn compile(index: usize, text: &[u8]) -> Result<Option<Compiled>, Error> {
    let text = trim(text);
    if text.is_empty() {
        return Ok(None);
    }
    let text = clean(text);
    let (exclusion, text) = match text.strip_prefix(b"!") {
        Some([]) => return Err(Error::EmptyExclusion { index }),
        Some(rest) => (true, rest),
        None => (false, text.as_slice()),
    };
    glob::check(text).map_err(|_| Error::BadPattern { index })?;
    Ok(Some(Compiled { index, exclusion, matcher: Matcher::compile(text) }))
}

fn without_final_slashes(path: &[u8]) -> &[u8] {
    let mut path = path;
    while path.len() > 1
        && let Some(rest) = path.strip_suffix(b"/")
    {
        path = rest;
    }
    path
}

/// All directories above a path, the outermost first.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::{Error, ParentState, PatternSet};

    fn set(patterns: &[&str]) -> PatternSet {
        PatternSet::from_texts(patterns).unwrap()
    }

    fn check(patterns: &[&str], path: &str, ignored: bool, by: Option<usize>) {
        let set = set(patterns);
        let decision = set.matches(path.as_bytes());
        assert_eq!((decision.ignored, decision.by), (ignored, by), "{patterns:?} {path}");
        // A walk that hands the state down must come to the same result.
        let mut state = ParentState::default();
        let mut walked = decision;
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            (walked, state) = set.matches_with_parent(&path.as_bytes()[..end], &state);
        }
        assert_eq!(walked, decision, "{patterns:?} {path} in a walk");
    }

    #[test]
    fn a_parent_takes_its_children_along() {
        check(&["logs"], "logs/today/a.log", true, Some(0));
        check(&["logs"], "my/logs", false, None);
        check(&["", "logs"], "logs", true, Some(1));
    }

    #[test]
    fn the_last_match_decides() {
        check(&["logs", "!logs/keep"], "logs/keep/a", false, Some(1));
        check(&["logs", "!logs/keep", "logs/keep/a"], "logs/keep/a", true, Some(2));
        check(&["!logs/keep", "logs"], "logs/keep", true, Some(1));
        check(&["**", "!*.md"], "a/b.md", true, Some(0));
        check(&["**", "!**/*.md"], "a/b.md", false, Some(1));
    }

    #[test]
    fn the_root_is_never_ignored() {
        check(&["**", "."], ".", false, None);
    }

    #[test]
    fn directories_are_left_out_if_nothing_below_can_return() {
        let patterns = set(&["a", "!a/keep/*.txt", "b", "!c/x", "c"]);
        assert!(patterns.may_match_below(b"a"));
        assert!(patterns.may_match_below(b"a/keep"));
        assert!(!patterns.may_match_below(b"a/other"));
        assert!(!patterns.may_match_below(b"b"));
        assert!(!patterns.may_match_below(b"c"), "the exclusion comes before");
        assert!(patterns.may_match_below(b"d"), "not ignored at all");
    }

    #[test]
    fn a_walk_does_not_try_exclusions_on_directories_that_are_not_ignored() {
        let patterns = set(&["**/*.log", "!keep"]);
        assert!(!patterns.matches(b"keep/a.log").ignored);
        let (_, keep) = patterns.matches_with_parent(b"keep", &ParentState::default());
        assert!(patterns.matches_with_parent(b"keep/a.log", &keep).0.ignored);
    }

    #[test]
    fn more_patterns_than_bits_in_a_word() {
        let mut texts: Vec<String> = (0..130).map(|n| format!("dir{n}")).collect();
        texts.push("!dir129/x".to_owned());
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        check(&texts, "dir128/x", true, Some(128));
        check(&texts, "dir129/x", false, Some(130));
    }

    #[test]
    fn bad_lists_name_the_pattern() {
        assert_eq!(
            PatternSet::from_texts(["a", "!"]).unwrap_err(),
            Error::EmptyExclusion { index: 1 }
        );
        assert_eq!(PatternSet::from_texts(["["]).unwrap_err(), Error::BadPattern { index: 0 });
    }
}
