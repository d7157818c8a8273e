//! Commands apart from a build: in images, in stages of the last build, and where a step failed.

pub(crate) mod failed;
pub(crate) mod files;
pub(crate) mod prepare;
pub(crate) mod stages;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_image::{ImageConfig, Platform};
use dfbuild_sandbox::{Exit, Killer};
use serde::{Deserialize, Serialize};

use crate::build::Build;
use crate::engine::Engine;
use crate::error::Error;
use crate::options::{Secret, SshAgent, Ulimit};
use crate::run::prepare::Prepared;

pub use dfbuild_sandbox::Streams;
pub use failed::FailedStep;
pub use stages::BuiltStage;

/// A command to run in the files of an image, of a stage or of a failed step. What it changes is
/// lost when it ends. Each method changes one thing and returns the value; the defaults are those of
/// `docker run`.
///
/// ```no_run
/// use dfbuild::{Engine, Run, RunEnd, Streams};
///
/// dfbuild::rootless::enter()?;
/// let engine = Engine::open("/var/tmp/dfbuild")?;
/// let streams = Streams {
///     input: std::fs::File::open("/dev/null")?.into(),
///     output: std::io::stdout().into_parts(),
///     error: std::io::stderr().into_parts(),
///     controls_terminal: false,
/// };
/// # trait Parts { fn into_parts(self) -> std::os::fd::OwnedFd; }
/// # impl<T: std::os::fd::AsFd> Parts for T {
/// #     fn into_parts(self) -> std::os::fd::OwnedFd { self.as_fd().try_clone_to_owned().unwrap() }
/// # }
/// let run = Run::image("app").args(["env"]).env("A", "b");
/// let end = run.start(&engine, streams, &|_| {})?;
/// assert_eq!(end, RunEnd::Code(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[must_use = "nothing runs until `start` is called"]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub struct Run {
    place: Place,
    args: Vec<String>,
    entrypoint: Option<Vec<String>>,
    shell: bool,
    env: Vec<(String, String)>,
    volumes: Vec<Volume>,
    tmpfs: Vec<Tmpfs>,
    read_only: bool,
    privileged: bool,
    workdir: Option<String>,
    user: Option<String>,
    hostname: Option<String>,
    network_none: bool,
    add_hosts: Vec<(String, String)>,
    resolv_conf: Option<Vec<u8>>,
    shm_size: Option<u64>,
    ulimits: Vec<Ulimit>,
    /// Not written: they are nobody's business.
    #[serde(skip)]
    pub(crate) secrets: Vec<Secret>,
    ssh: Vec<SshAgent>,
    platform: Option<Platform>,
}

/// Whose files a command sees.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Place {
    Image(String),
    Stage(Box<BuiltStage>),
    Failed,
}

/// A file or folder of this machine that a command sees.
///
/// ```
/// use dfbuild::{Run, Volume};
///
/// let sources = Volume { source: "/home/me/app".into(), target: "/src".into(), read_only: true };
/// let run = Run::image("tools").volume(sources).workdir("/src").args(["make", "check"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where it is, absolute.
    pub source: PathBuf,
    /// Where the command sees it, absolute.
    pub target: String,
    /// Whether the command cannot write to it.
    pub read_only: bool,
}

/// An empty file system in memory, which ends with the command.
///
/// ```
/// use dfbuild::{Run, Tmpfs};
///
/// let cache = Tmpfs { target: "/cache".into(), size: None, mode: 0o755 };
/// let run = Run::image("tools").read_only(true).tmpfs(cache);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Where the command sees it, absolute.
    pub target: String,
    /// The largest size in bytes; half of the memory by default.
    pub size: Option<u64>,
    /// The mode of its top directory.
    pub mode: u32,
}

/// How a command ended.
///
/// ```
/// use dfbuild::RunEnd;
///
/// fn verdict(end: &RunEnd) -> String {
///     match end {
///         RunEnd::Code(0) => "all tests pass".to_owned(),
///         RunEnd::Signal(signal) => format!("killed by signal {signal}"),
///         RunEnd::NotStarted { reason, .. } => reason.clone(),
///         _ => "a test fails".to_owned(),
///     }
/// }
/// assert_eq!(verdict(&RunEnd::Code(1)), "a test fails");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RunEnd {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// There is nothing that could be executed.
    NotStarted {
        /// What a shell would exit with: 126 or 127.
        code: i32,
        /// Why.
        reason: String,
        /// What to do about it, where it is the first line of a script.
        hint: Option<String>,
    },
}

