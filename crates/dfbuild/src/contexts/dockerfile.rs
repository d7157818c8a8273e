use std::io;
use std::path::{Path, PathBuf};

use dfbuild_dockerfile::parse;

use super::load::{Material, Materials};
use crate::build::{Build, Dockerfile};
use crate::error::Error;

/// The Dockerfile of a build.
pub(crate) struct Source {
    /// What to call it.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
    /// Where it is, if it is a file of this machine.
    pub(super) path: Option<PathBuf>,
}

const DEFAULT_NAME: &str = "Dockerfile";
/// What BuildKit looks for where the other is missing (`dockerui.Client.ReadEntrypoint`).
const LOWER_CASE_NAME: &str = "dockerfile";

impl Source {
    /// Reads the Dockerfile of `build`.
    pub(crate) fn read(build: &Build, materials: &Materials) -> Result<Self, Error> {
        let in_context = |name: &str| {
            let read = materials.main.read(name).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => io::Error::new(error.kind(), "it is not in the context"),
                _ => error,
            });
            let bytes = read.map_err(missing(Path::new(name)))?;
            Ok(Self::new(name, &bytes, None))
        };
        let or_lower_case = |found: Result<Self, Error>,
                             lower: &dyn Fn() -> Result<Self, Error>| {
            found.or_else(|error| lower().map_err(|_| error))
        };
        match (&build.dockerfile, &materials.main) {
            (Dockerfile::Text(text), _) => Ok(Self::new(DEFAULT_NAME, text.as_bytes(), None)),
            (_, _) if materials.dockerfile.is_some() => {
                let bytes = materials.dockerfile.as_deref().unwrap_or_default();
                Ok(Self::new(DEFAULT_NAME, bytes, None))
            }
            (Dockerfile::Default, Material::Folder(folder)) => {
                let file = |name| Self::file(name, folder.join(name));
                or_lower_case(file(DEFAULT_NAME), &|| file(LOWER_CASE_NAME))
            }
            (Dockerfile::Default, _) => {
                or_lower_case(in_context(DEFAULT_NAME), &|| in_context(LOWER_CASE_NAME))
            }
            (Dockerfile::File(path), main) => {
                let name = path.display().to_string();
                if path.is_absolute() || matches!(main, Material::Folder(_)) {
                    return Self::file(&name, path.clone());
                }
                in_context(&name)
            }
        }
    }

    fn file(name: &str, path: PathBuf) -> Result<Self, Error> {
        let bytes = std::fs::read(&path).map_err(missing(&path))?;
        Ok(Self::new(name, &bytes, Some(path)))
    }

    fn new(name: &str, bytes: &[u8], path: Option<PathBuf>) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Self { name: name.to_owned(), text, path }
    }

    /// An error with all mistakes that are in it, if there are any.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let diagnostics = parse(&self.text).diagnostics;
        if !diagnostics.iter().any(dfbuild_dockerfile::Diagnostic::is_error) {
            return Ok(());
        }
        Err(Error::Dockerfile { name: self.name.clone(), text: self.text.clone(), diagnostics })
    }
}

fn missing(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::NoDockerfile { path, source }
}
