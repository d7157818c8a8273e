use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_pattern::ParentState;
use walkdir::WalkDir;

use crate::context::{Context, describe};
use crate::error::Error;
use crate::file_stat::FileStat;
use crate::listing::{self, Found};
use crate::stat_cache::Stamp;

/// Files below which a second thread costs more than it saves.
const FILES_PER_THREAD: usize = 64;

impl Context {
    /// Everything below the folder `path`, which itself is left out, in walk order. Names of one
    /// file are hard links to the first of them.
    pub fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, Error> {
        if self.plain {
            let found = self.list_plain(path)?;
            return self.entries(found.len(), found.into_iter().map(Ok));
        }
        let listed = listing::list(self, path)?;
        self.entries(listed.at_most(), listed)
    }

    /// The entries of what was found, at most so many.
    fn entries(
        &self,
        most: usize,
        found: impl Iterator<Item = Result<Found, Error>>,
    ) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::with_capacity(most);
        let mut unknown: Vec<(usize, FileStat)> = Vec::new();
        let mut links: HashMap<(u64, u64), usize> = HashMap::new();
        let mut linked: Vec<(usize, usize)> = Vec::new();
        let mut cache = self.cache();
        for found in found {
            let (path, stat) = found?;
            let Some(mut entry) = describe(path, self.root(), &stat)? else { continue };
            let at = entries.len();
            if let Kind::File { digest, .. } = &mut entry.kind {
                let first = match stat.links {
                    1 => at,
                    _ => *links.entry((stat.device, stat.inode)).or_insert(at),
                };
                if first != at {
                    linked.push((at, first));
                } else if let Some(known) = cache.get(&entry.path, &Stamp::from(&stat)) {
                    *digest = known;
                } else {
                    unknown.push((at, stat));
                }
            }
            entries.push(entry);
        }
        drop(cache);
        self.digests(&mut entries, &unknown)?;
        for (at, first) in linked {
            entries[at].kind = Kind::HardLink { target: entries[first].path.clone() };
        }
        Ok(entries)
    }

    /// Whether the rules keep anything below the folder `path`. An ignored folder is there if something in
    /// it is kept.
    pub(crate) fn keeps_any(&self, path: &TreePath) -> Result<bool, Error> {
        if self.plain {
            return Ok(!self.list_plain(path)?.is_empty());
        }
        listing::list(self, path)?.next().transpose().map(|first| first.is_some())
    }

    /// The same with a general walk, one folder after the other.
    pub(crate) fn list_plain(&self, path: &TreePath) -> Result<Vec<Found>, Error> {
        let start = path.below(self.root());
        let mut found = Vec::new();
        // The folders from `path` down to the current entry: where each is in `found` or how it
        // would get there, and what the rules say below it.
        let mut parents: Vec<Parent> = vec![Parent { pending: None, state: self.state_at(path) }];
        let mut walk = WalkDir::new(&start).min_depth(1).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            self.check().map_err(Error::io("read", &start))?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Err(walk_error(error, &start)),
            };
            parents.truncate(entry.depth());
            let relative = entry.path().strip_prefix(self.root()).unwrap_or(entry.path());
            let child = TreePath::new(relative.as_os_str().as_bytes());
            let parent = parents.last().expect("the start is never truncated");
            let (decision, state) =
                self.ignore.matches_with_parent(child.as_bytes(), &parent.state);
            let is_dir = entry.file_type().is_dir();
            if decision.ignored && !(is_dir && self.ignore.may_match_below(child.as_bytes())) {
                if is_dir {
                    walk.skip_current_dir();
                }
                continue;
            }
            let metadata = entry.metadata().map_err(|error| walk_error(error, &start))?;
            let mut pending = Some((child, FileStat::from(&metadata)));
            if !decision.ignored {
                found.extend(parents.iter_mut().filter_map(|parent| parent.pending.take()));
                found.extend(pending.take());
            }
            if is_dir {
                parents.push(Parent { pending, state });
            }
        }
        Ok(found)
    }

    /// Fills in the digests of files that are not known, given by their place in `entries`: they are
    /// computed on all cores.
    fn digests(&self, entries: &mut [Entry], unknown: &[(usize, FileStat)]) -> Result<(), Error> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(unknown.len().div_ceil(FILES_PER_THREAD));
        let next = AtomicUsize::new(0);
        let begun = SystemTime::now();
        let work = || {
            let (mut done, mut buffer) = (Vec::new(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((at, stat)) = unknown.get(number) else { return (done, None) };
                match self.read_digest(&entries[*at].path, stat, &mut buffer) {
                    Ok(digest) => done.push((number, digest)),
                    Err(error) => return (done, Some(error)),
                }
            }
        };
        let done: Vec<Share> = if threads <= 1 {
            vec![work()]
        } else {
            thread::scope(|scope| {
                let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                let done =
                    workers.into_iter().map(|it| it.join().expect("digesting does not panic"));
                done.collect()
            })
        };
        let mut failed = None;
        let mut cache = self.cache();
        for (digests, error) in done {
            for (number, digest) in digests {
                let (at, stat) = &unknown[number];
                let entry = &mut entries[*at];
                cache.insert(&entry.path, Stamp::from(stat), digest, begun);
                if let Kind::File { digest: unset, .. } = &mut entry.kind {
                    *unset = digest;
                }
            }
            failed = failed.or(error);
        }
        failed.map_or(Ok(()), Err)
    }
}

