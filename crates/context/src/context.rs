use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use dfbuild_image::{Digest, Entry, Hasher, Kind, TreePath};
use dfbuild_pattern::{Decision, ParentState, Pattern, PatternSet};
use rustix::fs::FileType;

use crate::error::Error;
use crate::file_stat::FileStat;
use crate::stat_cache::{Stamp, StatCache};

/// Says whether what is under way should end.
pub type Ending = Arc<dyn Fn() -> bool + Send + Sync>;

/// A folder seen through ignore rules.
pub struct Context {
    root: PathBuf,
    pub(crate) ignore: PatternSet,
    ignore_file: PathBuf,
    cache: Mutex<StatCache>,
    ending: Option<Ending>,
    /// What walks gave, for whoever asks next.
    walks: Mutex<HashMap<TreePath, Vec<Entry>>>,
    /// Walks are those of a general walker.
    pub(crate) plain: bool,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Context {
    /// The folder `root` without what `ignore` leaves out. Digests are taken from `cache` where it
    /// knows them, and added to it.
    pub fn new(root: impl Into<PathBuf>, ignore: PatternSet, cache: StatCache) -> Self {
        Self {
            root: root.into(),
            ignore,
            ignore_file: PathBuf::new(),
            cache: Mutex::new(cache),
            ending: None,
            walks: Mutex::default(),
            plain: false,
        }
    }

    /// The same context, whose walks and digests fail once `ending` holds: both can take long.
    #[must_use]
    pub fn ending_when(mut self, ending: Ending) -> Self {
        self.ending = Some(ending);
        self
    }

    /// The same context, whose rules are those of the file `path`.
    #[must_use]
    pub fn with_ignore_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ignore_file = path.into();
        self
    }

    /// The same folder, with what the rules leave out of it. `None` if there are no rules.
    pub fn without_rules(&self) -> Option<Self> {
        let all = || Self::new(&self.root, PatternSet::default(), StatCache::default());
        (!self.ignore.is_empty()).then(all)
    }

    /// The same context, walked by a general walker: slower, with the same result.
    #[must_use]
    pub fn walking_plainly(mut self, plain: bool) -> Self {
        self.plain = plain;
        self
    }

