use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Compression, IMAGE, Job, Peer, on_path, remove, run, size_of};

/// buildah with its layer cache, and its store beside ours.
#[derive(Debug)]
pub(super) struct Buildah {
    binary: PathBuf,
    root: PathBuf,
    run_root: PathBuf,
}

impl Buildah {
    pub(super) fn find(work: &Path) -> Result<Self, String> {
        let binary = on_path("buildah")?;
        // Another user's would measure the mapping of ids.
        if !nix::unistd::geteuid().is_root() {
            return Err("it takes root to be compared".to_owned());
        }
        Ok(Self { binary, root: work.join("buildah"), run_root: work.join("buildah-run") })
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.root).arg("--runroot").arg(&self.run_root);
        command.args(["--storage-driver", "overlay"]).args(arguments);
        command
    }
}

impl Peer for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn build(&self, job: &Job<'_>) -> Command {
        let mut command = self.command(["build", "--layers", "--jobs", "6", "-t", IMAGE]);
        if !job.tell {
            command.arg("-q");
        }
        if job.registry.is_some() {
            command.arg("--tls-verify=false");
        }
        // crun, its other choice, refuses machines with both kinds of control groups.
        if let Ok(runc) = on_path("runc") {
            command.arg("--runtime").arg(runc);
        }
        for (name, value) in &job.arguments {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        command.arg(job.context);
        let Some((archive, compression)) = &job.archive else { return command };
        // It writes archives with a second command, which is part of what is measured.
        let mut push = self.command(["push", "-q"]);
        push.args(match compression {
            Compression::Zstd => ["--compression-format", "zstd"],
            Compression::Default | Compression::Gzip => ["--compression-format", "gzip"],
        });
        push.arg(IMAGE).arg(format!("oci-archive:{}", archive.display()));
        in_sequence(&[command, push])
    }

    fn reset(&self) -> io::Result<()> {
        if self.root.exists() {
            // What is left of a build may be mounted.
            let _ = run(&mut self.command(["rm", "-a"]));
            let _ = run(&mut self.command(["rmi", "-a", "-f"]));
        }
        let overlay = self.root.join("overlay");
        if overlay.exists() {
            // It mounts its own folder; that this is no mount is no error.
            let _ =
                Command::new("umount").arg(&overlay).stderr(std::process::Stdio::null()).status();
        }
        remove(&self.root)?;
        remove(&self.run_root)
    }

    fn export(&self, job: &Job<'_>, to: &Path) -> io::Result<()> {
        run(&mut self.build(&Job { archive: None, ..job.clone() }))?;
        let name = run(&mut self.command(["from", "--pull-never", IMAGE]))?;
        let name = OsStr::from_bytes(name.trim_ascii_end()).to_owned();
        let mounted = run(&mut self.command([OsStr::new("mount"), &name]))?;
        let mounted = PathBuf::from(OsStr::from_bytes(mounted.trim_ascii_end()));
        fs::create_dir_all(to)?;
        let copied = run(Command::new("cp").arg("-a").arg(mounted.join(".")).arg(to));
        run(&mut self.command([OsStr::new("umount"), &name]))?;
        run(&mut self.command([OsStr::new("rm"), &name]))?;
        copied.map(drop)
    }

    fn ran(&self, log: &str) -> Option<usize> {
        let steps =
            log.lines().filter(|line| line.starts_with("STEP ") || line.contains("] STEP "));
        let made = steps.filter(|line| {
            [": RUN", ": COPY", ": ADD", ": WORKDIR"].iter().any(|it| line.contains(it))
        });
        let cached = log.lines().filter(|line| line.contains("--> Using cache"));
        Some(made.count().saturating_sub(cached.count()))
    }

    fn stored(&self) -> Option<u64> {
        Some(size_of(&self.root))
    }
}

/// One command that runs several, each only after the success of the one before.
pub(super) fn in_sequence(commands: &[Command]) -> Command {
    let mut shell = Command::new("sh");
    let mut script = String::new();
    let mut words = Vec::new();
    for command in commands {
        if !script.is_empty() {
            script.push_str(" && ");
        }
        for word in std::iter::once(command.get_program()).chain(command.get_args()) {
            words.push(word.to_owned());
            script.push_str(&format!("\"${{{}}}\" ", words.len()));
        }
    }
    shell.arg("-c").arg(script).arg("sh").args(words);
    shell
}
