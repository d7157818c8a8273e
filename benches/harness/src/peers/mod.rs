//! The builders that are compared.

mod buildah;
mod buildkit;
mod dfbuild;
mod docker;
mod kaniko;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use buildah::Buildah;
use buildkit::BuildKit;
use dfbuild::Dfbuild;
use docker::Docker;
use kaniko::Kaniko;

/// How a layer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// What the builder does unless it is told.
    Default,
    Gzip,
    Zstd,
}

/// One build.
#[derive(Debug, Clone)]
pub(crate) struct Job<'a> {
    pub(crate) context: &'a Path,
    /// Names and values of build arguments.
    pub(crate) arguments: Vec<(String, String)>,
    /// An archive of the image to be written, and how its layers are compressed.
    pub(crate) archive: Option<(PathBuf, Compression)>,
    /// A name of its own for the image.
    pub(crate) name: Option<String>,
    /// A registry on this machine, host and port, that is spoken with in the clear.
    pub(crate) registry: Option<String>,
    /// Tell which steps ran: for [`Peer::ran`].
    pub(crate) tell: bool,
}

impl<'a> Job<'a> {
    pub(crate) fn new(context: &'a Path) -> Self {
        let (archive, name, registry) = (None, None, None);
        Self { context, arguments: Vec::new(), archive, name, registry, tell: false }
    }
}

/// A builder.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// The command of a build. Its image is kept under one name.
    fn build(&self, job: &Job<'_>) -> Command;

    /// Forgets everything that was built.
    fn reset(&self) -> io::Result<()>;

    /// Writes the files of what [`Peer::build`] builds into a folder.
    fn export(&self, job: &Job<'_>, to: &Path) -> io::Result<()>;

    /// Whether its archives are compressed as a job asks for.
    fn compresses(&self) -> bool {
        true
    }

    /// How many steps ran, by what a build said.
    fn ran(&self, _log: &str) -> Option<usize> {
        None
    }

    /// Bytes that it keeps on the disk, if that can be known.
    fn stored(&self) -> Option<u64> {
        None
    }

    /// Processes that work for it, whose memory counts as well.
    fn daemons(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The name of what is built.
pub(crate) const IMAGE: &str = "dfbuild-bench";

/// The name of no builder.
const NONE: &str = "none";

/// dfbuild and those of `wanted` that are installed. Says of each other why it is not there.
pub(crate) fn find(
    wanted: &[String],
    binary: &Path,
    work: &Path,
) -> (Vec<Box<dyn Peer>>, Vec<String>) {
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(Dfbuild::new(binary, work))];
    let mut missing = Vec::new();
    for name in wanted.iter().filter(|name| *name != NONE) {
        let found: Result<Box<dyn Peer>, String> = match name.as_str() {
            "buildah" => Buildah::find(work).map(|peer| Box::new(peer) as _),
            "docker" => Docker::find().map(|peer| Box::new(peer) as _),
            "buildkit" => BuildKit::find(work).map(|peer| Box::new(peer) as _),
            "kaniko" => Kaniko::find(work).map(|peer| Box::new(peer) as _),
            _ => Err("nobody knows it".to_owned()),
        };
        match found {
            Ok(peer) => peers.push(peer),
            Err(reason) => missing.push(format!("{name}: {reason}")),
        }
    }
    (peers, missing)
}

/// Where a program is on the `PATH`.
fn on_path(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{program} is not on the PATH"))
}

/// Runs a command of the preparation; what it prints is only of interest if it fails.
pub(crate) fn run(command: &mut Command) -> io::Result<Vec<u8>> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?} failed: {said}")))
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The bytes of all files below a folder; of a file with several names once.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut seen = std::collections::HashSet::new();
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    let sizes = files.filter_map(|entry| entry.metadata().ok()).filter_map(|metadata| {
        seen.insert((metadata.dev(), metadata.ino())).then_some(metadata.blocks() * 512)
    });
    sizes.sum()
}
