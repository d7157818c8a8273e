use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dfbuild_context::{Context, StatCache};
use dfbuild_image::Digest;
use dfbuild_pattern::{Pattern, PatternSet, parse_ignore_file};

use super::Source;
use super::file_tree::FileTree;
use super::load::{Material, Materials};
use super::modes::NormalisedModes;
use crate::elsewhere::Checkout;
use crate::engine::Engine;
use crate::error::Error;
use crate::options::BuildContext;
use crate::steps::tree::Tree;

/// The trees of files that a build may copy from.
pub(crate) struct Contexts {
    main: Opened,
    named: BTreeMap<String, Opened>,
    project: Digest,
}

/// How contexts are opened.
pub(crate) struct Opening {
    /// Whether their files have the modes that git keeps.
    pub(crate) normalise_modes: bool,
    /// Whether what is known of unchanged files counts.
    pub(crate) stat_cache: bool,
    /// Whether folders are walked the fast way.
    pub(crate) fast: bool,
}

/// A tree of files, ready to be looked at.
pub(super) enum Opened {
    Folder(Box<Context>),
    Files(Arc<FileTree>),
    Checkout(Arc<Checkout>),
    Normalised(NormalisedModes),
}

impl Contexts {
    /// Opens what was got. `normalise` says whether modes are made those that git keeps.
    pub(crate) fn open(
        materials: &Materials,
        source: &Source,
        engine: &Engine,
        options: &Opening,
    ) -> Result<Self, Error> {
        let opened = |material, own| {
            let opened = Opened::new(material, own, engine, options)?;
            Ok::<_, Error>(if options.normalise_modes {
                Opened::Normalised(NormalisedModes(Box::new(opened)))
            } else {
                opened
            })
        };
        let own = source.path.as_deref().and_then(own_ignore_file);
        let main = opened(&materials.main, own)?;
        let named = materials
            .named
            .iter()
            .map(|(name, material)| Ok::<_, Error>((name.clone(), opened(material, None)?)));
        let named = named.collect::<Result<_, _>>()?;
        Ok(Self { main, named, project: project(materials, source) })
    }

    /// What tells a Dockerfile and its context from others on this machine.
    pub(crate) fn project(&self) -> Digest {
        self.project
    }

    /// The build context.
    pub(crate) fn main(&self) -> &dyn Tree {
        self.main.tree()
    }

    /// A named context that is a tree of files; the plan knows no others.
    pub(crate) fn named(&self, name: &str) -> &dyn Tree {
        self.named[name].tree()
    }

    /// The folder of the build context, or of a named one, if it is one.
    pub(crate) fn folder(&self, name: Option<&str>) -> Option<&Path> {
        let opened = name.map_or(&self.main, |name| &self.named[name]);
        opened.folder().map(Context::root)
    }

    /// Saves what was learned of unchanged files. Failing to costs time later and nothing else.
    pub(crate) fn save(&self, engine: &Engine) {
        for opened in std::iter::once(&self.main).chain(self.named.values()) {
            if let Some(context) = opened.folder() {
                let _ = context.save_stat_cache(&stat_cache_path(context.root(), engine));
            }
        }
    }
}

/// The folder of the context and the name of the Dockerfile; a context from elsewhere has no folder.
pub(crate) fn project(materials: &Materials, source: &Source) -> Digest {
    let folder = match &materials.main {
        Material::Folder(folder) => fs::canonicalize(folder).unwrap_or_else(|_| folder.clone()),
        Material::Files(_) | Material::Checkout(_) => PathBuf::new(),
    };
    Digest::of_texts([folder.as_os_str().as_bytes(), source.name.as_bytes()])
}

impl Opened {
    /// Ignore rules are only for folders, as in BuildKit: whoever made an archive or a commit has
    /// left out what should not be in it.
    fn new(
        material: &Material,
        own: Option<PathBuf>,
        engine: &Engine,
        options: &Opening,
    ) -> Result<Self, Error> {
        Ok(match material {
            Material::Folder(folder) => {
                let file = own.unwrap_or_else(|| folder.join(IGNORE_FILE));
                let context = open(folder, read_ignore_file(&file)?, engine, options.stat_cache)?;
                Self::Folder(Box::new(context.walking_plainly(!options.fast)))
            }
            Material::Files(files) => Self::Files(Arc::clone(files)),
            Material::Checkout(checkout) => Self::Checkout(Arc::clone(checkout)),
        })
    }

    pub(super) fn tree(&self) -> &dyn Tree {
        match self {
            Self::Folder(context) => &**context,
            Self::Files(files) => &**files,
            Self::Checkout(checkout) => &**checkout,
            Self::Normalised(normalised) => normalised,
        }
    }

    fn folder(&self) -> Option<&Context> {
        match self {
            Self::Folder(context) => Some(context),
            Self::Normalised(normalised) => normalised.0.folder(),
            Self::Files(_) | Self::Checkout(_) => None,
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
    stat_cache: bool,
) -> Result<Context, Error> {
    let lines: Vec<usize> = patterns.iter().map(|pattern| pattern.line).collect();
    let ignore = PatternSet::new(patterns).map_err(|source| {
        let (dfbuild_pattern::Error::EmptyExclusion { index }
        | dfbuild_pattern::Error::BadPattern { index }) = source;
        Error::IgnoreFile { path: file.clone(), line: lines[index], source }
    })?;
    let folder = fs::canonicalize(folder).map_err(Error::io("open", folder))?;
    let cache = if stat_cache {
        StatCache::load(&stat_cache_path(&folder, engine))
    } else {
        StatCache::default()
    };
    let ending = engine.ending().clone();
    let context = Context::new(folder, ignore, cache).with_ignore_file(file);
    Ok(context.ending_when(Arc::new(move || ending.is_near())))
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
            let other = path.to_str().map(BuildContext::parse);
            Err(error(match other {
                Some(BuildContext::Git(_) | BuildContext::Url(_)) => {
                    "it is no folder; `BuildContext::parse` takes what is elsewhere".to_owned()
                }
                _ => "there is no such folder".to_owned(),
            }))
        }
        Err(problem) => Err(error(problem.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use dfbuild_context::{FileStat, Stamp};
    use dfbuild_image::{Kind, TreePath};

    use super::*;

    /// `--no-stat-cache` reads files again that nothing shows to have changed.
    #[test]
    fn what_is_known_of_files_counts_if_it_may() {
        // A folder of files that are older than the guard against racy times.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contexts");
        let file = folder.join("open.rs");
        let (store, wrong) = (tempfile::tempdir().unwrap(), Digest::of("not what is in the file"));
        let engine = Engine::open(store.path()).unwrap();
        let folder = fs::canonicalize(folder).unwrap();
        let mut cache = StatCache::default();
        let stamp = Stamp::from(&FileStat::from(&fs::metadata(&file).unwrap()));
        cache.insert(&"open.rs".into(), stamp, wrong, std::time::SystemTime::now());
        cache.save(&stat_cache_path(&folder, &engine), &folder).unwrap();
        let digest = |stat_cache| {
            let context = open(&folder, (file.clone(), Vec::new()), &engine, stat_cache).unwrap();
            let entry = context.get(&TreePath::new("open.rs")).unwrap().unwrap();
            let Kind::File { digest, .. } = entry.kind else { panic!("a file") };
            digest
        };
        assert_eq!(digest(true), wrong);
        assert_eq!(digest(false), Digest::of(fs::read(&file).unwrap()));
    }
}
