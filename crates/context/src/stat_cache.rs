use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::{Digest, TreePath};
use hashbrown::HashTable;

use crate::file_stat::FileStat;

/// The numbers by which a changed file is known. A file set back to its old size and modification
/// time still has another change time, and a file put in its place another inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    fn to_bytes(self) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        let (modified, changed) = (self.modified, self.changed);
        let numbers = [self.device, self.inode, self.size].map(u64::to_le_bytes);
        let times = [modified.0, modified.1, changed.0, changed.1].map(i64::to_le_bytes);
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers.iter().chain(&times)) {
            place.copy_from_slice(number);
        }
        bytes
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
/// file   = "dfbuild stat cache 3\n" SHA-256(body) body
/// body   = { record }
/// record = u32 length of the path
///          u64 device, u64 inode, u64 size, i64 seconds and i64 nanoseconds of both times
///          32 bytes digest
///          path
/// ```
/// All numbers are little-endian. In memory it is the same bytes and a table of where each record is: a
/// build that changes nothing makes nothing of them, and a file takes a fifth of what a map would.
#[derive(Debug, Clone)]
pub struct StatCache {
    file: Vec<u8>,
    table: HashTable<Slot>,
    hasher: RandomState,
    changed: bool,
}

/// Where a record is in the file.
#[derive(Debug, Clone, Copy)]
struct Slot {
    at: u32,
    /// Whether it was asked for since the cache was read.
    used: bool,
}

/// How many files that nobody asked for are looked for each time, to forget those that are gone. A
/// table has another order each time, so in the end all are.
const LOOKED_FOR: usize = 1000;

/// Changes with the encoding; a file of another version is as good as none.
const MAGIC: &[u8] = b"dfbuild stat cache 3\n";

/// Magic and checksum.
const HEADER: usize = MAGIC.len() + 32;
/// The numbers of a stamp.
const STAMP: usize = 7 * 8;
/// A record without its path.
const RECORD: usize = 4 + STAMP + 32;

impl Default for StatCache {
    fn default() -> Self {
        let file = [MAGIC, &[0; 32]].concat();
        Self { file, table: HashTable::new(), hasher: RandomState::new(), changed: false }
    }
}

impl StatCache {
    /// Reads a cache. A missing, torn or foreign file is an empty cache: it only saves work.
    pub fn load(path: &Path) -> Self {
        fs::read(path).ok().and_then(Self::decode).unwrap_or_default()
    }

    fn decode(file: Vec<u8>) -> Option<Self> {
        let (digest, body) = file.strip_prefix(MAGIC)?.split_at_checked(32)?;
        if Digest::of(body).as_bytes() != digest {
            return None;
        }
        let mut cache = Self { file, ..Self::default() };
        cache.find_records()?;
        Some(cache)
    }

    /// Fills the table anew. `None` if there is something else among the records.
    fn find_records(&mut self) -> Option<()> {
        let Self { file, table, hasher, .. } = self;
        table.clear();
        let mut at = HEADER;
        while at < file.len() {
            let record = Record::at(file, at)?;
            let slot = Slot { at: u32::try_from(at).ok()?, used: false };
            at += RECORD + record.path.len();
            let hash = hasher.hash_one(record.path);
            table.insert_unique(hash, slot, |slot| slot.hash(hasher, file));
        }
        Some(())
    }

