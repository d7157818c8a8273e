//! What `COPY` copies where. Follows fsutil's copier, which BuildKit uses, call by call: semantics
//! of paths are the part of a builder that people notice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_dockerfile::chmod::Chmod;
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::Limits;
use dfbuild_pattern::{PatternSet, glob};

use crate::elsewhere::UrlFile;
use crate::error::{IgnoreRule, StepError};
use crate::steps::draft::{Draft, Making};
use crate::steps::missing::not_found;
use crate::steps::origin::Origin;
use crate::steps::tree::{Place, Tree, resolve};

/// How entries change on the way.
pub(crate) struct CopyRules<'a> {
    /// `--chown`.
    pub(crate) owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub(crate) chmod: Option<&'a Chmod>,
    /// `--exclude`.
    pub(crate) excludes: &'a PatternSet,
    /// What archives may unpack to.
    pub(crate) limits: &'a Limits,
}

impl CopyRules<'_> {
    /// Owner and mode of a directory made on the way. A symbolic mode does not reach it.
    pub(crate) fn making(&self) -> Making {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mode = match self.chmod {
            Some(Chmod::Octal(bits)) => bits & 0o777,
            _ => 0o755,
        };
        Making { uid, gid, mode }
    }

    fn apply(&self, mut entry: Entry) -> Entry {
        if let Some((uid, gid)) = self.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let Some(chmod) = self.chmod
            && !matches!(entry.kind, Kind::Symlink { .. })
        {
            entry.mode = chmod.apply(entry.mode, entry.kind.is_directory());
        }
        entry
    }
}

/// A source as it was found: what the Dockerfile named, and what is there.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    /// The path that was named or matched; its last name is the file's new name.
    pub(crate) path: TreePath,
    /// Where it leads.
    pub(crate) place: Place,
}

/// The matches of one source: the path itself, or what its wildcards match.
pub(crate) fn find(tree: &dyn Tree, source: &str) -> Result<Vec<Match>, StepError> {
    let get = |path: &TreePath| tree.get(path);
    let path = TreePath::new(source);
    let names: Vec<&[u8]> = path.names().collect();
    let plain = names.iter().take_while(|name| !has_wildcard(name)).count();
    if plain == names.len() {
        let place = resolve(&get, &path, true)?;
        if place.entry.is_none() {
            return Err(not_found(tree, path.to_string(), &place.path));
        }
        return Ok(vec![Match { path, place }]);
    }
    let start = TreePath::new(names[..plain].join(&b'/'));
    let mut found = vec![resolve(&get, &start, true)?.path];
    for pattern in &names[plain..] {
        found = expand(tree, &found, pattern, source)?;
    }
    let matches = found.into_iter().map(|path| {
        let place = resolve(&get, &path, true)?;
        if place.entry.is_none() {
            return Err(not_found(tree, path.to_string(), &place.path));
        }
        Ok(Match { path, place })
    });
    matches.collect()
}

/// How many files and folders `source` would match if ignore rules did not leave out all of them, and
/// the rule of the first. `None` if they leave something, or there is nothing.
pub(crate) fn all_ignored(tree: &dyn Tree, source: &str) -> Option<(usize, IgnoreRule)> {
    let has_pattern = TreePath::new(source).names().any(has_wildcard);
    let all = tree.without_rules().filter(|_| has_pattern)?;
    let matches = find(tree, source).ok()?;
    let matches = if matches.is_empty() { find(&*all, source).ok()? } else { return None };
    Some((matches.len(), tree.ignored_by(&matches.first()?.path)?))
}

/// The names in `directories` that match; links among them are not directories.
fn expand(
    tree: &dyn Tree,
    directories: &[TreePath],
    pattern: &[u8],
    source: &str,
) -> Result<Vec<TreePath>, StepError> {
    let mut found = Vec::new();
    for directory in directories {
        if !tree.get(directory)?.is_some_and(|entry| entry.kind.is_directory()) {
            continue;
        }
        for name in tree.read_dir(directory)? {
            let matched = glob(pattern, &name)
                .map_err(|_| StepError::BadPattern { pattern: source.to_owned() })?;
            if matched {
                found.push(directory.join(name));
            }
        }
    }
    Ok(found)
}