/// What one thread digested, by the place in the list of files, and what ended it.
type Share = (Vec<(usize, Digest)>, Option<Error>);

/// A folder on the way down.
struct Parent {
    /// The folder itself, if it is ignored and nothing kept was found in it yet.
    pending: Option<Found>,
    state: ParentState,
}

fn walk_error(error: walkdir::Error, start: &Path) -> Error {
    let path = error.path().unwrap_or(start).to_owned();
    Error::Io { action: "read", path, source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use dfbuild_pattern::{PatternSet, parse_ignore_file};

    use super::*;
    use crate::StatCache;

    fn context(files: &[&str], ignore: &str) -> (tempfile::TempDir, Context) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let patterns = parse_ignore_file(ignore.as_bytes());
        let context =
            Context::new(folder.path(), PatternSet::new(patterns).unwrap(), StatCache::default());
        (folder, context)
    }

    fn names(context: &Context, path: &str) -> Vec<String> {
        context.walk(&path.into()).unwrap().iter().map(|e| e.path.to_string()).collect()
    }

    #[test]
    fn walk_is_sorted_and_filtered() {
        let (_folder, context) =
            context(&["b/x", "b-c", "a.log", "node_modules/y/z"], "*.log\nnode_modules");
        assert_eq!(names(&context, ""), ["/b", "/b/x", "/b-c"]);
        assert_eq!(names(&context, "b"), ["/b/x"]);
        assert_eq!(context.get(&"a.log".into()).unwrap(), None);
        assert_eq!(context.get(&"node_modules/y".into()).unwrap(), None);
        assert_eq!(context.read_dir(&"".into()).unwrap(), [b"b".to_vec(), b"b-c".to_vec()]);
    }

    #[test]
    fn folder_of_a_kept_file_is_kept() {
        let (_folder, context) =
            context(&["d/e/keep", "d/e/drop", "d/f/drop", "g"], "*\n!d/e/keep");
        assert_eq!(names(&context, ""), ["/d", "/d/e", "/d/e/keep"]);
        assert!(context.get(&"d".into()).unwrap().is_some());
        assert!(context.get(&"d/f".into()).unwrap().is_none());
        assert_eq!(context.read_dir(&"".into()).unwrap(), [b"d".to_vec()]);
    }

    #[test]
    fn both_ways_list_the_same() {
        let files: Vec<String> = (0..600)
            .map(|n| {
                format!(
                    "d{}/e{}/{}",
                    n % 13,
                    n % 7,
                    ["a", "b-c", "k.log", "x"][n % 4].repeat(n % 3 + 1)
                )
            })
            .chain((0..40).map(|n| format!("d{n}-/deep/er/{n}")))
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        for ignore in [
            "",
            "*.log\nd3",
            "**/e2\n!d5/e2/x",
            "*\n!d1/**/x*\n!**/deep/er/3*",
            "d*/deep\n!d7-/deep/er",
        ] {
            let (folder, context) = context(&files, ignore);
            symlink("d1", folder.path().join("link")).unwrap();
            fs::create_dir(folder.path().join("empty")).unwrap();
            for path in ["", "d1", "d7-/deep"] {
                let listed = listing::list(&context, &path.into()).unwrap();
                let most = listed.at_most();
                let listed: Vec<Found> = listed.collect::<Result<_, _>>().unwrap();
                assert!(listed.len() <= most);
                assert_eq!(listed, context.list_plain(&path.into()).unwrap(), "{ignore:?} {path}");
            }
            assert!(context.keeps_any(&"".into()).unwrap());
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_in_both_ways() {
        let (_folder, context) = context(&["a"], "");
        assert!(context.walk(&"b".into()).is_err() && context.list_plain(&"b".into()).is_err());
    }

    #[test]
    fn links_are_links() {
        let (folder, context) = context(&["file"], "");
        fs::hard_link(folder.path().join("file"), folder.path().join("hard")).unwrap();
        symlink("file", folder.path().join("soft")).unwrap();
        let entries = context.walk(&"".into()).unwrap();
        assert_eq!(entries[0].kind, Kind::File { size: 4, digest: Digest::of("file") });
        assert_eq!(entries[1].kind, Kind::HardLink { target: "file".into() });
        assert_eq!(entries[2].kind, Kind::Symlink { target: b"file".to_vec() });
    }

    #[test]
    fn many_files_on_many_threads() {
        let files: Vec<String> = (0..500).map(|n| format!("f{n:03}")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let (_folder, context) = context(&files, "");
        for (entry, file) in context.walk(&"".into()).unwrap().iter().zip(files) {
            assert_eq!(entry.kind, Kind::File { size: 4, digest: Digest::of(file) });
        }
    }
}
