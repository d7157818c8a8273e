//! What the tests of examples have in common.

use std::path::{Path, PathBuf};

/// An example of this crate, which cargo builds with the tests: it is beside the folder of the test
/// programs.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.parent().and_then(Path::parent).expect("tests are in target/PROFILE/deps");
    target.join("examples").join(name)
}