impl RunEnd {
    /// What a shell would exit with.
    ///
    /// ```
    /// use dfbuild::RunEnd;
    ///
    /// assert_eq!(RunEnd::Code(3).exit_code(), 3);
    /// assert_eq!(RunEnd::Signal(9).exit_code(), 137);
    /// ```
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Code(code) | Self::NotStarted { code, .. } => *code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Signals for a running command, from any thread. Does nothing once it has ended.
///
/// ```no_run
/// # use dfbuild::{Engine, Run, Streams};
/// use std::sync::mpsc;
/// use std::thread;
/// use std::time::Duration;
///
/// # fn example(engine: &Engine, streams: Streams) -> Result<(), dfbuild::Error> {
/// let (sender, started) = mpsc::channel();
/// thread::spawn(move || {
///     let Ok(signaller): Result<dfbuild::Signaller, _> = started.recv() else { return };
///     thread::sleep(Duration::from_secs(60));
///     signaller.kill(); // It had its time.
/// });
/// let tell = |signaller| drop(sender.send(signaller));
/// let end = Run::image("app").start(engine, streams, &tell)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Signaller(Arc<dyn Fn(Option<i32>) + Send + Sync>);

impl Signaller {
    fn here(killer: Killer) -> Self {
        Self::elsewhere(move |signal| match signal {
            Some(number) => killer.signal(number),
            None => killer.kill(),
        })
    }

    /// `send` takes a signal, or none to kill the command.
    pub(crate) fn elsewhere(send: impl Fn(Option<i32>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(send))
    }

    /// Kills the command and all that it started.
    ///
    /// ```no_run
    /// # use dfbuild::{Engine, Run, Streams};
    /// # fn example(engine: &Engine, streams: Streams) -> Result<(), dfbuild::Error> {
    /// // Only to see whether it can be started.
    /// let end = Run::image("app").start(engine, streams, &|signaller| signaller.kill())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill(&self) {
        (self.0)(None);
    }

    /// Sends a signal to the command. As the first process of its namespace it hears only of those
    /// that it waits for.
    ///
    /// ```no_run
    /// use dfbuild::Signaller;
    ///
    /// /// What Control-C is to do.
    /// fn interrupted(command: &Signaller) {
    ///     const SIGINT: i32 = 2;
    ///     command.signal(SIGINT);
    /// }
    /// ```
    pub fn signal(&self, number: i32) {
        (self.0)(Some(number));
    }
}

impl fmt::Debug for Signaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signaller(..)")
    }
}

impl Run {
    fn new(place: Place) -> Self {
        Self {
            place,
            args: Vec::new(),
            entrypoint: None,
            shell: false,
            env: Vec::new(),
            volumes: Vec::new(),
            tmpfs: Vec::new(),
            read_only: false,
            privileged: false,
            workdir: None,
            user: None,
            hostname: None,
            network_none: false,
            add_hosts: Vec::new(),
            resolv_conf: None,
            shm_size: None,
            ulimits: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            platform: None,
        }
    }

    /// A command in an image of the store: a name, or the beginning of an id.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let tagged = Run::image("app:1.0");
    /// let by_id = Run::image("3f2a9c1d");
    /// ```
    pub fn image(name: impl Into<String>) -> Self {
        Self::new(Place::Image(name.into()))
    }

