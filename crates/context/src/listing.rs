//! Lists a folder faster than a general walk: names are asked for relative to their open folder, and
//! folders are shared out between threads.

use std::ffi::OsStr;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::vec;

use dfbuild_image::TreePath;
use dfbuild_pattern::ParentState;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Errno;

use crate::context::Context;
use crate::error::Error;
use crate::file_stat::FileStat;

/// A path and what is there.
pub(crate) type Found = (TreePath, FileStat);

/// A name in a folder.
struct Item {
    found: Found,
    /// Not left out by the rules. A folder that is left out shows if something in it does not.
    kept: bool,
    /// The number of its own listing, if it is a folder.
    below: Option<usize>,
}

/// A folder that is to be listed.
struct Job {
    number: usize,
    path: TreePath,
    state: ParentState,
}

/// What has been listed and what is to be.
#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// Folders that somebody is at.
    active: usize,
    listings: Vec<Option<Result<Vec<Item>, Error>>>,
}

impl Queue {
    fn add(&mut self, path: TreePath, state: ParentState) -> usize {
        let number = self.listings.len();
        self.listings.push(None);
        self.jobs.push(Job { number, path, state });
        number
    }
}

/// Folders that wait before another thread is worth its start.
const WAITING_FOLDERS: usize = 8;
/// More wait for each other in the kernel than they help.
const MOST_THREADS: usize = 4;
/// Names of one folder that are read at a time.
const BUFFER: usize = 16 << 10;

/// What is below the folder `path` and not ignored, in walk order, as [`Context::list_plain`] gives it.
pub(crate) fn list(context: &Context, path: &TreePath) -> Result<Listed, Error> {
    let full = path.below(context.root());
    let root: OwnedFd = File::open(context.root()).map_err(Error::io("read", &full))?.into();
    let mut queue = Queue::default();
    queue.add(path.clone(), context.state_at(path));
    while let Some(job) = queue.jobs.pop() {
        let number = job.number;
        let listing = context.list_folder(&root, &job, &mut |path, state| queue.add(path, state));
        queue.listings[number] = Some(listing);
        if queue.jobs.len() >= WAITING_FOLDERS {
            queue = on_threads(context, &root, queue);
        }
    }
    Ok(Listed::new(queue.listings))
}

/// Lists all that waits and what it leads to.
fn on_threads(context: &Context, root: &OwnedFd, queue: Queue) -> Queue {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let (queue, changed) = (Mutex::new(queue), Condvar::new());
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || loop {
        let mut state = lock();
        let job = loop {
            match state.jobs.pop() {
                Some(job) => break job,
                None if state.active == 0 => return,
                None => state = changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.active += 1;
        drop(state);
        let mut folders = Vec::new();
        let mut listing = context.list_folder(root, &job, &mut |path, state| {
            folders.push((path, state));
            folders.len() - 1
        });
        let mut state = lock();
        let first = state.listings.len();
        for (path, rules) in folders {
            state.add(path, rules);
        }
        // They were numbered from zero.
        let items = listing.iter_mut().flatten().filter_map(|item| item.below.as_mut());
        items.for_each(|below| *below += first);
        state.listings[job.number] = Some(listing);
        state.active -= 1;
        drop(state);
        changed.notify_all();
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    queue.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// The names in one folder, sorted. Folders among them that are to be looked into are given to `add`.
    fn list_folder(
        &self,
        root: &OwnedFd,
        job: &Job,
        add: &mut dyn FnMut(TreePath, ParentState) -> usize,
    ) -> Result<Vec<Item>, Error> {
        let full = || job.path.below(self.root());
        let error = |errno: Errno| Error::io("read", &full())(errno.into());
        self.check().map_err(Error::io("read", &full()))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = if job.path.is_root() { OsStr::new(".") } else { job.path.to_path().as_os_str() };
        let folder = rustix::fs::openat(root, own, flags, Mode::empty()).map_err(error)?;
        let mut names: Vec<(Vec<u8>, FileType)> = Vec::new();
        let mut buffer = [const { MaybeUninit::uninit() }; BUFFER];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(error)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push((name.to_vec(), entry.file_type()));
            }
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut items = Vec::with_capacity(names.len());
        for (name, kind) in names {
            let path = job.path.join(&name);
            let (decision, state) = self.ignore.matches_with_parent(path.as_bytes(), &job.state);
            let could_hold = || self.ignore.may_match_below(path.as_bytes());
            // A file system need not say what a name is.
            let may_be_folder = matches!(kind, FileType::Directory | FileType::Unknown);
            if decision.ignored && !(may_be_folder && could_hold()) {
                continue;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let name = OsStr::from_bytes(&name);
            let stat = rustix::fs::statx(&folder, name, flags, StatxFlags::BASIC_STATS)
                .map_err(|errno| Error::io("read", &path.below(self.root()))(errno.into()))?;
            let stat = FileStat::from(&stat);
            let is_folder = FileType::from_raw_mode(stat.mode) == FileType::Directory;
            if decision.ignored && !is_folder {
                continue;
            }
            let below = is_folder.then(|| add(path.clone(), state));
            items.push(Item { found: (path, stat), kept: !decision.ignored, below });
        }
        Ok(items)
    }
}

/// The listings of all folders in walk order. A folder that is left out comes before the first thing in
/// it that is not. Each listing goes when it was given out: there is no list of everything.
pub(crate) struct Listed {
    listings: Vec<Option<Result<Vec<Item>, Error>>>,
    /// What is left of the listings from the first one down to the current one, and the folder itself if it
    /// is left out and was not given yet.
    stack: Vec<(vec::IntoIter<Item>, Option<Found>)>,
    /// Given next, the last one first.
    next: Vec<Found>,
    failed: Option<Error>,
}

impl Listed {
    fn new(listings: Vec<Option<Result<Vec<Item>, Error>>>) -> Self {
        let mut listed = Self { listings, stack: Vec::new(), next: Vec::new(), failed: None };
        listed.enter(0, None);
        listed
    }

    /// At most so many will come.
    pub(crate) fn at_most(&self) -> usize {
        self.listings.iter().flatten().flatten().map(Vec::len).sum::<usize>()
            + self.stack.iter().map(|(items, _)| items.len()).sum::<usize>()
    }

    fn enter(&mut self, number: usize, pending: Option<Found>) {
        match self.listings[number].take().expect("each was listed, and is asked for once") {
            Ok(items) => self.stack.push((items.into_iter(), pending)),
            Err(error) => self.failed = Some(error),
        }
    }
}

impl Iterator for Listed {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.next.pop() {
                return Some(Ok(found));
            }
            if let Some(error) = self.failed.take() {
                self.stack.clear();
                return Some(Err(error));
            }
            let (items, _) = self.stack.last_mut()?;
            let Some(item) = items.next() else {
                self.stack.pop();
                continue;
            };
            let mut pending = Some(item.found);
            if item.kept {
                self.next.extend(pending.take());
                self.next.extend(self.stack.iter_mut().rev().filter_map(|(_, it)| it.take()));
            }
            if let Some(number) = item.below {
                self.enter(number, pending);
            }
        }
    }
}
