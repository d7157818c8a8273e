use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use dfbuild_cache::{Selected as Content, file_nodes};
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_pattern::PatternSet;
use dfbuild_plan::{CopySource, CopyStep};
use dfbuild_store::Staging;

use crate::elsewhere::{Fetcher, Repository, UrlFile};
use crate::error::StepError;
use crate::images::rootfs::Rootfs;
use crate::schedule::nodes::Keep;
use crate::steps::archive;
use crate::steps::copy::{
    CopyRules, Match, WithParents, copy_fetched, copy_inline, copy_match, copy_with_parents, find,
    find_with_parents, mend_links, open_target,
};
use crate::steps::draft::{Draft, Finished};
use crate::steps::tree::{Place, Tree};
use crate::steps::users::Users;

/// What the sources of a step select, in order.
pub(crate) struct Selection {
    sources: Vec<Selected>,
}

enum Selected {
    Matches(Vec<Match>),
    WithParents(Vec<WithParents>),
    Inline { name: String, text: String },
    Fetched(Arc<UrlFile>),
    Repository(Arc<Repository>),
}

impl Selection {
    /// Looks the sources up in `tree`, and those of the network with `fetcher`.
    pub(crate) fn find(
        step: &CopyStep,
        tree: &dyn Tree,
        fetcher: &Fetcher<'_>,
    ) -> Result<Self, StepError> {
        let add = step.add.as_ref();
        let checksum = add.and_then(|add| add.checksum.as_deref());
        let sources = step.sources.iter().map(|source| -> Result<_, StepError> {
            match source {
                CopySource::Path(path) if step.parents => {
                    Ok(Selected::WithParents(find_with_parents(tree, path)?))
                }
                CopySource::Path(path) => Ok(Selected::Matches(find(tree, path)?)),
                CopySource::Inline { name, text } => {
                    Ok(Selected::Inline { name: name.clone(), text: text.clone() })
                }
                CopySource::Url(url) => {
                    let file = fetcher.file(url, checksum)?;
                    check(checksum, &file)?;
                    Ok(Selected::Fetched(file))
                }
                CopySource::Git(reference) => {
                    let keep_git_dir = add.and_then(|add| add.keep_git_dir);
                    let repository = fetcher.repository(reference, keep_git_dir)?;
                    repository.check(checksum.unwrap_or_default())?;
                    Ok(Selected::Repository(repository))
                }
            }
        });
        Ok(Self { sources: sources.collect::<Result<_, _>>()? })
    }

    /// The digest of what is selected: names where they matter, and content; never times. Hands the
    /// folders that it is made of to `keep`.
    pub(crate) fn digest(
        &self,
        step: &CopyStep,
        tree: &dyn Tree,
        keep: Keep<'_>,
    ) -> Result<Digest, StepError> {
        let excludes = excludes(step)?;
        let mut sources = Vec::new();
        for source in &self.sources {
            sources.push(source.content(tree, &excludes, keep)?);
        }
        let bytes = dfbuild_cache::Selection { sources }.encode();
        let digest = Digest::of(&bytes);
        keep(digest, bytes);
        Ok(digest)
    }

    /// The paths of what is selected, by source, in the order of the digest.
    pub(crate) fn paths(&self) -> Vec<Vec<TreePath>> {
        let paths = |source: &Selected| match source {
            Selected::Matches(matches) => matches.iter().map(|found| found.path.clone()).collect(),
            Selected::WithParents(selected) => {
                selected.iter().map(|selected| selected.top.clone()).collect()
            }
            _ => vec![TreePath::ROOT],
        };
        self.sources.iter().map(paths).collect()
    }
}

impl Selected {
    /// What the key knows of it.
    fn content(
        &self,
        tree: &dyn Tree,
        excludes: &PatternSet,
        keep: Keep<'_>,
    ) -> Result<Vec<Content>, StepError> {
        Ok(match self {
            Self::Matches(matches) => {
                let contents =
                    matches.iter().map(|found| match_content(found, tree, excludes, keep));
                contents.collect::<Result<_, _>>()?
            }
            Self::WithParents(selected) => {
                let contents = selected.iter().map(|WithParents { top, files, .. }| {
                    let files = without(files, top, excludes);
                    Content::WithParents(file_nodes(top, &files, keep))
                });
                contents.collect()
            }
            Self::Fetched(file) => {
                vec![Content::Url { name: file.name.clone(), digest: file.digest }]
            }
            Self::Repository(repository) => vec![Content::Repository {
                commit: repository.commit.clone(),
                directory: repository.sub_dir().to_owned(),
            }],
            Self::Inline { .. } => vec![Content::Inline],
        })
    }
}

fn match_content(
    found: &Match,
    tree: &dyn Tree,
    excludes: &PatternSet,
    keep: Keep<'_>,
) -> Result<Content, StepError> {
    let entry = found.place.entry.as_ref().expect("a match exists");
    if entry.kind.is_directory() {
        // The name of a directory that is copied does not matter, only what is in it.
        let all = tree.walk(&found.place.path)?;
        let files = without(&all, &found.place.path, excludes);
        let nodes = file_nodes(&found.place.path, &files, keep);
        drop(files);
        tree.keep_walk(&found.place.path, all);
        return Ok(Content::Directory(nodes));
    }
    let name = TreePath::new(found.path.name().unwrap_or_default());
    let named = Entry { path: name, ..entry.clone() };
    Ok(Content::File(file_nodes(&TreePath::ROOT, &[named], keep)))
}

