//! Looking for damage in a whole store, and mending it.

mod blobs;
mod images;
mod layers;
mod notes;
mod records;

use std::collections::BTreeSet;
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
    /// run meanwhile; collections wait.
    pub fn check(
        &self,
        meaning: &dyn Meaning,
        repair: bool,
        tell: &dyn Fn(&Finding),
    ) -> Result<Looked, Error> {
        let _nobody_collects = self.wait_for_collecting();
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
        let nothing_else =
            Policy { unused_for: Some(std::time::Duration::MAX), ..Policy::default() };
        let first = self.store.inventory(read)?;
        let seen: BTreeSet<&ItemKind> =
            self.store.collectable(&first, &nothing_else).into_iter().map(|it| &it.kind).collect();
        if seen.is_empty() {
            return Ok(());
        }
        // Leases are read before folders: what a running build made in between looks abandoned, and no
        // longer does so at a second look.
        let mut inventory = self.store.inventory(read)?;
        inventory.items.retain(|item| seen.contains(&item.kind));
        let items = self.store.collectable(&inventory, &nothing_else);
        for item in &items {
            if let ItemKind::Leftover(path) = &item.kind {
                self.found(path, "left by a build that was killed".to_owned(), false, || {
                    Ok(Outcome::Removed)
                })?;
            }
        }
        if self.repair && !items.is_empty() {
            let removed = self.store.collect(&inventory, &nothing_else)?;
            removed.refused.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    /// Does something each time that a record is read.
    struct AtRecords<F: Fn(usize)>(Cell<usize>, F);

    impl<F: Fn(usize)> Meaning for AtRecords<F> {
        fn record(&self, bytes: &[u8]) -> Option<Vec<Digest>> {
            self.0.set(self.0.get() + 1);
            (self.1)(self.0.get());
            std::str::from_utf8(bytes).ok()?.parse().ok().map(|layer| vec![layer])
        }

        fn index(&self, bytes: &[u8]) -> Result<Digest, String> {
            Ok(Digest::of(bytes))
        }

        fn snapshot(&self, _index: &[u8], _folder: &Path) -> Result<(), String> {
            Ok(())
        }

        fn restore(&self, _image: &Descriptor, _blob: &Digest) -> bool {
            false
        }
    }

    fn put(store: &Store, name: &str) {
        let staging = store.stage().unwrap();
        let diff_id = Digest::of(name);
        let folder = staging.folder("upper").unwrap();
        store.put_snapshot("root", &diff_id, &folder).unwrap();
        store.put_record(Digest::of(format!("key of {name}")), diff_id.to_string().into_bytes());
    }

    #[test]
    fn what_builds_and_collections_do_meanwhile_is_no_damage() {
        let root = tempfile::tempdir().unwrap();
        let (store, other) = (Store::open(root.path()).unwrap(), Store::open(root.path()).unwrap());
        put(&store, "old");
        store.commit().unwrap();
        let in_use = other.in_use();
        let meaning = AtRecords(Cell::default(), |call| {
            assert!(other.collecting().is_none());
            // The first call checks the record, the second one looks for leftovers.
            if call == 2 {
                put(&other, "new");
            }
        });
        let told = Cell::default();
        let tell = |finding: &Finding| {
            told.set(told.get() + 1);
            println!("{finding:?}");
        };
        store.check(&meaning, true, &tell).unwrap();
        assert_eq!((told.get(), meaning.0.get()), (0, 3));
        other.commit().unwrap();
        drop(in_use);
        assert!(other.snapshot("root", &Digest::of("new")).is_some());
        assert!(other.collecting().is_some());

        // What really was left is still told of.
        fs::create_dir(root.path().join("snapshots/root/left")).unwrap();
        store.check(&AtRecords(Cell::default(), |_| {}), true, &tell).unwrap();
        assert_eq!(told.get(), 1);
        assert!(!root.path().join("snapshots/root/left").exists());
    }
}
