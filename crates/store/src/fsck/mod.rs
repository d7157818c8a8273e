//! Looking for damage in a whole store, and mending it.

mod blobs;
mod images;
mod layers;
mod notes;
mod records;

use std::path::{Path, PathBuf};

use dfbuild_image::{Descriptor, Digest};

use crate::collect::{ItemKind, Policy, RecordReader};
use crate::error::Error;
use crate::store::Store;

/// What a store cannot know of what is in it.
pub trait Meaning {
    /// The layers and blobs that a record promises; `None` if its bytes mean nothing.
    fn record(&self, bytes: &[u8]) -> Option<Vec<Digest>>;

    /// The digest of the content that an encoded index of a layer stands for, or what is wrong with it.
    fn index(&self, bytes: &[u8]) -> Result<Digest, String>;

    /// What is wrong with a folder that should have the files of an index.
    fn snapshot(&self, index: &[u8], folder: &Path) -> Result<(), String>;

    /// Makes the lost blob of an image's layer again, or fetches it. Says whether it is there now.
    fn restore(&self, image: &Descriptor, blob: &Digest) -> bool;
}

/// Something in a store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file or folder, in the store.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// Whether something was damaged. What killed builds left is none.
    pub is_damage: bool,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing: nobody asked for it.
    Left,
    /// It was removed; what needs it runs again.
    Removed,
    /// It was made again from what else is there.
    MadeAgain,
    /// It cannot be had again from here.
    Lost,
}

impl Finding {
    /// Whether the store is still damaged.
    pub fn is_open(&self) -> bool {
        self.is_damage && matches!(self.outcome, Outcome::Left | Outcome::Lost)
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Looked {
    /// Blobs, whose every byte was read.
    pub blobs: usize,
    /// Layers.
    pub layers: usize,
    /// Folders of layers, which were compared with what they should have.
    pub snapshots: usize,
    /// Results of steps.
    pub records: usize,
    /// Named images.
    pub images: usize,
}

impl Store {
    /// Looks at everything, tells what is wrong as it is found, and with `repair` mends it: what is
    /// damaged is made again where that is possible, and else removed, so that it is a miss. Builds may
    /// run meanwhile.
    pub fn check(
        &self,
        meaning: &dyn Meaning,
        repair: bool,
        tell: &dyn Fn(&Finding),
    ) -> Result<Looked, Error> {
        let _in_use = self.in_use();
        let mut check = Check { store: self, meaning, repair, tell, looked: Looked::default() };
        check.blobs()?;
        check.layers()?;
        check.snapshots()?;
        check.images()?;
        check.forgotten_layers()?;
        check.records()?;
        check.notes();
        check.leftovers()?;
        Ok(check.looked)
    }
}

/// A check that is under way.
struct Check<'a> {
    store: &'a Store,
    meaning: &'a dyn Meaning,
    repair: bool,
    tell: &'a dyn Fn(&Finding),
    looked: Looked,
}

impl Check<'_> {
    /// Tells of damage, and mends it if that is wanted.
    fn damaged(
        &self,
        path: &Path,
        problem: impl Into<String>,
        mend: impl FnOnce() -> Result<Outcome, Error>,
    ) -> Result<(), Error> {
        self.found(path, problem.into(), true, mend)
    }

    fn found(
        &self,
        path: &Path,
        problem: String,
        is_damage: bool,
        mend: impl FnOnce() -> Result<Outcome, Error>,
    ) -> Result<(), Error> {
        let outcome = if self.repair { mend()? } else { Outcome::Left };
        let path = path.strip_prefix(self.store.root()).unwrap_or(path).to_owned();
        (self.tell)(&Finding { path, problem, is_damage, outcome });
        Ok(())
    }

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<Outcome, Error> {
        if path.is_dir() {
            let trash = self.store.trash()?;
            self.store.discard(&trash, path)?;
        } else {
            self.store.disk.remove_file(path)?;
        }
        Ok(Outcome::Removed)
    }

    /// What killed builds and collections left.
    fn leftovers(&self) -> Result<(), Error> {
        let read: RecordReader<'_> = &|bytes| self.meaning.record(bytes);
        let inventory = self.store.inventory(read)?;
        let nothing_else =
            Policy { unused_for: Some(std::time::Duration::MAX), ..Policy::default() };
        let items = self.store.collectable(&inventory, &nothing_else);
        for item in &items {
            if let ItemKind::Leftover(path) = &item.kind {
                self.found(path, "left by a build that was killed".to_owned(), false, || {
                    Ok(Outcome::Removed)
                })?;
            }
        }
        if self.repair && !items.is_empty() {
            self.store.collect(&inventory, &nothing_else)?;
        }
        Ok(())
    }
}