/// Whether Go's `filepath.Match` would take `name` for a pattern; a backslash hides what follows.
fn has_wildcard(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Copies one match to `dest`, which ends with a slash if it names a directory.
pub(crate) fn copy_match(
    draft: &mut Draft<'_>,
    tree: &dyn Tree,
    source: &Match,
    dest: &str,
    rules: &CopyRules<'_>,
) -> Result<(), StepError> {
    let target = open_target(draft, dest, rules)?;
    let source_entry = source.place.entry.as_ref().expect("a match exists");
    if source_entry.kind.is_directory() {
        let files = tree.walk_again(&source.place.path)?;
        copy_directory(draft, tree, source_entry, &files, &target, rules)
    } else {
        let target = inside(draft, target, source.path.name().unwrap_or_default());
        let entry = Entry { path: target.clone(), ..source_entry.clone() };
        put_file(draft, entry, tree.origin(&source.place.path), rules)?;
        note_clock(draft, tree, &source.place.path, &target);
        Ok(())
    }
}

/// Writes a file of the Dockerfile to `dest`.
pub(crate) fn copy_inline(
    draft: &mut Draft<'_>,
    name: &str,
    text: &str,
    dest: &str,
    rules: &CopyRules<'_>,
) -> Result<(), StepError> {
    let target = open_target(draft, dest, rules)?;
    let target = inside(draft, target, name.as_bytes());
    let bytes: Arc<[u8]> = text.as_bytes().into();
    let kind = Kind::File { size: bytes.len() as u64, digest: Digest::of(&bytes) };
    let entry = Entry::new(target.clone(), kind, 0o644, draft.made_at);
    put_file(draft, entry, Origin::Bytes(bytes), rules)?;
    draft.note_made(&target);
    Ok(())
}

/// Writes a file of the network to `dest`. It is root's alone.
pub(crate) fn copy_fetched(
    draft: &mut Draft<'_>,
    file: &UrlFile,
    content: PathBuf,
    dest: &str,
    rules: &CopyRules<'_>,
) -> Result<(), StepError> {
    let target = open_target(draft, dest, rules)?;
    let target = inside(draft, target, file.name.as_bytes());
    let kind = Kind::File { size: file.size, digest: file.digest };
    let entry = Entry::new(target, kind, 0o600, file.mtime);
    put_file(draft, entry, Origin::Spooled(content), rules)
}

/// Makes what `dest` needs to be there, and follows its links, the last one too.
pub(crate) fn open_target(
    draft: &mut Draft<'_>,
    dest: &str,
    rules: &CopyRules<'_>,
) -> Result<TreePath, StepError> {
    let path = TreePath::new(dest);
    let needed = if dest.ends_with('/') { Some(path.clone()) } else { path.parent() };
    if let Some(needed) = needed {
        draft.make_directories(&needed, rules.making())?;
    }
    Ok(draft.resolve(&path, true)?.path)
}

/// A file that goes into a directory keeps its name there.
fn inside(draft: &Draft<'_>, target: TreePath, name: &[u8]) -> TreePath {
    let is_directory = draft.get(&target).is_some_and(|entry| entry.kind.is_directory());
    if is_directory { target.join(name) } else { target }
}

/// Puts an entry that is no directory.
fn put_file(
    draft: &mut Draft<'_>,
    entry: Entry,
    origin: Origin,
    rules: &CopyRules<'_>,
) -> Result<(), StepError> {
    if let Some(parent) = entry.path.parent() {
        draft.make_directories(&parent, rules.making())?;
    }
    if draft.get(&entry.path).is_some_and(|old| old.kind.is_directory()) {
        let message = format!("cannot replace to directory {} with file", entry.path);
        return Err(StepError::Clash(message));
    }
    let origin = if matches!(entry.kind, Kind::File { .. }) { origin } else { Origin::None };
    draft.put(rules.apply(entry), origin);
    Ok(())
}

/// Copies what is in a directory into `target`. The directory itself gives only its time.
fn copy_directory(
    draft: &mut Draft<'_>,
    tree: &dyn Tree,
    top: &Entry,
    files: &[Entry],
    target: &TreePath,
    rules: &CopyRules<'_>,
) -> Result<(), StepError> {
    match draft.get(target) {
        Some(entry) if !entry.kind.is_directory() => {
            return Err(StepError::Clash(format!("cannot copy to non-directory: {target}")));
        }
        Some(_) => {}
        None => drop(draft.make_directories(target, rules.making())?),
    }
    let top_path = &top.path;
    let linked = link_targets(files);
    let mut copied = Copied { tree, top: top_path, target, files, rules, linked };
    for entry in files {
        copied.one(draft, entry)?;
    }
    draft.amend(target, &|entry| entry.mtime = top.mtime);
    note_clock(draft, tree, top_path, target);
    Ok(())
}

/// Notes that a time of the source came from a clock, so that it still counts as one.
fn note_clock(draft: &mut Draft<'_>, tree: &dyn Tree, from: &TreePath, to: &TreePath) {
    if tree.has_clock_time(from) {
        draft.note_made(to);
    }
}

/// A directory that is being copied.
struct Copied<'a> {
    tree: &'a dyn Tree,
    top: &'a TreePath,
    target: &'a TreePath,
    files: &'a [Entry],
    rules: &'a CopyRules<'a>,
    /// Where the first name of each file with several went.
    linked: HashMap<&'a TreePath, Option<TreePath>>,
}

