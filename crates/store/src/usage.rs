use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::files::read_checked;
use crate::lock_file::{LockFile, Mode};
use crate::snapshots::{Marker, is_marker, list};
use crate::store::Store;

/// Adds up what files take on the disk: the blocks that are really allocated, those of a file with
/// several names once, as coreutils `du` does.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Files with several names that were counted, by device and inode.
    linked: HashSet<(u64, u64)>,
}

/// The unit of `st_blocks` (stat(3type)).
const BLOCK: u64 = 512;

impl Meter {
    /// What a file, or a folder with all that is in it, takes. What vanishes meanwhile, or may not
    /// be looked into, counts nothing.
    pub(crate) fn allocated(&mut self, path: &Path) -> u64 {
        let Ok(top) = fs::symlink_metadata(path) else { return 0 };
        let mut sum = self.count(&top);
        let mut folders = Vec::new();
        if top.is_dir() {
            folders.push(path.to_owned());
        }
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                sum += self.count(&metadata);
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        sum
    }

    /// What one file takes, unless it was counted under another name.
    pub(crate) fn count(&mut self, file: &Metadata) -> u64 {
        let again =
            file.nlink() > 1 && !file.is_dir() && !self.linked.insert((file.dev(), file.ino()));
        if again { 0 } else { file.blocks() * BLOCK }
    }
}

impl Store {
    /// About how many bytes the store takes, if this process added anything since it last asked. What
    /// others removed or added by other ways counts from the next look at all of it on.
    pub fn usage_if_grown(&self) -> Option<u64> {
        let grown = self.grown.swap(0, Ordering::Relaxed);
        let mounts = self.growth_of_mounts();
        if grown == 0 && mounts <= 0 {
            return None;
        }
        let _turn = LockFile::wait(&self.path("usage.lock"), Mode::Exclusive).ok()?;
        let usage = match self.noted_usage() {
            Some(noted) => noted.saturating_add(grown).saturating_add_signed(mounts),
            None => self.measure_quickly(),
        };
        self.note_usage(usage);
        Some(usage)
    }

    /// How many bytes all of the store takes, by looking at every file.
    pub fn measure(&self) -> u64 {
        Meter::default().allocated(self.root())
    }

    /// The same, where what finished snapshots take is taken from their markers: they never change.
    pub(crate) fn measure_quickly(&self) -> u64 {
        let mut meter = Meter::default();
        let mut sum = fs::symlink_metadata(self.root()).map_or(0, |root| meter.count(&root));
        for path in list(self.root()).unwrap_or_default() {
            if path != self.path("snapshots") {
                sum += meter.allocated(&path);
            }
        }
        sum + self.measure_snapshots(&mut meter)
    }

    fn measure_snapshots(&self, meter: &mut Meter) -> u64 {
        let flavours = self.flavours().unwrap_or_default();
        let mut sum = 0;
        for folder in flavours.iter().chain([&self.path("snapshots")]) {
            sum += fs::symlink_metadata(folder).map_or(0, |folder| meter.count(&folder));
        }
        for path in flavours.iter().flat_map(|flavour| list(flavour).unwrap_or_default()) {
            if is_marker(&path) {
                sum += meter.allocated(&path);
                sum += Marker::read(&path).map_or(0, |marker| marker.bytes);
            }
        }
        let unmarked = self.unmarked_snapshots().unwrap_or_default();
        sum + unmarked.iter().map(|folder| meter.allocated(folder)).sum::<u64>()
    }

    fn noted_usage(&self) -> Option<u64> {
        std::str::from_utf8(&read_checked(&self.path("usage"))?).ok()?.parse().ok()
    }

    /// Notes what the store takes. It only saves work.
    pub(crate) fn note_usage(&self, bytes: u64) {
        let _ = self.write_checked(&self.path("usage"), bytes.to_string().as_bytes());
    }

    /// The next one who asks looks at everything.
    pub(crate) fn forget_usage(&self) {
        let _ = self.disk.remove_file(&self.path("usage"));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn growth_is_added_up() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert_eq!(store.usage_if_grown(), None);
        store.put_blob(&[1; 5000]).unwrap();
        let first = store.usage_if_grown().unwrap();
        assert!(first >= 5000 && first <= store.measure(), "{first}");
        store.put_blob(&[2; 5000]).unwrap();
        assert_eq!(store.usage_if_grown(), Some(first + 8192));
        assert_eq!(store.usage_if_grown(), None);
    }

    #[test]
    fn as_coreutils_says() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("a/b");
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("file"), vec![1; 10_000]).unwrap();
        fs::hard_link(inside.join("file"), folder.path().join("again")).unwrap();
        fs::File::create(inside.join("sparse")).unwrap().set_len(1 << 20).unwrap();
        let du = Command::new("du").args(["-s", "--block-size=1"]).arg(folder.path()).output();
        let du = String::from_utf8(du.unwrap().stdout).unwrap();
        let expect: u64 = du.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(Meter::default().allocated(folder.path()), expect);
    }
}
