use std::collections::HashSet;
use std::path::Path;
use std::thread;

use dfbuild_image::{Entry, Kind, TreePath};

use crate::cpu::Helper;
use crate::disk::Disk;
use crate::similar::{OpenDirectories, Similar, link_targets};
use crate::unpack::{finish, place};
use crate::{Contents, Error, Index, UnpackOptions, View};

/// A layer that is placed in a directory by several threads.
pub(crate) struct Placing<'a> {
    pub(crate) index: &'a Index,
    pub(crate) contents: &'a dyn Contents,
    dest: &'a Path,
    below: &'a View,
    options: &'a UnpackOptions,
    similar: Option<&'a Similar<'a>>,
    /// Files of several names get their own copy: they must not be names of another layer's.
    linked: HashSet<&'a TreePath>,
}

/// Entries for which another thread is worth it.
const ENTRIES_PER_THREAD: usize = 256;

impl<'a> Placing<'a> {
    pub(crate) fn new(
        index: &'a Index,
        contents: &'a dyn Contents,
        dest: &'a Path,
        below: &'a View,
        options: &'a UnpackOptions,
        similar: Option<&'a Similar<'a>>,
    ) -> Self {
        let linked = similar.map(|_| link_targets(index)).unwrap_or_default();
        Self { index, contents, dest, below, options, similar, linked }
    }

    /// What one of the threads needs.
    pub(crate) fn hand(&self) -> Result<Hand<'_>, Error> {
        let disk = Disk::open(self.dest, self.options)?;
        Ok(Hand { placing: self, disk, there: self.similar.and_then(Similar::open) })
    }

    /// Places all but the directories and what [`Placing::finish`] places.
    pub(crate) fn place_all(&self, threads: usize) -> Result<(), Error> {
        let entries = self.index.entries();
        let place = |share: &[Entry]| {
            let mut hand = self.hand()?;
            share.iter().try_for_each(|entry| hand.put(entry, None))
        };
        let share = entries.len().div_ceil(threads.max(1)).max(ENTRIES_PER_THREAD);
        if share >= entries.len() {
            return place(entries);
        }
        let (place, helper) = (&place, &Helper::new());
        thread::scope(|scope| {
            let help = |share| scope.spawn(move || helper.work(|| place(share)));
            let threads: Vec<_> = entries.chunks(share).map(help).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("placing does not panic"))
        })
    }

    /// Places hard links, whose targets may have been another thread's, and what comes last.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let mut disk = Disk::open(self.dest, self.options)?;
        let entries = self.index.entries().iter();
        for entry in entries.filter(|entry| matches!(entry.kind, Kind::HardLink { .. })) {
            place(&mut disk, entry, self.index, self.contents)?;
        }
        finish(&mut disk, self.index, self.below)
    }
}

/// What one thread places with.
pub(crate) struct Hand<'a> {
    placing: &'a Placing<'a>,
    disk: Disk<'a>,
    /// The directories of the similar layer.
    there: Option<OpenDirectories>,
}

impl Hand<'_> {
    /// Places an entry. The content of a file is read unless it is given, and then it is the right one.
    pub(crate) fn put(&mut self, entry: &Entry, content: Option<&[u8]>) -> Result<(), Error> {
        let placing = self.placing;
        if matches!(entry.kind, Kind::HardLink { .. }) {
            return Ok(());
        }
        if let (Some(similar), Some(there)) = (placing.similar, &mut self.there)
            && similar.has(entry)
            && !placing.linked.contains(&entry.path)
            && self.disk.link_from(there, &entry.path)?
        {
            return Ok(());
        }
        match content {
            Some(content) if matches!(entry.kind, Kind::File { .. }) => {
                self.disk.write(entry, content)
            }
            _ => place(&mut self.disk, entry, placing.index, placing.contents),
        }
    }
}
