use std::fs;
use std::path::{Path, PathBuf};

use dfbuild_image::Digest;

use super::{Check, Outcome};
use crate::files::read_checked;
use crate::snapshots::{digest_of_name, list};

/// The smallest page of Linux, in bytes; the others are multiples of it.
const PAGE: usize = 4096;

impl Check<'_> {
    /// Small files that only save work or explain.
    pub(super) fn notes(&self) {
        for path in files_below(&self.store.path("origins")) {
            self.note(&path, read_checked(&path).is_some());
        }
        for path in files_below(&self.store.path("history")) {
            self.note(&path, read_checked(&path).is_some());
        }
        for path in files_below(&self.store.path("objects")) {
            self.object(&path);
        }
    }

    /// An object is written in place: a build that was killed leaves the first of its pages, or none.
    fn object(&self, path: &Path) {
        let Ok(bytes) = fs::read(path) else { return self.note(path, false) };
        if digest_of_name(path) == Some(Digest::of(&bytes)) {
            return;
        }
        if bytes.len() % PAGE != 0 {
            return self.note(path, false);
        }
        let problem = "a build that was killed wrote a part of it".to_owned();
        let _ = self.found(path, problem, false, || Ok(self.remove(path).unwrap_or(Outcome::Left)));
    }

    fn note(&self, path: &Path, is_good: bool) {
        if is_good || !path.exists() {
            return;
        }
        // What cannot be removed is found to be damaged again by whoever reads it.
        let _ = self.damaged(path, "its digest does not match", || {
            Ok(self.remove(path).unwrap_or(Outcome::Left))
        });
    }
}

/// The files of a folder and its folders; none if it is not there.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = list(folder).unwrap_or_default();
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| files_below(folder));
    below.chain(files).collect()
}
