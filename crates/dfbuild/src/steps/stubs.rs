use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::View;

use crate::error::StepError;
use crate::steps::tree::resolve;

/// The places in a root file system where something is mounted that the image itself does not
/// have. They go into a layer of their own on top of the image's, so that the upper directory holds
/// only what the command did: nothing has to be cleaned up, whatever happens.
pub(crate) struct Stubs<'a> {
    view: &'a View,
    missing: BTreeMap<TreePath, Stub>,
    /// Those of `missing` that runc leaves in the image when it has made them.
    lasting: BTreeSet<TreePath>,
}

/// What kind of place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stub {
    /// For a directory.
    Directory,
    /// For anything else.
    File,
}

impl<'a> Stubs<'a> {
    pub(crate) fn new(view: &'a View) -> Self {
        Self { view, missing: BTreeMap::new(), lasting: BTreeSet::new() }
    }

    /// Sees to it that something can be mounted on `target`, and returns where its links lead.
    pub(crate) fn need(&mut self, target: &str, is_directory: bool) -> Result<TreePath, StepError> {
        let place = resolve(&|path| Ok(self.get(path)), &TreePath::new(target), true)?;
        match &place.entry {
            Some(entry) if entry.kind.is_directory() != is_directory => {
                let kind = if is_directory { "a directory" } else { "a file" };
                return Err(StepError::Clash(format!(
                    "mount on {target}: the image has something else than {kind} there"
                )));
            }
            Some(_) => {}
            None => {
                for parent in place.path.ancestors() {
                    match self.get(&parent) {
                        Some(entry) if entry.kind.is_directory() => {}
                        Some(_) => {
                            let message = format!("mount on {target}: {parent} is not a directory");
                            return Err(StepError::Clash(message));
                        }
                        None => drop(self.missing.insert(parent, Stub::Directory)),
                    }
                }
                let stub = if is_directory { Stub::Directory } else { Stub::File };
                self.missing.insert(place.path.clone(), stub);
            }
        }
        Ok(place.path)
    }

    /// The same for a directory that lasts: it becomes part of the layer, as with runc.
    pub(crate) fn need_lasting(&mut self, target: &str) -> Result<(), StepError> {
        let known: BTreeSet<TreePath> = self.missing.keys().cloned().collect();
        self.need(target, true)?;
        let made = self.missing.keys().filter(|path| !known.contains(*path)).cloned();
        self.lasting.extend(made.collect::<Vec<_>>());
        Ok(())
    }

    /// What will be at `path`.
    fn get(&self, path: &TreePath) -> Option<Entry> {
        match self.missing.get(path) {
            Some(Stub::Directory) => Some(Entry::new(path.clone(), Kind::DIRECTORY, 0o755, 0)),
            Some(Stub::File) => {
                let empty = Kind::File { size: 0, digest: Digest::of("") };
                Some(Entry::new(path.clone(), empty, 0o644, 0))
            }
            None => self.view.get(path).map(|found| found.entry.clone()),
        }
    }

    /// Writes the layer into the empty folder `layer`, and what lasts into the upper directory.
    /// `false` if nothing was written to the layer.
    pub(crate) fn write(&self, layer: &Path, upper: &Path) -> Result<bool, StepError> {
        let (lasting, passing): (Vec<_>, Vec<_>) =
            self.missing.iter().partition(|(path, _)| self.lasting.contains(path));
        self.write_to(upper, &lasting)?;
        self.write_to(layer, &passing)?;
        Ok(!passing.is_empty())
    }

    /// All of them, what holds something before it, and whether they last.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&TreePath, Stub, bool)> {
        self.missing.iter().map(|(path, stub)| (path, *stub, self.lasting.contains(path)))
    }

    fn write_to(&self, dest: &Path, stubs: &[(&TreePath, &Stub)]) -> Result<(), StepError> {
        let mut parents: Vec<&Entry> = Vec::new();
        for (path, stub) in stubs {
            for parent in path.ancestors() {
                let full = parent.below(dest);
                if full.exists() {
                    continue;
                }
                make_directory(&full)?;
                parents.extend(self.view.get(&parent).map(|found| found.entry));
            }
            let full = path.below(dest);
            match stub {
                Stub::Directory => make_directory(&full)?,
                Stub::File => drop(File::create(&full).map_err(StepError::io("create", &full))?),
            }
        }
        // What is on top decides what a directory looks like: it has to look as it does below.
        // Innermost first, since making an entry changes the time of what holds it.
        for entry in parents.into_iter().rev() {
            imitate(entry, &entry.path.below(dest))?;
        }
        Ok(())
    }
}

fn make_directory(path: &Path) -> Result<(), StepError> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StepError::io("create", path)(error))
        }
        _ => Ok(()),
    }
}

fn imitate(entry: &Entry, path: &Path) -> Result<(), StepError> {
    let change = || {
        // With a single id this fails and does not matter: everybody is root there.
        let _ = chown(path, Some(entry.uid), Some(entry.gid));
        fs::set_permissions(path, fs::Permissions::from_mode(entry.mode))?;
        File::open(path)?.set_modified(time(entry.mtime))
    };
    change().map_err(StepError::io("change", path))
}

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}