/// The files that others are hard links to.
fn link_targets(files: &[Entry]) -> HashMap<&TreePath, Option<TreePath>> {
    let targets = files.iter().filter_map(|entry| match &entry.kind {
        Kind::HardLink { target } => Some((target, None)),
        _ => None,
    });
    targets.collect()
}

impl<'a> Copied<'a> {
    fn one(&mut self, draft: &mut Draft<'_>, entry: &'a Entry) -> Result<(), StepError> {
        let relative = entry.path.strip_prefix(self.top).expect("it lies below the top");
        if self.rules.excludes.matches(relative.as_bytes()).ignored {
            return Ok(());
        }
        let to = relative.inside(self.target);
        self.parents(draft, &relative)?;
        if entry.kind.is_directory() {
            return self.directory(draft, entry, &to);
        }
        let (kind, from) = match &entry.kind {
            Kind::HardLink { target: first } => match self.linked.get(first) {
                Some(Some(first)) => (Kind::HardLink { target: first.clone() }, None),
                // The first name was left out: this one becomes the file.
                _ => (self.file_kind(first), Some(first.clone())),
            },
            kind => (kind.clone(), Some(entry.path.clone())),
        };
        let key = match &entry.kind {
            Kind::HardLink { target: first } => first,
            _ => &entry.path,
        };
        if from.is_some()
            && let Some(first) = self.linked.get_mut(key)
        {
            *first = Some(to.clone());
        }
        let origin = from.map_or(Origin::None, |from| self.tree.origin(&from));
        put_file(draft, Entry { path: to.clone(), kind, ..entry.clone() }, origin, self.rules)?;
        note_clock(draft, self.tree, &entry.path, &to);
        Ok(())
    }

    fn file_kind(&self, path: &TreePath) -> Kind {
        let at = self.files.binary_search_by(|entry| entry.path.cmp(path));
        self.files[at.expect("a hard link leads to an earlier entry")].kind.clone()
    }

    /// Makes the parents that an exclusion left out although something in them is taken.
    fn parents(&self, draft: &mut Draft<'_>, relative: &TreePath) -> Result<(), StepError> {
        if self.rules.excludes.is_empty() {
            return Ok(());
        }
        for parent in relative.ancestors() {
            let to = self.target.join(parent.as_bytes());
            if draft.get(&to).is_none() {
                let from = self.top.join(parent.as_bytes());
                let at = self.files.binary_search_by(|entry| entry.path.cmp(&from));
                self.directory(draft, &self.files[at.expect("it was walked")], &to)?;
            }
        }
        Ok(())
    }

    fn directory(
        &self,
        draft: &mut Draft<'_>,
        entry: &Entry,
        to: &TreePath,
    ) -> Result<(), StepError> {
        match draft.get(to) {
            Some(old) if !old.kind.is_directory() => {
                Err(StepError::Clash(format!("cannot copy to non-directory: {to}")))
            }
            _ => {
                let copy = Entry { path: to.clone(), ..entry.clone() };
                draft.put(self.rules.apply(copy), Origin::None);
                note_clock(draft, self.tree, &entry.path, to);
                Ok(())
            }
        }
    }
}

/// What one source of `COPY --parents` selects below one pivot.
#[derive(Debug)]
pub(crate) struct WithParents {
    /// The directory before `/./`, which stays behind.
    pub(crate) top: TreePath,
    /// Its time; the destination gets it.
    mtime: i64,
    /// What is selected and the directories on the way to it, as they are in the source.
    pub(crate) files: Vec<Entry>,
}

