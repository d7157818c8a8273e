use std::io::{self, Read};
use std::path::Path;

use dfbuild_context::{Context, StatCache};
use dfbuild_image::{Entry, Kind, TreePath};
use dfbuild_pattern::PatternSet;

use crate::error::StepError;
use crate::steps::origin::Origin;
use crate::steps::tree::{Tree, resolve};

/// The files of a commit, or of a folder in it. What git does not know of a file is the same
/// everywhere: they are root's, modes are 0644 and 0755, and times are the commit's, unless those of
/// the checkout are wanted.
pub(crate) struct Checkout {
    files: Context,
    /// The time of the commit; `None` keeps the times of the files.
    time: Option<i64>,
}

impl Checkout {
    /// What was checked out to `folder`, below `sub_dir`.
    pub(super) fn new(folder: &Path, sub_dir: &str, time: Option<i64>) -> Result<Self, StepError> {
        let open = |root: &Path| Context::new(root, PatternSet::default(), StatCache::default());
        let all = Self { files: open(folder), time };
        // A link must not lead out of the repository.
        let place = resolve(&|path| all.get(path), &TreePath::new(sub_dir), true)?;
        if !place.entry.is_some_and(|entry| entry.kind.is_directory()) {
            let text = format!("invalid subdir {sub_dir}: it is no folder of the repository");
            return Err(StepError::Clash(text));
        }
        Ok(Self { files: open(&place.path.below(folder)), time })
    }

    fn tidy(&self, mut entry: Entry) -> Entry {
        entry.mtime = self.time.unwrap_or(entry.mtime);
        entry.mode = match entry.kind {
            Kind::Symlink { .. } => 0o777,
            Kind::File { .. } | Kind::HardLink { .. } if entry.mode & 0o100 == 0 => 0o644,
            _ => 0o755,
        };
        entry
    }
}

impl Tree for Checkout {
    fn get(&self, path: &TreePath) -> Result<Option<Entry>, StepError> {
        Ok(self.files.get(path)?.map(|entry| self.tidy(entry)))
    }

    fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, StepError> {
        Ok(self.files.read_dir(path)?)
    }

    fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        let entries = self.files.walk(path)?;
        Ok(entries.into_iter().map(|entry| self.tidy(entry)).collect())
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.files.open(path)?))
    }

    fn origin(&self, path: &TreePath) -> Origin {
        Origin::Spooled(path.below(self.files.root()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, FileTimes};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_the_commits_or_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let time = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(1000));
        fs::File::options().write(true).open(&path).unwrap().set_times(time).unwrap();
        for (commit, expect) in [(Some(7), 7), (None, 1000)] {
            let checkout = Checkout::new(folder.path(), "", commit).unwrap();
            let entry = checkout.get(&"file".into()).unwrap().unwrap();
            assert_eq!((entry.mtime, entry.mode), (expect, 0o644));
        }
    }
}