    /// A command at the end of a stage of the last build.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::Run;
    ///
    /// # Build::new(BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch AS test\nRUN make check\n")
    /// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let last = engine.last_stages().pop().unwrap();
    /// assert_eq!(last.name(), "test");
    /// let run = Run::stage(last).shell();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stage(stage: BuiltStage) -> Self {
        Self::new(Place::Stage(Box::new(stage)))
    }

    /// A command where the last step of this store failed: with what it had changed until then, its
    /// variables, user, working directory and mounts. Secrets and agents that it mounts have to be
    /// given again.
    ///
    /// ```
    /// use dfbuild::{Run, Secret, SecretSource};
    ///
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// if let Some(step) = engine.failed_step()? {
    ///     println!("{}: {}", step.text, step.reason);
    ///     let token = SecretSource::Value(b"from a vault".to_vec());
    ///     let run = Run::failed_step().secret(Secret { id: "token".into(), source: token }).shell();
    ///     // Start it.
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failed_step() -> Self {
        Self::new(Place::Failed)
    }

    /// The same for a build that just failed, with its secrets and agents.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::{Error, Run, Secret, SecretSource};
    ///
    /// let token = SecretSource::Value(b"from a vault".to_vec());
    /// let build = Build::new("project").secret(Secret { id: "token".into(), source: token });
    /// if let Err(Error::Step { .. }) = build.run(&engine, &|_: &Event| {}, &Cancel::new()) {
    ///     let run = Run::failed_step_of(&build).shell();
    ///     // Start it.
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failed_step_of(build: &Build) -> Self {
        let (secrets, ssh) = (build.secrets.clone(), build.ssh.clone());
        Self { secrets, ssh, ..Self::failed_step() }
    }

    /// The command, instead of the image's; behind its entrypoint, if it has one.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").args(["serve", "--port", "8080"]);
    /// ```
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// Another entrypoint, or none. The image's command goes with it.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let another = Run::image("app").entrypoint(["/bin/sh", "-c"]).args(["env | sort"]);
    /// let none = Run::image("app").entrypoint([""; 0]).args(["/bin/ls", "/"]);
    /// ```
    pub fn entrypoint(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.entrypoint = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Runs a shell that is there, if there are no arguments; never the entrypoint.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").shell();
    /// ```
    pub fn shell(mut self) -> Self {
        self.shell = true;
        self
    }

    /// A variable; may be given several times.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").env("LOG", "debug").env("PORT", "8080");
    /// ```
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A file or folder of this machine; may be given several times.
    ///
    /// ```
    /// use dfbuild::{Run, Volume};
    ///
    /// let data = Volume { source: "/srv/data".into(), target: "/data".into(), read_only: false };
    /// let run = Run::image("app").volume(data);
    /// ```
    pub fn volume(mut self, volume: Volume) -> Self {
        self.volumes.push(volume);
        self
    }

    /// A file system in memory, in an image or a stage; may be given several times.
    ///
    /// ```
    /// use dfbuild::{Run, Tmpfs};
    ///
    /// let scratch = Tmpfs { target: "/tmp".into(), size: Some(64 << 20), mode: 0o1777 };
    /// let run = Run::image("app").tmpfs(scratch);
    /// ```
    pub fn tmpfs(mut self, tmpfs: Tmpfs) -> Self {
        self.tmpfs.push(tmpfs);
        self
    }

    /// Whether the command cannot change the files of the image or stage. What is mounted is not
    /// concerned.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").read_only(true).args(["make", "check"]);
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Whether the command, in an image or a stage, may do what `RUN --security=insecure` may: it
    /// has all capabilities of this process, no filter of system calls and no masked paths.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").privileged(true).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    /// ```
    pub fn privileged(mut self, privileged: bool) -> Self {
        self.privileged = privileged;
        self
    }

    /// The working directory, which is made if it is not there.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").workdir("/src").args(["make"]);
    /// ```
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.workdir = Some(path.into());
        self
    }

    /// Who the command runs as, as `USER` has it.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let by_name = Run::image("app").user("www-data");
    /// let by_ids = Run::image("app").user("1000:1000");
    /// ```
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// What the command calls its machine.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").hostname("build-7");
    /// ```
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.hostname = Some(name.into());
        self
    }

    /// Whether the command has no network.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").network_none(true);
    /// ```
    pub fn network_none(mut self, none: bool) -> Self {
        self.network_none = none;
        self
    }

    /// A line for `/etc/hosts`: a name and an address.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").add_host("db.internal", "10.0.0.5");
    /// ```
    pub fn add_host(mut self, name: impl Into<String>, address: impl Into<String>) -> Self {
        self.add_hosts.push((name.into(), address.into()));
        self
    }

    /// What the command sees as `/etc/resolv.conf`.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").resolv_conf("nameserver 10.0.0.1\n");
    /// ```
    pub fn resolv_conf(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.resolv_conf = Some(content.into());
        self
    }

    /// The size of `/dev/shm` in bytes, instead of 64 MiB.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("browser").shm_size(1 << 30);
    /// ```
    pub fn shm_size(mut self, bytes: u64) -> Self {
        self.shm_size = Some(bytes);
        self
    }

    /// A resource limit.
    ///
    /// ```
    /// use dfbuild::{Run, Ulimit};
    ///
    /// let run = Run::image("app").ulimit(Ulimit { name: "nofile".into(), soft: 1024, hard: 4096 });
    /// ```
    pub fn ulimit(mut self, limit: Ulimit) -> Self {
        self.ulimits.push(limit);
        self
    }

    /// A secret that a failed step mounts.
    ///
    /// ```
    /// use dfbuild::{Run, Secret, SecretSource};
    ///
    /// let source = SecretSource::File("/home/me/.npmrc".into());
    /// let run = Run::failed_step().secret(Secret { id: "npmrc".into(), source });
    /// ```
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// An ssh agent that a failed step mounts.
    ///
    /// ```
    /// use dfbuild::{Run, SshAgent};
    ///
    /// let agent = SshAgent { id: "default".into(), socket: "/run/user/1000/agent.sock".into() };
    /// let run = Run::failed_step().ssh(agent);
    /// ```
    pub fn ssh(mut self, agent: SshAgent) -> Self {
        self.ssh.push(agent);
        self
    }

    /// The platform, of an image for several.
    ///
    /// ```
    /// use dfbuild::Run;
    ///
    /// let run = Run::image("app").platform("linux/arm64".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Runs the command. Blocks until it has ended and with it all that it started; `started` is
    /// told how to send it signals. An engine with a worker has it run there, with these streams.
    ///
    /// ```no_run
    /// use dfbuild::{Engine, Run, RunEnd, Streams};
    ///
    /// dfbuild::rootless::enter()?;
    /// let engine = Engine::open("/var/tmp/dfbuild")?;
    /// let output = std::fs::File::create("tests.log")?;
    /// let streams = Streams {
    ///     input: std::fs::File::open("/dev/null")?.into(),
    ///     error: output.try_clone()?.into(),
    ///     output: output.into(),
    ///     controls_terminal: false,
    /// };
    /// let end = Run::image("app").args(["make", "check"]).start(&engine, streams, &|_| {})?;
    /// assert_eq!(end, RunEnd::Code(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(
        &self,
        engine: &Engine,
        streams: Streams,
        started: &dyn Fn(Signaller),
    ) -> Result<RunEnd, Error> {
        if engine.has_sandbox_of_its_own() {
            return Err(Error::Sandbox {
                reason: "the engine's own sandbox only runs the commands of builds".to_owned(),
                hint: Some("use an engine without one".to_owned()),
            });
        }
        if let Some(worker) = engine.worker() {
            return worker.run(self, engine, streams, started);
        }
        let _in_use = engine.in_use();
        match &self.place {
            Place::Image(name) => {
                let image = engine.local_image(name)?;
                let found = engine.local_platform(&image.top, self.platform.as_ref());
                let found = found.map_err(|error| Error::image(name, error))?;
                let layers = found.files(engine).map_err(|error| error_of(name, error))?;
                let prepared = Prepared::new(self, engine, layers, &found.config);
                let prepared = prepared.map_err(|error| error_of(name, error))?;
                prepared.run(streams, started).map_err(|error| error_of(name, error))
            }
            Place::Stage(stage) => {
                let name = stage.name();
                let layers = stage.layers(engine).map_err(|error| error_of(&name, error))?;
                let prepared = Prepared::new(self, engine, layers, stage.config());
                let prepared = prepared.map_err(|error| error_of(&name, error))?;
                prepared.run(streams, started).map_err(|error| error_of(&name, error))
            }
            Place::Failed => failed::run(self, engine, streams, started),
        }
    }
}

