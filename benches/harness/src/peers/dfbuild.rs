use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Compression, IMAGE, Job, Peer, remove, run, size_of};

#[derive(Debug)]
pub(super) struct Dfbuild {
    binary: PathBuf,
    root: PathBuf,
}

impl Dfbuild {
    pub(super) fn new(binary: &Path, work: &Path) -> Self {
        Self { binary: binary.to_owned(), root: work.join("dfbuild") }
    }

    fn command(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.root).args(["build", "-t"]);
        command.arg(job.name.as_deref().unwrap_or(IMAGE));
        command.args(if job.tell { ["--progress", "plain"] } else { ["--progress", "quiet"] });
        if let Some(registry) = &job.registry {
            command.args(["--insecure-registry", registry]);
        }
        for (name, value) in &job.arguments {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        command
    }
}

impl Peer for Dfbuild {
    fn name(&self) -> &'static str {
        "dfbuild"
    }

    fn build(&self, job: &Job<'_>) -> Command {
        let mut command = self.command(job);
        if let Some((archive, compression)) = &job.archive {
            let compression = match compression {
                Compression::Default => "",
                Compression::Gzip => ",compression=gzip",
                Compression::Zstd => ",compression=zstd",
            };
            command.arg("-o").arg(format!("type=oci,dest={}{compression}", archive.display()));
        }
        command.arg(job.context);
        command
    }

    fn reset(&self) -> io::Result<()> {
        remove(&self.root)
    }

    fn export(&self, job: &Job<'_>, to: &Path) -> io::Result<()> {
        let mut command = self.command(job);
        command.arg("-o").arg(format!("type=local,dest={}", to.display())).arg(job.context);
        run(&mut command).map(drop)
    }

    fn ran(&self, log: &str) -> Option<usize> {
        // Its last line ends with `3 steps cached, 1 ran`.
        log.trim_end().strip_suffix(" ran")?.rsplit(' ').next()?.parse().ok()
    }

    fn stored(&self) -> Option<u64> {
        Some(size_of(&self.root))
    }
}