fn without<'a>(files: &'a [Entry], top: &TreePath, excludes: &PatternSet) -> Cow<'a, [Entry]> {
    if excludes.is_empty() {
        return Cow::Borrowed(files);
    }
    let kept = files.iter().filter(|entry| {
        let relative = entry.path.strip_prefix(top).expect("it lies below");
        !excludes.matches(relative.as_bytes()).ignored
    });
    let mut kept: Vec<Entry> = kept.cloned().collect();
    if kept.len() < files.len() {
        mend_links(&mut kept, files);
    }
    Cow::Owned(kept)
}

/// `--checksum`.
fn check(checksum: Option<&str>, file: &UrlFile) -> Result<(), StepError> {
    match checksum {
        Some(expected) if expected != file.digest.to_string() => {
            Err(StepError::Checksum { expected: expected.to_owned(), found: file.digest })
        }
        _ => Ok(()),
    }
}

/// Carries out a `COPY` or `ADD`.
pub(crate) fn copy(
    step: &CopyStep,
    tree: &dyn Tree,
    fetcher: &Fetcher<'_>,
    rootfs: &Rootfs<'_>,
    staging: &Staging,
    made_at: i64,
) -> Result<Finished, StepError> {
    let selection = Selection::find(step, tree, fetcher)?;
    let excludes = excludes(step)?;
    let rules = CopyRules {
        owner: owner(step, rootfs)?,
        chmod: step.chmod.as_ref(),
        excludes: &excludes,
        limits: rootfs.engine().limits(),
    };
    let empty = Rootfs::empty(rootfs.engine());
    // A linked copy is made on nothing and lies on top: the links and directories below it do not
    // matter. BuildKit does so only without `--chmod`.
    let below = if step.link && step.chmod.is_none() { &empty } else { rootfs };
    let mut draft = Draft::new(below.view()?, made_at);
    for source in &selection.sources {
        match source {
            Selected::Matches(matches) => {
                for found in matches {
                    if !unpacked(step, found, tree, &mut draft, &rules, staging)? {
                        copy_match(&mut draft, tree, found, &step.dest, &rules)?;
                    }
                }
            }
            Selected::WithParents(selected) => {
                for selected in selected {
                    copy_with_parents(&mut draft, tree, selected, &step.dest, &rules)?;
                }
            }
            Selected::Fetched(file) => {
                let content = fetcher.content(file)?;
                if !unpacked_fetched(step, &content, &mut draft, &rules, staging)? {
                    copy_fetched(&mut draft, file, content, &step.dest, &rules)?;
                }
            }
            Selected::Repository(repository) => {
                let files = repository.files(fetcher)?;
                let place = Place { path: TreePath::ROOT, entry: files.get(&TreePath::ROOT)? };
                let all = Match { path: TreePath::ROOT, place };
                copy_match(&mut draft, &*files, &all, &step.dest, &rules)?;
            }
            Selected::Inline { name, text } => {
                copy_inline(&mut draft, name, text, &step.dest, &rules)?;
            }
        }
    }
    draft.finish()
}

fn excludes(step: &CopyStep) -> Result<PatternSet, StepError> {
    PatternSet::from_texts(&step.excludes)
        .map_err(|_| StepError::BadPattern { pattern: step.excludes.join(" ") })
}

fn owner(step: &CopyStep, rootfs: &Rootfs<'_>) -> Result<Option<(u32, u32)>, StepError> {
    let Some(spec) = &step.chown else { return Ok(None) };
    let users = if step.link && step.chmod.is_none() {
        Users::unseen("with --link the image is not looked at; give its number")
    } else {
        Users::read(rootfs)?
    };
    users.owner(spec).map(Some)
}

/// Unpacks an archive that `ADD` finds, unless it must not. `false` if it is none.
fn unpacked(
    step: &CopyStep,
    found: &Match,
    tree: &dyn Tree,
    draft: &mut Draft<'_>,
    rules: &CopyRules<'_>,
    staging: &Staging,
) -> Result<bool, StepError> {
    let Some(add) = &step.add else { return Ok(false) };
    let entry = found.place.entry.as_ref().expect("a match exists");
    if add.unpack == Some(false) || !matches!(entry.kind, Kind::File { .. }) {
        return Ok(false);
    }
    let open = || tree.open(&found.place.path);
    unpack_archive(step, found.place.path.to_path(), &open, draft, rules, staging)
}

/// The same for a file of the network, which is only unpacked if that is asked for.
fn unpacked_fetched(
    step: &CopyStep,
    content: &Path,
    draft: &mut Draft<'_>,
    rules: &CopyRules<'_>,
    staging: &Staging,
) -> Result<bool, StepError> {
    if step.add.as_ref().and_then(|add| add.unpack) != Some(true) {
        return Ok(false);
    }
    let open = || -> io::Result<Box<dyn Read>> { Ok(Box::new(File::open(content)?)) };
    unpack_archive(step, content, &open, draft, rules, staging)
}

/// Unpacks a file if it is an archive.
fn unpack_archive<'r>(
    step: &CopyStep,
    path: &Path,
    open: &dyn Fn() -> io::Result<Box<dyn Read + 'r>>,
    draft: &mut Draft<'_>,
    rules: &CopyRules<'_>,
    staging: &Staging,
) -> Result<bool, StepError> {
    let failed = |error| StepError::io("read", path)(error);
    if !archive::is_archive(open().map_err(failed)?).map_err(failed)? {
        return Ok(false);
    }
    // Whatever its last character: an archive is unpacked into a directory.
    let dest = format!("{}/", step.dest.trim_end_matches('/'));
    let plain = CopyRules { chmod: None, ..*rules };
    let target = open_target(draft, &dest, &plain)?;
    let file = open().map_err(failed)?;
    archive::extract(draft, file, &target, rules.owner, staging, rules.limits)?;
    Ok(true)
}