/// What is wrong with running something in an image.
fn error_of(name: &str, error: crate::error::StepError) -> Error {
    let hint = error.hint();
    Error::Transfer {
        action: "run".into(),
        name: name.to_owned(),
        reason: error.to_string(),
        hint,
        source: Some(Box::new(error)),
    }
}

fn end_of(exit: Exit) -> RunEnd {
    match exit {
        Exit::Code(code) => RunEnd::Code(code),
        Exit::Signal(signal) => RunEnd::Signal(signal),
    }
}

/// What an image runs: the entrypoint and, behind it, the arguments or the image's own.
fn command(run: &Run, config: &ImageConfig, shell: impl FnOnce() -> Option<String>) -> Vec<String> {
    let config = &config.config;
    if run.shell {
        return if run.args.is_empty() { shell().into_iter().collect() } else { run.args.clone() };
    }
    let (entrypoint, of_image) = match &run.entrypoint {
        Some(given) => (given.clone(), None),
        None => (config.entrypoint.clone().unwrap_or_default(), config.cmd.clone()),
    };
    let args = if run.args.is_empty() { of_image.unwrap_or_default() } else { run.args.clone() };
    entrypoint.into_iter().chain(args).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let mut config = ImageConfig::default();
        config.config.cmd = Some(vec!["c".into()]);
        let check = |run: &Run, config: &ImageConfig, expect: &[&str]| {
            assert_eq!(command(run, config, || Some("/bin/sh".into())), expect);
        };
        let plain = Run::image("x");
        check(&plain, &config, &["c"]);
        check(&plain.clone().args(["a", "b"]), &config, &["a", "b"]);
        config.config.entrypoint = Some(vec!["e".into(), "1".into()]);
        check(&plain, &config, &["e", "1", "c"]);
        check(&plain.clone().args(["a"]), &config, &["e", "1", "a"]);
        check(&plain.clone().entrypoint(["x"]), &config, &["x"]);
        check(&plain.clone().entrypoint(["x"]).args(["a"]), &config, &["x", "a"]);
        check(&plain.clone().entrypoint([""; 0]).args(["a"]), &config, &["a"]);
        check(&plain.clone().shell(), &config, &["/bin/sh"]);
        check(&plain.shell().args(["ls"]), &config, &["ls"]);
    }
}
