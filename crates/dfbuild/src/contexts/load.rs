use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_image::TreePath;
use dfbuild_layer::archive::detect;
use dfbuild_plan::context_key;
use dfbuild_remote::without_secrets;

use super::file_tree::FileTree;
use crate::build::{Build, Dockerfile};
use crate::elsewhere::{Checkout, Fetcher};
use crate::error::{Error, StepError};
use crate::event::Observer;
use crate::options::BuildContext;
use crate::schedule::progress::task;
use crate::steps::archive::{is_archive, read_head};
use crate::steps::tree::{Tree, resolve};

/// What the contexts of a build are made from, each got once: a stream cannot be read again.
pub(crate) struct Materials {
    pub(crate) main: Material,
    /// Those that are trees of files.
    pub(crate) named: BTreeMap<String, Material>,
    /// The Dockerfile, if it is all that the context was.
    pub(crate) dockerfile: Option<Vec<u8>>,
}

/// A tree of files to copy from.
#[derive(Clone)]
pub(crate) enum Material {
    /// A folder of the user.
    Folder(PathBuf),
    /// An archive.
    Files(Arc<FileTree>),
    /// A git repository.
    Checkout(Arc<Checkout>),
}

/// A Dockerfile is a text that people wrote.
const LARGEST_DOCKERFILE: u64 = 16 << 20;

/// What BuildKit calls a file that is the whole context, the Dockerfile (`dockerui`).
const HTTP_NAME: &str = "context";

/// As much as it takes to know an archive.
const HEAD: usize = 512;

impl Materials {
    /// Gets what `build` needs from where it is.
    pub(crate) fn load(
        build: &Build,
        fetcher: &Fetcher<'_>,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let loader = Loader { build, fetcher, observer };
        let (main, dockerfile) = loader.main()?;
        let mut named = BTreeMap::new();
        for (name, context) in &build.build_contexts {
            if let Some(material) = loader.named(name, context)? {
                named.insert(context_key(name), material);
            }
        }
        Ok(Self { main, named, dockerfile })
    }
}

struct Loader<'a> {
    build: &'a Build,
    fetcher: &'a Fetcher<'a>,
    observer: &'a dyn Observer,
}

