//! A small Debian to build on, as an image that none of our code made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image_layout::{image_layout, text};
use crate::packages::apt_lists;
use crate::{Skipped, program, run};

/// An OCI image layout with a small Debian, made by debootstrap in `cache` and kept there.
/// `DFBUILD_TEST_CACHE` names another folder to keep it in.
///
/// # Panics
/// When the folder cannot be written.
pub fn debian(cache: &Path) -> Result<PathBuf, Skipped> {
    /// Bound to what is in it: a change of either makes a new one.
    const NAME: &str = "debian-bookworm-2";
    let cache =
        std::env::var_os("DFBUILD_TEST_CACHE").map_or_else(|| cache.to_owned(), PathBuf::from);
    fs::create_dir_all(&cache).expect("the cache can be written");
    let layout = cache.join(NAME);
    let lock = fs::File::create(cache.join("lock")).expect("the cache can be written");
    lock.lock().expect("the file system has locks");
    if layout.exists() {
        return Ok(layout);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Skipped::because("debootstrap needs root"));
    }
    let debootstrap = program("debootstrap")?;
    let work = tempfile::tempdir_in(&cache).expect("the cache can be written");
    let root = work.path().join("root");
    let mut command = Command::new(debootstrap);
    command.args(["--variant=minbase", "--include=gpgv,ca-certificates", "bookworm"]);
    command.arg(&root).args(mirror());
    let output = command.output().expect("debootstrap can be started");
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "debootstrap: {log}");
    let new = work.path().join("layout");
    image_layout(&new, &[pack(&root, work.path())?])?;
    fs::rename(new, &layout).expect("the cache can be written");
    Ok(layout)
}

/// Packs what an image holds: no devices, no package lists, and no word of where this machine gets
/// its packages.
fn pack(tree: &Path, work: &Path) -> Result<PathBuf, Skipped> {
    let archive = work.join("layer.tar");
    let without =
        ["./dev/*", "./var/cache/apt/*", "./var/lib/apt/lists/*", "./etc/apt/sources.list"];
    let mut args = vec!["--sort=name".to_owned(), "--numeric-owner".to_owned()];
    args.extend(without.map(|name| format!("--exclude={name}")));
    args.extend(["-C", text(tree), "-cf", text(&archive), "."].map(str::to_owned));
    run("tar", &args.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(archive)
}

/// Where the machine itself gets Debian from. Without an answer debootstrap has its own.
fn mirror() -> Option<String> {
    let uri =
        |line: &str| line.split_whitespace().find(|word| word.contains("://")).map(str::to_owned);
    let stanzas = apt_lists("sources");
    let lines = apt_lists("list");
    let stanza = stanzas.lines().filter(|line| line.starts_with("URIs:")).find_map(uri);
    stanza.or_else(|| lines.lines().filter(|line| line.starts_with("deb ")).find_map(uri))
}
