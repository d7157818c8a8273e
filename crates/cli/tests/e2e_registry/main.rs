//! The command with registries: Debian's own, and proxies in front of it that misbehave.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod auth;
mod faults;
mod interop;
mod names;
mod offline;
mod transfers;

use std::fs;
use std::path::Path;
use std::process::Command;

use dfbuild_testkit::{
    Bed, DebianRegistry, Outcome, RegistrySetup, Skipped, Who, noise, run_or_skip,
};

/// Runs a test in a bed of whoever runs the tests.
fn check(test: &str, body: impl FnOnce(&Bed) -> Result<(), Skipped>) {
    run_or_skip(&format!("e2e_registry::{test}"), || {
        body(&Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?)
    });
}

/// A registry that everybody may use.
fn registry() -> Result<DebianRegistry, Skipped> {
    DebianRegistry::start(RegistrySetup::default())
}

/// The size of the file in an [`image`], which does not compress.
const NOISE: usize = 3 << 20;

/// Builds an image with a base, a large file and a command, by these names.
fn image(bed: &Bed, names: &[&str]) {
    if !bed.join("base").exists() {
        bed.base();
    }
    bed.write("noise", noise(NOISE));
    bed.write("Dockerfile", "FROM base\nCOPY noise /noise\nRUN echo made > /made\n");
    let tags: Vec<&str> = names.iter().flat_map(|name| ["-t", name]).collect();
    let _ = bed.build(&tags).succeeds();
}

/// Runs the command on another store than that of the bed, which is empty at first.
fn elsewhere(bed: &Bed, args: &[&str]) -> Outcome {
    elsewhere_command(bed, args).output().unwrap().into()
}

fn elsewhere_command(bed: &Bed, args: &[&str]) -> Command {
    let mut command = bed.command();
    command.env("DFBUILD_ROOT", bed.join("out/elsewhere")).args(args);
    command
}

/// Builds a Dockerfile of its own in the other store.
fn build_elsewhere(bed: &Bed, dockerfile: &str, args: &[&str]) -> Outcome {
    build_elsewhere_command(bed, dockerfile, args).output().unwrap().into()
}

fn build_elsewhere_command(bed: &Bed, dockerfile: &str, args: &[&str]) -> Command {
    let folder = bed.join("out/context");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    fs::write(folder.join("file"), "file\n").unwrap();
    bed.own(&folder);
    let mut command = elsewhere_command(bed, &["build", "--progress=plain"]);
    command.args(args).arg(folder);
    command
}

/// Makes this Docker's configuration.
fn docker_config(bed: &Bed, config: &serde_json::Value) {
    let folder = bed.join("home/.docker");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    bed.own(&folder);
}

/// No image, no blob that is not whole, nothing staged: what a failed pull leaves in an empty store.
fn assert_nothing_pulled(bed: &Bed) {
    let store = bed.join("out/elsewhere");
    let count = |folder: &str| fs::read_dir(store.join(folder)).unwrap().count();
    assert_eq!((count("tags"), count("staging")), (0, 0));
    for blob in fs::read_dir(store.join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let sum = Command::new("sha256sum").arg(&path).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert!(sum.starts_with(path.file_name().unwrap().to_str().unwrap()), "{sum}");
    }
    let _ = elsewhere(bed, &["images", "-q"]).succeeds();
}