    /// An error once everything should end.
    pub(crate) fn check(&self) -> io::Result<()> {
        match &self.ending {
            Some(ending) if ending() => Err(io::Error::other("it was ended")),
            _ => Ok(()),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps what [`Context::walk`] gave for [`Context::walk_again`].
    pub fn keep_walk(&self, path: &TreePath, entries: Vec<Entry>) {
        if !self.plain {
            let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
            walks.insert(path.clone(), entries);
        }
    }

    /// Forgets what [`Context::keep_walk`] kept.
    pub fn forget_walks(&self) {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What the last walk gave, once; else walks. For whoever looks afterwards whether anything changed.
    pub fn walk_again(&self, path: &TreePath) -> Result<Vec<Entry>, Error> {
        let kept = self.walks.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        kept.map_or_else(|| self.walk(path), Ok)
    }

    /// Saves what has been learned of the files, if there is anything new.
    pub fn save_stat_cache(&self, path: &Path) -> io::Result<()> {
        self.cache().save(path, &self.root)
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, StatCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is at `path`; links are not followed, not even in its parents. `None` if nothing is
    /// there, or it is ignored, or it is a socket, which no image can hold.
    pub fn get(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        let full = path.below(&self.root);
        let metadata = match fs::symlink_metadata(&full) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(Error::io("read", &full)(error)),
        };
        if self.is_ignored(path) && !self.keeps_something(path, &metadata)? {
            return Ok(None);
        }
        let stat = FileStat::from(&metadata);
        let Some(mut entry) = describe(path.clone(), &self.root, &stat)? else { return Ok(None) };
        if let Kind::File { digest, .. } = &mut entry.kind {
            *digest = self.digest(path, &stat)?;
        }
        Ok(Some(entry))
    }

    /// The names in the folder `path`, sorted, without what is ignored.
    pub fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, Error> {
        let full = path.below(&self.root);
        let mut names = Vec::new();
        for entry in fs::read_dir(&full).map_err(Error::io("read", &full))? {
            let entry = entry.map_err(Error::io("read", &full))?;
            let name = entry.file_name().as_bytes().to_vec();
            let child = path.join(&name);
            let metadata = entry.metadata().map_err(Error::io("read", &entry.path()))?;
            if !self.is_ignored(&child) || self.keeps_something(&child, &metadata)? {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The content of the file at `path`, which must not be a link.
    pub fn open(&self, path: &TreePath) -> io::Result<File> {
        open_regular(&path.below(&self.root))
    }

    /// Whether the rules leave `path` out. The context itself never is.
    pub fn is_ignored(&self, path: &TreePath) -> bool {
        self.decide(path).ignored
    }

    /// The rule that leaves `path` out, and the file where it stands.
    pub fn ignored_by(&self, path: &TreePath) -> Option<(&Path, &Pattern)> {
        let decision = self.decide(path);
        let by = decision.by.filter(|_| decision.ignored)?;
        Some((&self.ignore_file, &self.ignore.patterns()[by]))
    }

    fn decide(&self, path: &TreePath) -> Decision {
        let Some(parent) = path.parent() else { return Decision::default() };
        // Asked as a walk asks, directory by directory: that is what moby does, and with rules
        // that take things back the answer is not always that of a single question.
        let state = self.state_at(&parent);
        self.ignore.matches_with_parent(path.as_bytes(), &state).0
    }

    /// Whether there is a directory at `path`, ignored or not; a link to one is none.
    pub fn is_directory(&self, path: &TreePath) -> bool {
        fs::symlink_metadata(path.below(&self.root)).is_ok_and(|metadata| metadata.is_dir())
    }

    /// Whether an ignored folder is there nevertheless, because a rule takes back something in it.
    fn keeps_something(&self, path: &TreePath, metadata: &Metadata) -> Result<bool, Error> {
        if !metadata.is_dir() || !self.ignore.may_match_below(path.as_bytes()) {
            return Ok(false);
        }
        self.keeps_any(path)
    }

    /// The state of the rules at `path`, to be handed down in a walk.
    pub(crate) fn state_at(&self, path: &TreePath) -> ParentState {
        let mut state = ParentState::default();
        for directory in path.ancestors().chain((!path.is_root()).then(|| path.clone())) {
            state = self.ignore.matches_with_parent(directory.as_bytes(), &state).1;
        }
        state
    }

    /// The digest of the file at `path`, by the stat cache if it is unchanged.
    pub(crate) fn digest(&self, path: &TreePath, stat: &FileStat) -> Result<Digest, Error> {
        let stamp = Stamp::from(stat);
        let known = self.cache().get(path, &stamp);
        if let Some(digest) = known {
            return Ok(digest);
        }
        let begun = SystemTime::now();
        let digest = self.read_digest(path, stat, &mut Vec::new())?;
        self.cache().insert(path, stamp, digest, begun);
        Ok(digest)
    }

    /// The digest of the file at `path` by reading it. The buffer may serve for many files.
    pub(crate) fn read_digest(
        &self,
        path: &TreePath,
        stat: &FileStat,
        buffer: &mut Vec<u8>,
    ) -> Result<Digest, Error> {
        let full = path.below(&self.root);
        self.digest_file(&full, stat.size, buffer).map_err(|source| Error::Io {
            action: "read",
            path: full,
            source,
        })
    }

    fn digest_file(&self, path: &Path, size: u64, buffer: &mut Vec<u8>) -> io::Result<Digest> {
        let mut file = open_regular(path)?;
        let mut hasher = Hasher::new();
        // Room for one byte more: a file that leaves it has ended, without being asked again.
        let room = usize::try_from(size).unwrap_or(BUFFER).saturating_add(1).min(BUFFER);
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let mut total = 0;
        loop {
            self.check()?;
            match file.read(buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    total += count as u64;
                    if count < buffer.len() && total == size {
                        return Ok(hasher.finish());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is read of a file at a time.
const BUFFER: usize = 128 << 10;

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The entry of a file with a zero digest; `None` for a socket.
pub(crate) fn describe(
    path: TreePath,
    root: &Path,
    stat: &FileStat,
) -> Result<Option<Entry>, Error> {
    let (major, minor) = stat.special;
    let kind = match FileType::from_raw_mode(stat.mode) {
        FileType::Directory => Kind::DIRECTORY,
        FileType::RegularFile => {
            Kind::File { size: stat.size, digest: Digest::from_bytes([0; 32]) }
        }
        FileType::Symlink => {
            let full = path.below(root);
            let target = fs::read_link(&full).map_err(Error::io("read", &full))?;
            Kind::Symlink { target: target.into_os_string().into_encoded_bytes() }
        }
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        _ => return Ok(None),
    };
    Ok(Some(Entry::new(path, kind, stat.mode & 0o7777, stat.modified.0)))
}

/// Opens without following a link, and without waiting for the other end of a named pipe that
/// somebody put there since it was looked at.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("flags fit");
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}
