use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::{Digest, TreePath};
use serde::{Deserialize, Serialize};

use crate::file_stat::FileStat;

/// The numbers by which a changed file is known. A file set back to its old size and modification
/// time still has another change time, and a file put in its place another inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Whether the file could change once more without its times showing it: git's "racy"
    /// timestamps. Two seconds are the coarsest clock of a file system in use (FAT).
    fn is_racy(&self, now: SystemTime) -> bool {
        let newest = self.modified.0.max(self.changed.0);
        let newest = UNIX_EPOCH + Duration::from_secs(u64::try_from(newest).unwrap_or(0));
        newest + Duration::from_secs(2) >= now
    }
}

impl From<&FileStat> for Stamp {
    fn from(stat: &FileStat) -> Self {
        Self {
            device: stat.device,
            inode: stat.inode,
            size: stat.size,
            modified: stat.modified,
            changed: stat.changed,
        }
    }
}

/// Digests of files by path, each valid as long as the file has the same [`Stamp`].
///
/// ```text
/// file = "dfbuild stat cache 2\n" SHA-256(body) body
/// body = postcard of the map
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatCache {
    digests: HashMap<TreePath, Known>,
    changed: bool,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    digest: Digest,
    /// Whether it was asked for since the cache was read.
    #[serde(skip)]
    used: bool,
}

/// How many files that nobody asked for are looked for each time, to forget those that are gone. A
/// map has another order each time, so in the end all are.
const LOOKED_FOR: usize = 1000;

/// Changes with the encoding; a file of another version is as good as none.
const MAGIC: &[u8] = b"dfbuild stat cache 2\n";

impl StatCache {
    /// Reads a cache. A missing, torn or foreign file is an empty cache: it only saves work.
    pub fn load(path: &Path) -> Self {
        let digests = fs::read(path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        Self { digests, changed: false }
    }

    /// Forgets files below `root` that are gone, and writes the cache in one step, if it has
    /// anything new. The last writer wins.
    pub fn save(&mut self, path: &Path, root: &Path) -> io::Result<()> {
        self.forget_deleted(root);
        if !self.changed {
            return Ok(());
        }
        let body = postcard::to_stdvec(&self.digests).map_err(io::Error::other)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(MAGIC)?;
        file.write_all(Digest::of(&body).as_bytes())?;
        file.write_all(&body)?;
        file.persist(path)?;
        Ok(())
    }

    /// The digest of the file at `path`, if it still has this stamp.
    pub fn get(&mut self, path: &TreePath, stamp: &Stamp) -> Option<Digest> {
        let known = self.digests.get_mut(path).filter(|known| known.stamp == *stamp)?;
        known.used = true;
        Some(known.digest)
    }

    fn forget_deleted(&mut self, root: &Path) {
        let unused = self.digests.iter().filter(|(_, known)| !known.used).take(LOOKED_FOR);
        let gone = unused.filter(|(path, _)| fs::symlink_metadata(path.below(root)).is_err());
        let gone: Vec<TreePath> = gone.map(|(path, _)| path.clone()).collect();
        self.changed |= !gone.is_empty();
        for path in gone {
            self.digests.remove(&path);
        }
    }

    /// Remembers a digest that was computed after the stamp was taken, and not before `begun`. A racy
    /// file is not remembered.
    pub fn insert(&mut self, path: TreePath, stamp: Stamp, digest: Digest, begun: SystemTime) {
        if !stamp.is_racy(begun) {
            self.digests.insert(path, Known { stamp, digest, used: true });
            self.changed = true;
        }
    }
}

fn decode(bytes: &[u8]) -> Option<HashMap<TreePath, Known>> {
    let (digest, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    (Digest::of(body).as_bytes() == digest).then(|| postcard::from_bytes(body).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old_stamp() -> Stamp {
        Stamp { device: 1, inode: 2, size: 3, modified: (4, 5), changed: (6, 7) }
    }

    #[test]
    fn survives_a_round_trip_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let mut cache = StatCache::default();
        cache.insert("a".into(), old_stamp(), Digest::of("a"), SystemTime::now());
        fs::write(folder.path().join("a"), "a").unwrap();
        cache.save(&path, folder.path()).unwrap();
        assert_eq!(StatCache::load(&path).get(&"a".into(), &old_stamp()), Some(Digest::of("a")));
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(StatCache::load(&path), StatCache::default());
    }

    #[test]
    fn racy_files_are_not_remembered() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let mut cache = StatCache::default();
        let racy = Stamp { changed: (now, 0), ..old_stamp() };
        cache.insert("a".into(), racy, Digest::of("a"), SystemTime::now());
        assert_eq!(cache.get(&"a".into(), &racy), None);
    }

    #[test]
    fn deleted_files_leave_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let mut cache = StatCache::default();
        for name in ["kept", "gone", "elsewhere/gone"] {
            cache.insert(name.into(), old_stamp(), Digest::of(name), SystemTime::now());
        }
        for name in ["kept", "gone"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        cache.save(&path, folder.path()).unwrap();
        fs::remove_file(folder.path().join("gone")).unwrap();
        let mut cache = StatCache::load(&path);
        assert_eq!(cache.digests.len(), 3);
        // What was looked at is there, whatever is there now.
        assert!(cache.get(&"elsewhere/gone".into(), &old_stamp()).is_some());
        cache.save(&path, folder.path()).unwrap();
        let mut cache = StatCache::load(&path);
        let mut has = |name: &str| cache.get(&name.into(), &old_stamp()).is_some();
        assert!(has("kept") && has("elsewhere/gone") && !has("gone"));
    }

    /// A file with the same times and size in the place of another.
    #[test]
    fn another_inode_does_not_fool_it() {
        let mut cache = StatCache::default();
        cache.insert("a".into(), old_stamp(), Digest::of("a"), SystemTime::now());
        let other = Stamp { inode: 3, ..old_stamp() };
        assert_eq!(cache.get(&"a".into(), &other), None);
    }

    #[test]
    fn set_back_times_do_not_fool_it() {
        let mut cache = StatCache::default();
        cache.insert("a".into(), old_stamp(), Digest::of("a"), SystemTime::now());
        let set_back = Stamp { changed: (6, 8), ..old_stamp() };
        assert_eq!(cache.get(&"a".into(), &set_back), None);
    }
}
