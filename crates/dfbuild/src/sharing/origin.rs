use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dfbuild_image::{Digest, Reference};

/// Where a blob can be had again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A repository of a registry. Neither tag nor digest count.
    Repository(Reference),
    /// An image layout, by its absolute path.
    Layout(PathBuf),
}

impl Origin {
    /// Reads what the store notes; what is neither is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Layout(text.into()));
        }
        text.parse().ok().map(Self::Repository)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(reference) => f.write_str(&reference.full_name()),
            Self::Layout(folder) => folder.display().fmt(f),
        }
    }
}

/// What could not be had in this build: nobody waits for it twice, and what it promised is made
/// anew. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lost(Arc<Mutex<LostState>>);

#[derive(Debug, Default)]
struct LostState {
    origins: BTreeSet<String>,
    blobs: BTreeSet<Digest>,
    /// Why, for people.
    reasons: Vec<String>,
}

impl Lost {
    /// Nothing more is asked of an origin.
    pub(super) fn lose_origin(&self, origin: &Origin) {
        self.with(|state| state.origins.insert(origin.to_string()));
    }

    /// A blob is asked for no more.
    pub(crate) fn lose_blob(&self, blob: Digest) {
        self.with(|state| state.blobs.insert(blob));
    }

    pub(super) fn has_origin(&self, origin: &Origin) -> bool {
        self.with(|state| !state.origins.is_empty() && state.origins.contains(&origin.to_string()))
    }

    pub(super) fn has_blob(&self, blob: &Digest) -> bool {
        self.with(|state| state.blobs.contains(blob))
    }

    pub(super) fn because(&self, reason: String) {
        self.with(|state| state.reasons.push(reason));
    }

    /// Why something was lost, since this was last asked.
    pub(crate) fn take_reasons(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.reasons))
    }

    fn with<T>(&self, work: impl FnOnce(&mut LostState) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_as_the_store_notes_them() {
        let repository = Origin::parse("localhost:5000/a/b").unwrap();
        assert!(matches!(&repository, Origin::Repository(name) if name.repository == "a/b"));
        assert_eq!(repository.to_string(), "localhost:5000/a/b");
        let layout = Origin::parse("/var/cache/x").unwrap();
        assert_eq!(layout, Origin::Layout("/var/cache/x".into()));
        assert_eq!(Origin::parse(&layout.to_string()), Some(layout));
        assert_eq!(Origin::parse("???"), None);
    }

    #[test]
    fn what_is_lost_stays_lost() {
        let lost = Lost::default();
        let (one, other) = (Origin::Layout("/a".into()), Origin::Layout("/b".into()));
        lost.clone().lose_origin(&one);
        lost.because("it is gone".to_owned());
        assert!(lost.has_origin(&one) && !lost.has_origin(&other));
        assert!(!lost.has_blob(&Digest::of("x")));
        assert_eq!(lost.take_reasons(), ["it is gone"]);
        assert!(lost.take_reasons().is_empty());
    }
}
