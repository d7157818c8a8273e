//! Which ignore file counts, and what stands in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dfbuild::pattern::{Error, PatternSet, parse_ignore_file};

/// An ignore file.
#[derive(Debug)]
pub(crate) struct IgnoreFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its lines as they stand.
    pub(crate) lines: Vec<String>,
    /// Its patterns.
    pub(crate) set: PatternSet,
}

const NAME: &str = ".dockerignore";

impl IgnoreFile {
    /// The file for a Dockerfile and a context: `<Dockerfile>.dockerignore` takes the place of the context's.
    pub(crate) fn find(context: &Path, dockerfile: Option<&Path>) -> Result<Option<Self>, String> {
        if let Some(dockerfile) = dockerfile {
            let mut own = dockerfile.as_os_str().to_owned();
            own.push(NAME);
            let own = PathBuf::from(own);
            if own.is_file() {
                return Self::read(&own).map(Some);
            }
        }
        // Without `./`, as people write it.
        let path = if context == Path::new(".") { NAME.into() } else { context.join(NAME) };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Self::read(&path).map(Some),
        }
    }

    /// Reads a file that must be there.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let patterns = parse_ignore_file(&bytes);
        let at: Vec<usize> = patterns.iter().map(|pattern| pattern.line).collect();
        let set = PatternSet::new(patterns).map_err(|error| {
            let (Error::EmptyExclusion { index } | Error::BadPattern { index }) = error;
            format!("{}:{}: {error}", path.display(), at[index])
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines = text.lines().map(|line| line.trim().to_owned()).collect();
        Ok(Self { path: path.to_owned(), lines, set })
    }
}
