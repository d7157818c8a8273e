//! The example that shows how to embed a build, run as a program: cargo builds it with the tests.

mod common;

use std::path::Path;
use std::process::Command;

use common::example;

#[test]
fn embed_builds_an_image() {
    let store = tempfile::tempdir().expect("a temporary folder can be made");
    let context = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hello");
    let run = || {
        let output = Command::new(example("embed"))
            .args([&context, store.path()])
            .arg("host=/")
            .output()
            .expect("the example was built");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success(), errors)
    };
    let (first, succeeded, errors) = run();
    if errors.contains("Sandbox {") || errors.contains("UserNamespace {") {
        println!("SKIPPED: embed_builds_an_image: no commands can run here: {errors}");
        return;
    }
    assert!(succeeded, "{errors}");
    assert!(first.contains("hello, world\n") && first.contains("(0 cached, 8 ran)"), "{first}");
    let (second, succeeded, errors) = run();
    assert!(succeeded, "{errors}");
    assert!(second.contains("(8 cached, 0 ran)") && !second.contains("hello"), "{second}");
}
