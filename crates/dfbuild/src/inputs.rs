use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dfbuild_context::{Context, StatCache};
use dfbuild_dockerfile::parse;
use dfbuild_image::Digest;
use dfbuild_pattern::{Pattern, PatternSet, parse_ignore_file};
use dfbuild_plan::context_key;

use crate::build::{Build, Dockerfile};
use crate::engine::Engine;
use crate::error::Error;
use crate::options::BuildContext;

/// The Dockerfile of a build.
pub(crate) struct Source {
    /// What to call it.
    pub(crate) name: String,
    /// Its text, which has no errors.
    pub(crate) text: String,
    /// Where it is, if it is a file.
    path: Option<PathBuf>,
}

impl Source {
    /// Reads and parses the Dockerfile of `build`.
    pub(crate) fn read(build: &Build) -> Result<Self, Error> {
        let (name, path, text) = match &build.dockerfile {
            Dockerfile::Text(text) => ("Dockerfile".to_owned(), None, text.clone()),
            Dockerfile::File(path) => {
                let text = read_text(path)?;
                (path.display().to_string(), Some(path.clone()), text)
            }
            Dockerfile::Default => {
                let path = build.context.join("Dockerfile");
                ("Dockerfile".to_owned(), Some(path.clone()), read_text(&path)?)
            }
        };
        let diagnostics = parse(&text).diagnostics;
        if diagnostics.iter().any(dfbuild_dockerfile::Diagnostic::is_error) {
            return Err(Error::Dockerfile { name, text, diagnostics });
        }
        Ok(Self { name, text, path })
    }
}

fn read_text(path: &Path) -> Result<String, Error> {
    let bytes =
        fs::read(path).map_err(|source| Error::NoDockerfile { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The folders that a build may copy from.
pub(crate) struct Contexts {
    /// The build context.
    pub(crate) main: Context,
    /// Named contexts that are folders.
    pub(crate) named: BTreeMap<String, Context>,
}

impl Contexts {
    pub(crate) fn open(build: &Build, source: &Source, engine: &Engine) -> Result<Self, Error> {
        let patterns = match source.path.as_deref().and_then(own_ignore_file) {
            Some(file) => read_ignore_file(&file)?,
            None => read_ignore_file(&build.context.join(IGNORE_FILE))?,
        };
        let main = open(&build.context, patterns, engine)?;
        let mut named = BTreeMap::new();
        for (name, context) in &build.build_contexts {
            if let BuildContext::Directory(folder) = context {
                check_folder(folder)?;
                let patterns = read_ignore_file(&folder.join(IGNORE_FILE))?;
                named.insert(context_key(name), open(folder, patterns, engine)?);
            }
        }
        Ok(Self { main, named })
    }

    /// Saves what was learned of unchanged files. Failing to costs time later and nothing else.
    pub(crate) fn save(&self, engine: &Engine) {
        for context in std::iter::once(&self.main).chain(self.named.values()) {
            let _ = context.stat_cache().save(&stat_cache_path(context.root(), engine));
        }
    }
}

const IGNORE_FILE: &str = ".dockerignore";

/// `<Dockerfile>.dockerignore`, which takes the place of the context's if it is there.
fn own_ignore_file(dockerfile: &Path) -> Option<PathBuf> {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(IGNORE_FILE);
    Some(PathBuf::from(name)).filter(|path| path.is_file())
}

fn read_ignore_file(path: &Path) -> Result<(PathBuf, Vec<Pattern>), Error> {
    match fs::read(path) {
        Ok(bytes) => Ok((path.to_owned(), parse_ignore_file(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path.to_owned(), Vec::new())),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn open(
    folder: &Path,
    (file, patterns): (PathBuf, Vec<Pattern>),
    engine: &Engine,
) -> Result<Context, Error> {
    let lines: Vec<usize> = patterns.iter().map(|pattern| pattern.line).collect();
    let ignore = PatternSet::new(patterns).map_err(|source| {
        let (dfbuild_pattern::Error::EmptyExclusion { index }
        | dfbuild_pattern::Error::BadPattern { index }) = source;
        Error::IgnoreFile { path: file, line: lines[index], source }
    })?;
    let folder = fs::canonicalize(folder).map_err(Error::io("open", folder))?;
    let cache = StatCache::load(&stat_cache_path(&folder, engine));
    let ending = engine.ending().clone();
    Ok(Context::new(folder, ignore, cache).ending_when(Arc::new(move || ending.is_near())))
}

fn stat_cache_path(folder: &Path, engine: &Engine) -> PathBuf {
    let name = Digest::of(folder.as_os_str().as_bytes()).hex();
    engine.store().scratch_path(&format!("stat-{name}"))
}

/// Whether there is a folder at `path`.
pub(crate) fn check_folder(path: &Path) -> Result<(), Error> {
    let error = |reason: String| Error::Context { path: path.to_owned(), reason };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(error("it is a file; give the folder that holds what is copied".to_owned())),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            Err(error("there is no such folder".to_owned()))
        }
        Err(problem) => Err(error(problem.to_string())),
    }
}
