//! The command in an empty environment, for tests of what it prints.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Runs the command in `folder`, with its store there: exit code, standard output, standard error.
pub(crate) fn dfbuild(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dfbuild"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("DFBUILD_ROOT", folder.join("store"))
        .stdin(Stdio::null())
        .output()
        .expect("the command is there");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("all that is printed is UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder can be made");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    }
    folder
}
