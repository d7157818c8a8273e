//! Tools that others wrote, which judge what the command makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Skipped, program};

/// Runs a program of the machine and returns what it printed.
///
/// # Panics
/// When it fails.
pub fn run(name: &str, args: &[&str]) -> Result<String, Skipped> {
    let output = Command::new(program(name)?).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {}\n{text}{error}", output.status);
    Ok(text)
}

/// An image unpacked by umoci.
#[derive(Debug)]
pub struct Bundle(PathBuf);

impl Bundle {
    /// Unpacks the image `name` of the layout to a new folder.
    ///
    /// # Panics
    /// When umoci does not accept the image.
    pub fn unpack(layout: &Path, name: &str, to: &Path) -> Result<Self, Skipped> {
        let image = format!("{}:{name}", layout.display());
        let to_text = to.to_str().expect("folders of tests have plain names");
        let mut args = vec!["unpack", "--image", &image, to_text];
        if !rustix::process::geteuid().is_root() {
            args.insert(1, "--rootless");
        }
        run("umoci", &args)?;
        Ok(Self(to.to_owned()))
    }

    /// Its root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }
}
