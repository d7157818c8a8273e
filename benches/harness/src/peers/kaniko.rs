use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{IMAGE, Job, Peer, on_path, remove, run, size_of};

/// kaniko's executor in a root of its own. It overwrites the root it runs in: a wrapper called `kaniko`
/// on the `PATH` has to give it one (a container, a chroot), with the same paths for context and cache.
#[derive(Debug)]
pub(super) struct Kaniko {
    binary: PathBuf,
    cache: PathBuf,
    archive: PathBuf,
}

impl Kaniko {
    pub(super) fn find(work: &Path) -> Result<Self, String> {
        let binary = on_path("kaniko")?;
        Ok(Self { binary, cache: work.join("kaniko"), archive: work.join("kaniko.tar") })
    }
}

impl Peer for Kaniko {
    fn name(&self) -> &'static str {
        "kaniko"
    }

    fn build(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.binary);
        let archive = job.archive.as_ref().map_or(&self.archive, |(archive, _)| archive);
        command.args(["--no-push", "--cache", "--cache-copy-layers", "--destination", IMAGE]);
        command.arg("--cache-repo").arg(format!("oci:{}", self.cache.display()));
        command.arg("--context").arg(format!("dir://{}", job.context.display()));
        command.arg("--tar-path").arg(archive);
        for (name, value) in &job.arguments {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        command
    }

    fn reset(&self) -> io::Result<()> {
        remove(&self.cache)
    }

    fn export(&self, job: &Job<'_>, to: &Path) -> io::Result<()> {
        run(&mut self.build(&Job { archive: None, ..job.clone() }))?;
        std::fs::create_dir_all(to)?;
        // An archive of archives, the lowest layer first.
        let script = "cd \"$2\" && for layer in $(tar -xOf \"$1\" manifest.json | \
                      tr ',[]' '\\n' | grep -o '[^\"]*\\.tar\\.gz'); do \
                      tar -xOf \"$1\" \"$layer\" | tar -xz; done";
        run(Command::new("sh").args(["-c", script, "sh"]).arg(&self.archive).arg(to)).map(drop)
    }

    fn stored(&self) -> Option<u64> {
        Some(size_of(&self.cache))
    }
}