/// What one source of `COPY --parents` selects. The part before `/./` may have wildcards, and then
/// stands for several directories.
pub(crate) fn find_with_parents(
    tree: &dyn Tree,
    source: &str,
) -> Result<Vec<WithParents>, StepError> {
    let (pivot, pattern) = source.split_once("/./").unwrap_or(("", source));
    let pattern = TreePath::new(pattern.strip_suffix("/.").unwrap_or(pattern));
    let is_directory =
        |found: &Match| found.place.entry.as_ref().is_some_and(|entry| entry.kind.is_directory());
    let mut selected = Vec::new();
    let mut is_missing = !pattern.names().any(has_wildcard);
    for found in find(tree, pivot)?.into_iter().filter(is_directory) {
        let mtime = found.place.entry.map_or(0, |entry| entry.mtime);
        let top = found.place.path;
        if let Some(files) = select_with_parents(tree, &top, &pattern, source)? {
            is_missing = false;
            selected.push(WithParents { top, mtime, files });
        }
    }
    if is_missing {
        let path = format!("/{}", source.trim_start_matches('/'));
        return Err(not_found(tree, path, &pattern));
    }
    Ok(selected)
}

/// `None` if what is named without wildcards is not there.
fn select_with_parents(
    tree: &dyn Tree,
    top: &TreePath,
    pattern: &TreePath,
    source: &str,
) -> Result<Option<Vec<Entry>>, StepError> {
    let names: Vec<&[u8]> = pattern.names().collect();
    let plain = names.iter().take_while(|name| !has_wildcard(name)).count();
    let start = top.join(names[..plain].join(&b'/'));
    // A link on the way is not followed: it is itself what a pattern would meet.
    let place = resolve(&|path| tree.get(path), &start, false)?;
    let Some(found) = place.entry.filter(|_| place.path == start) else { return Ok(None) };
    let mut candidates = vec![found.clone()];
    if found.kind.is_directory() {
        candidates.extend(tree.walk(&start)?);
    }
    let all = if plain < names.len() { candidates.clone() } else { Vec::new() };
    if plain < names.len() {
        let set = PatternSet::from_texts([pattern.as_bytes()])
            .map_err(|_| StepError::BadPattern { pattern: source.to_owned() })?;
        candidates.retain(|entry| {
            let relative = entry.path.strip_prefix(top).expect("it lies below the pivot");
            set.matches(relative.as_bytes()).ignored
        });
    }
    mend_links(&mut candidates, &all);
    let mut selected: BTreeMap<TreePath, Entry> = BTreeMap::new();
    for entry in candidates {
        for parent in entry.path.ancestors().filter(|p| p.starts_with(top) && p != top) {
            if !selected.contains_key(&parent)
                && let Some(directory) = tree.get(&parent)?
            {
                selected.insert(parent, directory);
            }
        }
        selected.insert(entry.path.clone(), entry);
    }
    selected.remove(top);
    Ok(Some(selected.into_values().collect()))
}

/// Makes whole again what a filter took apart: of the names of a file whose first one is gone, the
/// next becomes the file, and the others lead to it. `all` is what there was before, in walk order.
pub(crate) fn mend_links(kept: &mut [Entry], all: &[Entry]) {
    let present: HashSet<TreePath> = kept.iter().map(|entry| entry.path.clone()).collect();
    let mut first: BTreeMap<TreePath, TreePath> = BTreeMap::new();
    for entry in kept {
        let Kind::HardLink { target } = &entry.kind else { continue };
        if present.contains(target) {
            continue;
        }
        if let Some(path) = first.get(target) {
            entry.kind = Kind::HardLink { target: path.clone() };
        } else if let Ok(at) = all.binary_search_by(|other| other.path.cmp(target)) {
            first.insert(target.clone(), entry.path.clone());
            entry.kind = all[at].kind.clone();
        }
    }
}

/// Copies what [`find_with_parents`] selected to the directory `dest`.
pub(crate) fn copy_with_parents(
    draft: &mut Draft<'_>,
    tree: &dyn Tree,
    selected: &WithParents,
    dest: &str,
    rules: &CopyRules<'_>,
) -> Result<(), StepError> {
    let WithParents { top, mtime, files } = selected;
    let target = draft.make_directories(&TreePath::new(dest), rules.making())?;
    let linked = link_targets(files);
    let mut copied = Copied { tree, top, target: &target, files, rules, linked };
    for entry in files {
        copied.one(draft, entry)?;
    }
    draft.amend(&target, &|entry| entry.mtime = *mtime);
    Ok(())
}
