//! The variables in force at one place, and words expanded with them.

use std::collections::{BTreeMap, BTreeSet};

use super::LintOptions;
use super::platform::Platform;
use crate::expand::{ExpandError, Expander};

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Env {
    values: BTreeMap<String, String>,
}

/// A word after expansion, good or not.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) value: Result<String, ExpandError>,
    /// The variables that were set.
    pub(super) matched: BTreeSet<String>,
    /// The variables that were not; also those before an error.
    pub(super) unmatched: BTreeSet<String>,
}

impl Env {
    /// The arguments that every build has.
    pub(super) fn automatic(
        options: &LintOptions,
        build: &Platform,
        target: &Platform,
        stage: &str,
    ) -> Self {
        let mut env = Self::default();
        for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
            env.set(&format!("{prefix}PLATFORM"), platform.to_string());
            env.set(&format!("{prefix}OS"), platform.os.clone());
            env.set(&format!("{prefix}OSVERSION"), String::new());
            env.set(&format!("{prefix}ARCH"), platform.architecture.clone());
            env.set(&format!("{prefix}VARIANT"), platform.variant.clone());
        }
        env.set("TARGETSTAGE", stage.to_owned());
        for (name, value) in &options.build_args {
            if env.get(name).is_some() {
                env.set(name, value.clone());
            }
        }
        env
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Expands a word.
    pub(super) fn expand(&self, expander: Expander, word: &str) -> Word {
        let lookup = |name: &str| self.get(name).map(str::to_owned);
        let (value, matched, unmatched) = expander.trace(word, &lookup);
        Word { value: value.map(|it| it.value), matched, unmatched }
    }
}
