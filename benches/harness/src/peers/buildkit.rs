use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Compression, IMAGE, Job, Peer, on_path, run};

/// `buildctl` against the `buildkitd` that answers it (`BUILDKIT_HOST`).
#[derive(Debug)]
pub(super) struct BuildKit {
    binary: PathBuf,
    /// Where an image goes that nobody asked for: without an output nothing is compressed.
    archive: PathBuf,
}

impl BuildKit {
    pub(super) fn find(work: &Path) -> Result<Self, String> {
        let buildkit = Self { binary: on_path("buildctl")?, archive: work.join("buildkit.tar") };
        let mut workers = Command::new(&buildkit.binary);
        run(workers.args(["debug", "workers"])).map_err(|_| "no buildkitd answers".to_owned())?;
        Ok(buildkit)
    }

    fn command(&self, job: &Job<'_>, output: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["build", "--progress", "plain", "--frontend", "dockerfile.v0"]);
        for name in ["context", "dockerfile"] {
            command.arg("--local").arg(format!("{name}={}", job.context.display()));
        }
        for (name, value) in &job.arguments {
            command.arg("--opt").arg(format!("build-arg:{name}={value}"));
        }
        command.arg("--output").arg(output);
        command
    }
}

impl Peer for BuildKit {
    fn name(&self) -> &'static str {
        "buildkit"
    }

    fn build(&self, job: &Job<'_>) -> Command {
        let (archive, compression) = match &job.archive {
            Some((archive, compression)) => (archive, *compression),
            None => (&self.archive, Compression::Default),
        };
        let compression = match compression {
            Compression::Zstd => ",compression=zstd",
            Compression::Gzip | Compression::Default => "",
        };
        let dest = archive.display();
        self.command(job, &format!("type=oci,name={IMAGE},dest={dest}{compression}"))
    }

    fn reset(&self) -> io::Result<()> {
        run(Command::new(&self.binary).args(["prune", "--all"])).map(drop)
    }

    fn export(&self, job: &Job<'_>, to: &Path) -> io::Result<()> {
        run(&mut self.command(job, &format!("type=local,dest={}", to.display()))).map(drop)
    }

    fn daemons(&self) -> &'static [&'static str] {
        &["buildkitd"]
    }
}
