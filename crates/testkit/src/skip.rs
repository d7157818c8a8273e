use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

/// Why a test cannot run on this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped(pub String);

impl Skipped {
    /// With this reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// What a test returns: nothing, or also that it was skipped.
pub trait Ended {
    /// How it ended.
    fn ended(self) -> Result<(), Skipped>;
}

impl Ended for () {
    fn ended(self) -> Result<(), Skipped> {
        Ok(())
    }
}

impl Ended for Result<(), Skipped> {
    fn ended(self) -> Self {
        self
    }
}

/// Names the file to which each skipped test appends a line. `.ci/run` counts them at its end.
const LIST: &str = "DFBUILD_TEST_SKIPPED";

/// Runs a test and, where it cannot run here, says so past the test harness, which shows nothing of
/// a test that passes. A reason is shown once, and every test is in the file of
/// `DFBUILD_TEST_SKIPPED`.
///
/// # Panics
/// When the file cannot be written: a skipped test must not get lost.
pub fn run_or_skip(test: &str, body: impl FnOnce() -> Result<(), Skipped>) {
    static SHOWN: Mutex<BTreeSet<Skipped>> = Mutex::new(BTreeSet::new());
    let Err(skipped) = body() else { return };
    let line = format!("SKIPPED: {test}: {skipped}\n");
    if let Some(list) = std::env::var_os(LIST) {
        let file = OpenOptions::new().append(true).create(true).open(&list);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("write {}: {error}", list.display()));
    }
    let mut shown = SHOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if shown.insert(skipped) {
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Where a program of the machine is.
pub fn program(name: &str) -> Result<PathBuf, Skipped> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Skipped(format!("there is no {name} on this machine")))
}