    /// Forgets files below `root` that are gone, and writes the cache in one step, if it has
    /// anything new. The last writer wins.
    pub fn save(&mut self, path: &Path, root: &Path) -> io::Result<()> {
        self.forget_deleted(root);
        if !self.changed {
            return Ok(());
        }
        let (header, body) = self.file.split_at_mut(HEADER);
        header[MAGIC.len()..].copy_from_slice(Digest::of(body).as_bytes());
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&self.file)?;
        file.persist(path)?;
        Ok(())
    }

    /// The digest of the file at `path`, if it still has this stamp.
    pub fn get(&mut self, path: &TreePath, stamp: &Stamp) -> Option<Digest> {
        let Self { file, table, hasher, .. } = self;
        let hash = hasher.hash_one(path.as_bytes());
        let slot = table.find_mut(hash, |slot| slot.path(file) == path.as_bytes())?;
        let record = Record::at(file, slot.at as usize)?;
        if *record.stamp != stamp.to_bytes() {
            return None;
        }
        slot.used = true;
        Some(Digest::from_bytes(*record.digest))
    }

    fn forget_deleted(&mut self, root: &Path) {
        let unused = self.table.iter().filter(|slot| !slot.used).take(LOOKED_FOR);
        let is_gone = |slot: &&Slot| {
            let place = TreePath::new(slot.path(&self.file)).below(root);
            fs::symlink_metadata(place).is_err()
        };
        let gone: HashSet<usize> = unused.filter(is_gone).map(|slot| slot.at as usize).collect();
        if !gone.is_empty() {
            self.remove(&gone);
            self.changed = true;
        }
    }

    /// Removes the records that begin at these places.
    fn remove(&mut self, gone: &HashSet<usize>) {
        let (mut at, mut end) = (HEADER, HEADER);
        while let Some(record) = Record::at(&self.file, at) {
            let next = at + RECORD + record.path.len();
            if !gone.contains(&at) {
                self.file.copy_within(at..next, end);
                end += next - at;
            }
            at = next;
        }
        self.file.truncate(end);
        self.find_records().expect("each record is whole");
    }

    /// Remembers a digest that was computed after the stamp was taken, and not before `begun`. A racy
    /// file is not remembered.
    pub fn insert(&mut self, path: &TreePath, stamp: Stamp, digest: Digest, begun: SystemTime) {
        if stamp.is_racy(begun) {
            return;
        }
        let Self { file, table, hasher, .. } = self;
        let path = path.as_bytes();
        let (Ok(end), Ok(length)) = (u32::try_from(file.len()), u32::try_from(path.len())) else {
            // More than four gigabytes of paths.
            return;
        };
        self.changed = true;
        let hash = hasher.hash_one(path);
        if let Some(slot) = table.find_mut(hash, |slot| slot.path(file) == path) {
            slot.used = true;
            let at = slot.at as usize + 4;
            file[at..at + STAMP].copy_from_slice(&stamp.to_bytes());
            file[at + STAMP..at + STAMP + 32].copy_from_slice(digest.as_bytes());
            return;
        }
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&stamp.to_bytes());
        file.extend_from_slice(digest.as_bytes());
        file.extend_from_slice(path);
        let slot = Slot { at: end, used: true };
        table.insert_unique(hash, slot, |slot| slot.hash(hasher, file));
    }
}

/// What is known of a file.
struct Record<'a> {
    stamp: &'a [u8; STAMP],
    digest: &'a [u8; 32],
    path: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record that begins at `at`, if it is whole.
    fn at(file: &'a [u8], at: usize) -> Option<Self> {
        let (length, rest) = file.get(at..)?.split_first_chunk()?;
        let (stamp, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        let path = rest.get(..u32::from_le_bytes(*length) as usize)?;
        Some(Self { stamp, digest, path })
    }
}

impl Slot {
    fn path(self, file: &[u8]) -> &[u8] {
        Record::at(file, self.at as usize).map(|record| record.path).unwrap_or_default()
    }

    fn hash(self, hasher: &RandomState, file: &[u8]) -> u64 {
        hasher.hash_one(self.path(file))
    }
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
        cache.insert(&"a".into(), old_stamp(), Digest::of("a"), SystemTime::now());
        fs::write(folder.path().join("a"), "a").unwrap();
        cache.save(&path, folder.path()).unwrap();
        assert_eq!(StatCache::load(&path).get(&"a".into(), &old_stamp()), Some(Digest::of("a")));
        // A changed file takes the place of what it was.
        let (mut cache, changed) = (StatCache::load(&path), Stamp { size: 4, ..old_stamp() });
        cache.insert(&"a".into(), changed, Digest::of("b"), SystemTime::now());
        cache.save(&path, folder.path()).unwrap();
        let mut cache = StatCache::load(&path);
        assert_eq!(cache.get(&"a".into(), &changed), Some(Digest::of("b")));
        assert_eq!((cache.get(&"a".into(), &old_stamp()), cache.table.len()), (None, 1));
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(StatCache::load(&path).table.is_empty());
    }

    #[test]
    fn racy_files_are_not_remembered() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let mut cache = StatCache::default();
        let racy = Stamp { changed: (now, 0), ..old_stamp() };
        cache.insert(&"a".into(), racy, Digest::of("a"), SystemTime::now());
        assert_eq!(cache.get(&"a".into(), &racy), None);
    }

    #[test]
    fn deleted_files_leave_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let mut cache = StatCache::default();
        for name in ["kept", "gone", "elsewhere/gone"] {
            cache.insert(&name.into(), old_stamp(), Digest::of(name), SystemTime::now());
        }
        for name in ["kept", "gone"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        cache.save(&path, folder.path()).unwrap();
        fs::remove_file(folder.path().join("gone")).unwrap();
        let mut cache = StatCache::load(&path);
        assert_eq!(cache.table.len(), 3);
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
        cache.insert(&"a".into(), old_stamp(), Digest::of("a"), SystemTime::now());
        let other = Stamp { inode: 3, ..old_stamp() };
        assert_eq!(cache.get(&"a".into(), &other), None);
    }

    #[test]
    fn set_back_times_do_not_fool_it() {
        let mut cache = StatCache::default();
        cache.insert(&"a".into(), old_stamp(), Digest::of("a"), SystemTime::now());
        let set_back = Stamp { changed: (6, 8), ..old_stamp() };
        assert_eq!(cache.get(&"a".into(), &set_back), None);
    }
}
