use std::collections::BTreeSet;
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

    fn ran(&self, log: &str) -> Option<usize> {
        Some(steps_that_ran(log))
    }

    fn daemons(&self) -> &'static [&'static str] {
        &["buildkitd"]
    }
}

/// Counts the steps of a log in the form of `--progress=plain` that were not cached.
pub(super) fn steps_that_ran(log: &str) -> usize {
    const STEPS: [&str; 4] = ["RUN ", "COPY ", "ADD ", "WORKDIR "];
    let (mut steps, mut cached) = (BTreeSet::new(), BTreeSet::new());
    for line in log.lines() {
        // `#7 [3/5] RUN make`, and perhaps later `#7 CACHED`.
        let Some((vertex, text)) = line.strip_prefix('#').and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        let name = text.strip_prefix('[').and_then(|text| text.split_once("] "));
        if name.is_some_and(|(_, name)| STEPS.iter().any(|step| name.starts_with(step))) {
            steps.insert(vertex);
        } else if text == "CACHED" {
            cached.insert(vertex);
        }
    }
    steps.difference(&cached).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_once_and_cached_ones_not_at_all() {
        let log = "#1 [internal] load build definition from Dockerfile\n#1 DONE 0.0s\n\
            #4 [1/4] FROM base\n#4 CACHED\n\n#5 [internal] load build context\n\
            #6 [2/4] WORKDIR /app\n#6 CACHED\n\n#7 [3/4] COPY . .\n#7 DONE 0.1s\n\n\
            #8 [4/4] RUN make\n#8 0.3 [5/5] RUN of something else\n#8 CACHED of no step\n\
            #7 [3/4] COPY . .\n#8 DONE 0.3s\n";
        assert_eq!(steps_that_ran(log), 2);
    }
}
