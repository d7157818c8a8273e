//! The rules of `docs/architecture.md`, kept over `cargo metadata` and the sources.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod examples;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dfbuild_testkit::files_below;
use serde_json::Value;

/// Which crate of the workspace may use which. A new arrow is the change that deserves most thought.
const ARROWS: [(&str, &[&str]); 15] = [
    ("dfbuild-pattern", &[]),
    ("dfbuild-compose", &[]),
    ("dfbuild-image", &[]),
    ("dfbuild-sandbox", &[]),
    ("dfbuild-dockerfile", &["dfbuild-pattern"]),
    ("dfbuild-plan", &["dfbuild-dockerfile", "dfbuild-image"]),
    ("dfbuild-context", &["dfbuild-image", "dfbuild-pattern"]),
    ("dfbuild-cache", &["dfbuild-image"]),
    ("dfbuild-layer", &["dfbuild-image"]),
    ("dfbuild-store", &["dfbuild-image"]),
    ("dfbuild-remote", &["dfbuild-image"]),
    (
        "dfbuild",
        &[
            "dfbuild-pattern",
            "dfbuild-image",
            "dfbuild-sandbox",
            "dfbuild-dockerfile",
            "dfbuild-plan",
            "dfbuild-context",
            "dfbuild-cache",
            "dfbuild-layer",
            "dfbuild-store",
            "dfbuild-remote",
        ],
    ),
    ("dfbuild-cli", &["dfbuild", "dfbuild-compose"]),
    ("dfbuild-testkit", &["dfbuild"]),
    ("dfbuild-bench", &[]),
];

/// They take values and return values.
const PURE: [&str; 5] =
    ["dfbuild-dockerfile", "dfbuild-plan", "dfbuild-cache", "dfbuild-pattern", "dfbuild-compose"];

/// All that the language crates stand on: none of it does anything but compute.
const LANGUAGE: [(&str, &[&str]); 2] = [
    ("dfbuild-dockerfile", &["dfbuild-pattern", "memchr", "nom", "thiserror"]),
    ("dfbuild-pattern", &["thiserror"]),
];

/// They are no libraries that others embed.
const NOT_EMBEDDED: [&str; 3] = ["dfbuild-cli", "dfbuild-testkit", "dfbuild-bench"];

/// Each does real work somewhere.
const USED: [&str; 7] = ["nom", "sha2", "tar", "flate2", "oci-spec", "walkdir", "thiserror"];

/// A crate of the workspace.
struct Package {
    name: String,
    folder: PathBuf,
    /// Name and kind (`null`, `dev` or `build`) of each dependency.
    dependencies: Vec<(String, Value)>,
    /// Those that only come with a feature.
    optional: Vec<String>,
}

impl Package {
    fn normal(&self) -> impl Iterator<Item = &str> {
        let normal = self.dependencies.iter().filter(|(_, kind)| kind != "dev");
        normal.map(|(name, _)| name.as_str())
    }
}

fn workspace() -> Vec<Package> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| Package {
        name: package["name"].as_str().unwrap().to_owned(),
        folder: Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned(),
        dependencies: {
            let all = package["dependencies"].as_array().unwrap().iter();
            all.map(|one| (one["name"].as_str().unwrap().to_owned(), one["kind"].clone())).collect()
        },
        optional: {
            let all = package["dependencies"].as_array().unwrap().iter();
            let optional = all.filter(|one| one["optional"] == true);
            optional.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        },
    });
    packages.collect()
}

#[test]
fn arrows_between_crates() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let workspace = workspace();
    for package in &workspace {
        let allowed = allowed.get(package.name.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("{} is not in the table", package.name));
        for used in package.normal().filter(|used| workspace.iter().any(|one| one.name == *used)) {
            assert_ne!(used, "dfbuild-testkit", "{} needs it for more than tests", package.name);
            assert!(allowed.contains(&used), "{} must not use {used}", package.name);
        }
    }
}

#[test]
fn the_language_stands_on_little() {
    let workspace = workspace();
    for (name, allowed) in LANGUAGE {
        let package = workspace.iter().find(|package| package.name == name).unwrap();
        let is_optional = |name: &str| package.optional.iter().any(|optional| optional == name);
        let used: Vec<&str> = package.normal().filter(|name| !is_optional(name)).collect();
        assert_eq!(used, allowed, "{name} is to build for anything, a browser too");
    }
}

#[test]
fn required_crates_are_used() {
    let workspace = workspace();
    for used in USED {
        let word = format!("{}::", used.replace('-', "_"));
        let at_work = workspace.iter().filter(|package| package.normal().any(|name| name == used));
        let mut sources = at_work.flat_map(|package| code(&package.folder.join("src")));
        assert!(sources.any(|(_, line)| has_word(&line, &word)), "nothing uses {used}");
    }
}

/// As `cargo machete` has it, which not every machine has.
#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for package in workspace() {
        let mut text = String::new();
        let folders = ["src", "tests", "benches", "examples"].map(|name| package.folder.join(name));
        for file in folders
            .iter()
            .filter(|folder| folder.is_dir())
            .flat_map(|folder| files_below(folder, "rs"))
        {
            text.push_str(&fs::read_to_string(file).unwrap());
        }
        for (name, kind) in &package.dependencies {
            let word = name.replace('-', "_");
            let is_used = text.match_indices(&word).any(|(at, _)| {
                let rest = &text[at + word.len()..];
                rest.starts_with("::") || rest.starts_with(" as ") || rest.starts_with(';')
            });
            if !is_used {
                unused.push(format!("{} does not use {name} ({kind})", package.name));
            }
        }
    }
    assert_eq!(unused, [] as [String; 0]);
}

