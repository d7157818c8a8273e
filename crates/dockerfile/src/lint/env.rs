//! The variables in force at one place, and words expanded with them.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::LintOptions;
use super::platform::Platform;
use super::shared_map::SharedMap;
use crate::expand::{ExpandError, Expander};

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Env {
    values: SharedMap<Variable>,
    /// The variables of the image that arguments of this stage hide.
    hidden: Vec<Rc<str>>,
}

/// A variable.
#[derive(Clone, Debug, Default)]
struct Variable {
    value: Rc<str>,
    /// The value in the image, if it is there.
    in_image: Option<Rc<str>>,
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
        self.values.get(name).map(|it| &*it.value)
    }

    /// Sets an argument.
    pub(super) fn set(&mut self, name: &str, value: String) {
        let in_image = self.values.get(name).and_then(|it| it.in_image.clone());
        if in_image.is_some() {
            self.hidden.push(name.into());
        }
        self.values.insert(name, Variable { value: value.into(), in_image });
    }

    /// Sets a variable of the image.
    pub(super) fn set_in_image(&mut self, name: &str, value: &str) {
        let value: Rc<str> = value.into();
        self.values.insert(name, Variable { value: Rc::clone(&value), in_image: Some(value) });
    }

    /// What a stage on top begins with: variables of the image hide arguments of the stage below.
    pub(super) fn on_top(&self) -> Self {
        let mut values = self.values.clone();
        for name in &self.hidden {
            if let Some(value) = self.values.get(name).and_then(|it| it.in_image.clone()) {
                let in_image = Some(Rc::clone(&value));
                values.insert(name, Variable { value, in_image });
            }
        }
        Self { values, hidden: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.names()
    }

    /// Expands a word.
    pub(super) fn expand(&self, expander: Expander, word: &str) -> Word {
        let lookup = |name: &str| self.get(name).map(str::to_owned);
        let (value, matched, unmatched) = expander.trace(word, &lookup);
        Word { value: value.map(|it| it.value), matched, unmatched }
    }
}

#[cfg(test)]
mod tests {
    use super::Env;

    #[test]
    fn variables_of_the_image_hide_arguments_of_the_stage_below() {
        let mut below = Env::default();
        below.set_in_image("A", "1");
        below.set("A", "2".to_owned());
        below.set("B", "3".to_owned());
        assert_eq!(below.get("A"), Some("2"));
        let mut above = below.on_top();
        assert_eq!((above.get("A"), above.get("B")), (Some("1"), Some("3")));
        above.set_in_image("B", "4");
        assert_eq!((above.on_top().get("B"), below.get("B")), (Some("4"), Some("3")));
    }
}