impl Loader<'_> {
    /// The context itself, and the Dockerfile if that is all it is.
    fn main(&self) -> Result<(Material, Option<Vec<u8>>), Error> {
        let empty = || Material::Files(Arc::new(FileTree::empty()));
        match &self.build.context {
            BuildContext::Directory(folder) => {
                super::open::check_folder(folder)?;
                Ok((Material::Folder(folder.clone()), None))
            }
            BuildContext::Empty => Ok((empty(), None)),
            BuildContext::Stream(stream) => {
                let loaded = self.told("from a stream", || {
                    let stream = stream.take().ok_or_else(|| {
                        StepError::Unsupported("the stream was read before".to_owned())
                    })?;
                    self.stream(stream)
                })?;
                match loaded {
                    Ok(files) => Ok((Material::Files(Arc::new(files)), None)),
                    Err(_) if matches!(self.build.dockerfile, Dockerfile::File(_)) => {
                        Err(Error::Option {
                            option: "the Dockerfile".to_owned(),
                            reason: "ambiguous Dockerfile source: both the stream and the name \
                                     of a file stand for one"
                                .to_owned(),
                        })
                    }
                    Err(dockerfile) => Ok((empty(), Some(dockerfile))),
                }
            }
            BuildContext::Git(reference) => {
                let args = &self.build.build_args;
                let keep = args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
                let keep = keep.map(|value| matches!(value.as_str(), "1" | "true"));
                Ok((self.repository(reference, keep)?, None))
            }
            BuildContext::Url(url) => self.told(&without_secrets(url), || {
                let file = self.fetcher.file(url, None)?;
                let content = self.fetcher.kept_content(&file)?;
                if let Some(files) = self.unpack_file(&content)? {
                    return Ok((Material::Files(Arc::new(files)), None));
                }
                let opened = File::open(&content).map_err(StepError::io("read", &content))?;
                let dockerfile = read_dockerfile(opened)?;
                let files = FileTree::of_file(HTTP_NAME, &file, content)?;
                Ok((Material::Files(Arc::new(files)), Some(dockerfile)))
            }),
            BuildContext::Image(_) | BuildContext::OciLayout(..) => Err(Error::Option {
                option: "the context".to_owned(),
                reason: "an image is no build context; --build-context can name it".to_owned(),
            }),
        }
    }

    /// A named context, if it is a tree of files.
    fn named(&self, name: &str, context: &BuildContext) -> Result<Option<Material>, Error> {
        let material = match context {
            BuildContext::Directory(folder) => {
                super::open::check_folder(folder)?;
                Material::Folder(folder.clone())
            }
            BuildContext::Empty => Material::Files(Arc::new(FileTree::empty())),
            BuildContext::Git(reference) => self.repository(reference, None)?,
            BuildContext::Url(url) => self.told(&without_secrets(url), || {
                let file = self.fetcher.file(url, None)?;
                let path = self.fetcher.kept_content(&file)?;
                let files = match self.unpack_file(&path)? {
                    Some(files) => files,
                    None => FileTree::of_file(&file.name, &file, path)?,
                };
                Ok(Material::Files(Arc::new(files)))
            })?,
            BuildContext::Stream(_) => {
                return Err(Error::Option {
                    option: format!("build context {name}"),
                    reason: "only the context itself can be a stream".to_owned(),
                });
            }
            BuildContext::Image(_) | BuildContext::OciLayout(..) => return Ok(None),
        };
        Ok(Some(material))
    }

    fn repository(&self, reference: &str, keep: Option<bool>) -> Result<Material, Error> {
        self.told(&without_secrets(reference), || {
            let repository = self.fetcher.repository(reference, keep)?;
            Ok(Material::Checkout(repository.files(self.fetcher)?))
        })
    }

    /// The files of an archive, else the bytes of a Dockerfile.
    fn stream(&self, stream: Box<dyn Read + Send>) -> Result<Result<FileTree, Vec<u8>>, StepError> {
        let mut stream = self.fetcher.engine.ending().watch(stream);
        let mut head = [0; HEAD];
        let failed = StepError::io("read", "the context");
        let length = read_head(&mut stream, &mut head).map_err(failed)?;
        let head = head[..length].to_vec();
        let is_archive = detect(&head).is_some();
        let whole = Cursor::new(head).chain(stream);
        if is_archive {
            let staging = self.fetcher.staging()?;
            return FileTree::unpack(Box::new(whole), staging, self.fetcher.engine.limits())
                .map(Ok);
        }
        read_dockerfile(whole).map(Err)
    }

    /// The files of an archive; `None` if it is none.
    fn unpack_file(&self, path: &PathBuf) -> Result<Option<FileTree>, StepError> {
        let open = || -> Result<Box<dyn Read>, StepError> {
            Ok(Box::new(File::open(path).map_err(StepError::io("read", path))?))
        };
        if !is_archive(open()?).map_err(StepError::io("read", path))? {
            return Ok(None);
        }
        let stream = self.fetcher.engine.ending().watch(open()?);
        let staging = self.fetcher.staging()?;
        FileTree::unpack(Box::new(stream), staging, self.fetcher.engine.limits()).map(Some)
    }

    /// Tells that a context is loaded, and names it in an error.
    fn told<T>(&self, name: &str, work: impl FnOnce() -> Result<T, StepError>) -> Result<T, Error> {
        task(self.observer, &format!("loading build context {name}"), work)
            .map_err(|source| Error::LoadContext { name: name.to_owned(), source: source.into() })
    }
}

fn read_dockerfile(stream: impl Read) -> Result<Vec<u8>, StepError> {
    let mut bytes = Vec::new();
    let failed = StepError::io("read", "the Dockerfile");
    stream.take(LARGEST_DOCKERFILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_DOCKERFILE {
        let text = "it is neither an archive nor short enough for a Dockerfile";
        return Err(StepError::Unsupported(text.to_owned()));
    }
    Ok(bytes)
}

impl Material {
    /// The bytes of the file at `path`, relative to the context; links stay inside.
    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let tree: &dyn Tree = match self {
            Self::Folder(folder) => return fs::read(folder.join(path)),
            Self::Files(files) => &**files,
            Self::Checkout(checkout) => &**checkout,
        };
        let place = resolve(&|path| tree.get(path), &TreePath::new(path), true);
        let place = place.map_err(io::Error::other)?;
        if place.entry.is_some_and(|entry| entry.kind.is_directory()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut bytes = Vec::new();
        tree.open(&place.path)?.take(LARGEST_DOCKERFILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