#[test]
fn every_crate_keeps_the_lints() {
    for package in workspace() {
        let manifest = fs::read_to_string(package.folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{} has no lints", package.name);
        for inherited in ["version", "edition", "rust-version", "license"] {
            let line = format!("{inherited}.workspace = true");
            assert!(manifest.contains(&line), "{} has its own {inherited}", package.name);
        }
    }
}

#[test]
fn unsafe_code_is_in_the_sandbox_only() {
    for package in workspace() {
        let root = ["src/lib.rs", "src/main.rs"].map(|file| package.folder.join(file));
        let root = root.into_iter().find(|file| file.exists()).unwrap();
        let forbids = fs::read_to_string(&root).unwrap().contains("\n#![forbid(unsafe_code)]\n");
        assert_eq!(forbids, package.name != "dfbuild-sandbox", "{}", root.display());
    }
}

#[test]
fn pure_crates_take_values_and_return_values() {
    // Addresses are values, and of `std::net` the rest is not.
    let words = [
        "fs::",
        "env::",
        "thread::",
        "process::",
        "io::stdin",
        "io::stdout",
        "io::stderr",
        "SystemTime",
        "Instant::now",
        "File::",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "ToSocketAddrs",
        "rustix::",
        "libc::",
    ];
    nowhere(|package| PURE.contains(&package), &words, &[]);
}

#[test]
fn the_library_looks_at_nothing_and_prints_nothing() {
    let words = [
        "println!",
        "eprintln!",
        "print!",
        "eprint!",
        "dbg!",
        "env::",
        "process::exit",
        "io::stdin",
        "io::stdout",
        "io::stderr",
        "stdin()",
        "stdout()",
        "is_terminal",
        "signal_hook",
        "sigaction",
        "static mut",
    ];
    // What this was compiled for is no environment. The sandbox has pipes that it calls by such names,
    // and resets the signals of the command that it becomes.
    let fine = ["env::consts", ".stdin()", ".stdout()", ".stderr()"];
    nowhere(
        |package| !NOT_EMBEDDED.contains(&package) && package != "dfbuild-sandbox",
        &words,
        &fine,
    );
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!", "env::", "process::exit"];
    nowhere(|package| package == "dfbuild-sandbox", &words, &fine);
}

/// What a thread has here is set while a closure runs, and after it as it was before: who measures a
/// piece of work, so that threads which help with it know. No build sees another's, so it is no state.
const SCOPED: &str = "layer/src/cpu.rs";

#[test]
fn threads_of_the_library_keep_nothing() {
    let mut found = Vec::new();
    for package in workspace().into_iter().filter(|it| !NOT_EMBEDDED.contains(&it.name.as_str())) {
        let places = code(&package.folder.join("src"));
        let places = places.filter(|(_, line)| has_word(line, "thread_local!"));
        found.extend(places.map(|(place, _)| place));
    }
    let [only] = &found[..] else { panic!("{found:?}") };
    assert!(only.contains(SCOPED), "{only}");
}

#[test]
fn the_library_has_no_global_state() {
    // A value that is made once and always the same is a constant, not state.
    let cells = ["Mutex", "RwLock", "Atomic", "Cell<"];
    let mut found = Vec::new();
    for package in workspace() {
        if NOT_EMBEDDED.contains(&package.name.as_str()) {
            continue;
        }
        found.extend(code(&package.folder.join("src")).filter_map(|(place, line)| {
            let declared =
                line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let is_static = declared.starts_with("static ");
            (is_static && !place.contains(SCOPED) && cells.iter().any(|cell| line.contains(cell)))
                .then(|| format!("{place}: {line}"))
        }));
    }
    assert_eq!(found, [] as [String; 0]);
}

/// Fails with each place in the code of these crates that has one of the words.
fn nowhere(of: impl Fn(&str) -> bool, words: &[&str], fine: &[&str]) {
    let mut found = Vec::new();
    for package in workspace().into_iter().filter(|package| of(&package.name)) {
        for (place, line) in code(&package.folder.join("src")) {
            let checked = fine.iter().fold(line.clone(), |line, fine| line.replace(fine, ""));
            if words.iter().any(|word| has_word(&checked, word)) {
                found.push(format!("{place}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{words:?} must not be in:\n{}", found.join("\n"));
}

/// Whether the word stands there, is not the end of a longer one, and is not below a module of ours.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = &line[..at];
        let longer = before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        !longer && (!before.ends_with("::") || before.ends_with("std::"))
    })
}

/// The lines of code in a folder with their places: no comments, no tests.
fn code(folder: &Path) -> impl Iterator<Item = (String, String)> + use<> {
    files_below(folder, "rs").into_iter().filter(|file| !is_test(file)).flat_map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<(String, String)> = without_tests(&text)
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(number, line)| (format!("{}:{}", file.display(), number + 1), line.to_owned()))
            .collect();
        lines
    })
}

/// Tests are the last thing in a file.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// A module in a file of its own that only tests have.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| name == "tests" || name == "testing")
}
