use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::buildah::in_sequence;
use super::buildkit::steps_that_ran;
use super::{IMAGE, Job, Peer, on_path, run, size_of};

/// Docker with the BuildKit in it. Its store is the daemon's, with whatever else is in there.
#[derive(Debug)]
pub(super) struct Docker {
    binary: PathBuf,
    store: PathBuf,
    /// Bytes in the store after the last [`Peer::reset`].
    before: Cell<u64>,
}

impl Docker {
    pub(super) fn find() -> Result<Self, String> {
        let mut docker =
            Self { binary: on_path("docker")?, store: PathBuf::new(), before: Cell::new(0) };
        let store = run(&mut docker.command(&["info", "--format", "{{.DockerRootDir}}"]))
            .map_err(|_| "no daemon answers".to_owned())?;
        docker.store.push(OsStr::from_bytes(store.trim_ascii_end()));
        Ok(docker)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("DOCKER_BUILDKIT", "1").args(arguments);
        command
    }
}

impl Peer for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn build(&self, job: &Job<'_>) -> Command {
        let mut command = self.command(&["build", "-t", IMAGE]);
        command.arg(if job.tell { "--progress=plain" } else { "-q" });
        for (name, value) in &job.arguments {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        command.arg(job.context);
        let Some((archive, _)) = &job.archive else { return command };
        let mut save = self.command(&["save", IMAGE, "-o"]);
        save.arg(archive);
        in_sequence(&[command, save])
    }

    fn reset(&self) -> io::Result<()> {
        let _ = run(&mut self.command(&["image", "rm", "-f", IMAGE]));
        run(&mut self.command(&["image", "prune", "-f"]))?;
        run(&mut self.command(&["builder", "prune", "-a", "-f"]))?;
        self.before.set(size_of(&self.store));
        Ok(())
    }

    fn export(&self, job: &Job<'_>, to: &Path) -> io::Result<()> {
        run(&mut self.build(&Job { archive: None, ..job.clone() }))?;
        let name = run(&mut self.command(&["create", IMAGE, "true"]))?;
        let name = String::from_utf8_lossy(name.trim_ascii_end()).into_owned();
        std::fs::create_dir_all(to)?;
        let script = "\"$1\" export \"$2\" | tar -x -C \"$3\"";
        let mut export = Command::new("sh");
        export.args(["-c", script, "sh"]).arg(&self.binary).arg(&name).arg(to);
        let exported = run(&mut export);
        run(&mut self.command(&["rm", &name]))?;
        exported.map(drop)
    }

    fn compresses(&self) -> bool {
        false
    }

    fn ran(&self, log: &str) -> Option<usize> {
        Some(steps_that_ran(log))
    }

    fn stored(&self) -> Option<u64> {
        Some(size_of(&self.store).saturating_sub(self.before.get()))
    }

    fn daemons(&self) -> &'static [&'static str] {
        &["dockerd", "containerd"]
    }
}
