//! The files of an image that can run shell commands, made from what every machine has.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that tests may use in RUN, beside the shell's own commands.
const PROGRAMS: [&str; 27] = [
    "cat", "chmod", "chown", "cp", "cut", "env", "head", "id", "ln", "ls", "mkdir", "mkfifo", "mv",
    "readlink", "rm", "rmdir", "sleep", "sort", "stat", "touch", "tr", "uname", "wc", "true",
    "false", "find", "xargs",
];

/// Fills a folder with a root file system: busybox if it is a static one, else the machine's own
/// shell and tools with their libraries.
///
/// # Panics
/// When a file cannot be made.
pub fn fill(root: &Path) {
    // With the places that RUN mounts something on: where they are missing it makes them.
    for folder in ["bin", "etc", "tmp", "root", "var", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(folder)).expect("the test's folder can be written");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
    let group = "root:x:0:\nann:x:1000:\naudio:x:29:ann\nvideo:x:44:root,ann\n";
    fs::write(root.join("etc/passwd"), passwd).expect("the test's folder can be written");
    fs::write(root.join("etc/group"), group).expect("the test's folder can be written");
    match static_busybox() {
        Some(busybox) => {
            copy(&busybox, &root.join("bin/busybox"));
            for name in PROGRAMS.into_iter().chain(["sh"]) {
                symlink("busybox", root.join("bin").join(name)).expect("the name is free");
            }
        }
        None => copy_programs(root),
    }
}

/// A dynamically linked one says so in its headers, and would need its libraries.
fn static_busybox() -> Option<PathBuf> {
    let path = crate::program("busybox").ok()?;
    libraries(&path).is_empty().then_some(path)
}

fn copy_programs(root: &Path) {
    let mut libraries_of_all = Vec::new();
    for name in PROGRAMS.into_iter().chain(["sh"]) {
        let path = crate::program(name).unwrap_or_else(|skipped| panic!("{skipped}"));
        libraries_of_all.extend(libraries(&path));
        copy(&path, &root.join("bin").join(name));
    }
    libraries_of_all.sort();
    libraries_of_all.dedup();
    for library in libraries_of_all {
        let relative = library.strip_prefix("/").expect("the loader prints absolute paths");
        let target = root.join(relative);
        fs::create_dir_all(target.parent().expect("it is in a folder")).expect("it can be made");
        copy(&library, &target);
    }
}

/// Follows links, so that a program or library stands under the name it is looked for.
fn copy(from: &Path, to: &Path) {
    let copied = fs::copy(from, to);
    copied.unwrap_or_else(|error| panic!("copy {} to {}: {error}", from.display(), to.display()));
}

/// The libraries and the loader of a program, as `ldd` names them: a word that begins with a slash on
/// each line (`libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld-linux.so.2 (0x…)`).
fn libraries(program: &Path) -> Vec<PathBuf> {
    let Ok(output) = Command::new("ldd").arg(program).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.lines().filter(|line| line.contains("(0x"));
    paths
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}
