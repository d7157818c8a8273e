//! Which ignore file counts, and what stands in it.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dfbuild::pattern::{Decision, Error, ParentState, PatternSet, parse_ignore_file};

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

    /// What a walk down to a path of the context decides: that is what a build does.
    pub(crate) fn decide(&self, path: &[u8]) -> Decision {
        let mut state = ParentState::default();
        let mut decision = Decision::default();
        let ends = path.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'/');
        for end in ends.map(|(at, _)| at).chain([path.len()]) {
            (decision, state) = self.set.matches_with_parent(&path[..end], &state);
        }
        decision
    }
}

/// Whether a file is among those of a context that a build sees.
pub(crate) fn is_seen(file: &Path, context: &Path, dockerfile: Option<&Path>) -> bool {
    let (Ok(file), Ok(folder)) = (fs::canonicalize(file), fs::canonicalize(context)) else {
        return false;
    };
    let Ok(path) = file.strip_prefix(folder) else { return false };
    let default = context.join("Dockerfile");
    let rules = IgnoreFile::find(context, Some(dockerfile.unwrap_or(&default)));
    let rules = rules.ok().flatten();
    !rules.is_some_and(|rules| rules.decide(path.as_os_str().as_bytes()).ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_may_be_seen() {
        let folder = tempfile::tempdir().unwrap();
        let context = folder.path().join("context");
        fs::create_dir_all(context.join("out/kept")).unwrap();
        for name in ["a.html", "out/a.html", "out/kept/a.html", "../a.html"] {
            fs::write(context.join(name), "").unwrap();
        }
        let check = |rules: &str, expect: [bool; 4]| {
            fs::write(context.join(NAME), rules).unwrap();
            let names = ["a.html", "out/a.html", "out/kept/a.html", "../a.html"];
            let seen = names.map(|name| is_seen(&context.join(name), &context, None));
            assert_eq!(seen, expect, "{rules}");
        };
        check("", [true, true, true, false]);
        check("*.html", [false, true, true, false]);
        check("out\n!out/kept", [true, false, true, false]);
        assert!(!is_seen(&context.join("nothing"), &context, None));
    }
}
