use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use crate::args::IgnoreArgs;
use crate::ignore_file::IgnoreFile;
use crate::report;

/// Tells whether paths are ignored.
pub(crate) fn run(args: &IgnoreArgs) -> ExitCode {
    let (context, paths) = match args.split() {
        Ok(split) => split,
        Err(text) => return report::usage(&text),
    };
    let file = if let Some(path) = &args.file {
        IgnoreFile::read(path).map(Some)
    } else {
        let default = || context.join("Dockerfile");
        let dockerfile = args.dockerfile.clone().unwrap_or_else(default);
        IgnoreFile::find(context, Some(&dockerfile))
    };
    let file = match file {
        Ok(file) => file,
        Err(text) => return report::error(&text),
    };
    let mut out = io::stdout().lock();
    for path in paths {
        let line = answer(file.as_ref(), &in_context(path, context));
        if out.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// The line for a path.
fn answer(file: Option<&IgnoreFile>, path: &[u8]) -> String {
    let Some(file) = file else { return "included\t\n".to_owned() };
    let decision = file.decide(path);
    let verdict = if decision.ignored { "ignored" } else { "included" };
    let reason = decision.by.map_or(String::new(), |index| {
        let line = file.set.patterns()[index].line;
        let text = file.lines.get(line.wrapping_sub(1)).map_or("", String::as_str);
        format!("{}:{line}:{text}", file.path.display())
    });
    format!("{verdict}\t{reason}\n")
}

/// A path from the context on, with `/` and without `.` and `..`.
///
/// `/` alone stays: it is no file of a context, and the matcher answers for it as it does in moby's own tests.
fn in_context(path: &Path, context: &Path) -> Vec<u8> {
    if path == Path::new("/") {
        return b"/".to_vec();
    }
    let absolute = std::path::absolute(context).unwrap_or_default();
    let relative = path.strip_prefix(&absolute).unwrap_or(path);
    let mut clean = PathBuf::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    clean.as_os_str().as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_from_the_context() {
        for (path, expect) in [
            ("a/b/", "a/b"),
            ("./a//b", "a/b"),
            ("/a", "a"),
            ("../a/./x/../b", "a/b"),
            (".", ""),
            ("/", "/"),
        ] {
            assert_eq!(in_context(Path::new(path), Path::new("ctx")), expect.as_bytes(), "{path}");
        }
        assert_eq!(in_context(Path::new("/ctx/a"), Path::new("/ctx")), b"a");
    }
}
