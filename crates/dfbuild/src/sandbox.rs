//! How commands run, for those who want them to run in another way, or not at all.

use std::fmt::Debug;
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use dfbuild_sandbox::{Child, probe, probe_network, spawn};

use crate::event::Stream;

pub use dfbuild_sandbox::{
    CpuTime, Error, Exit, IdMode, Mount, Network, OverlayApi, Privileges, Rlimit, Spec, Support,
    User,
};

/// What the command writes goes here, in pieces of any size, from any thread.
pub type Output<'a> = dyn Fn(Stream, &[u8]) + Sync + 'a;

/// How a command ended, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// With which code or signal.
    pub exit: Exit,
    /// The processor time of its processes, where that is known.
    pub cpu: Option<CpuTime>,
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        Self { exit, cpu: None }
    }
}

/// Runs the commands of a build. [`Namespaces`] does unless an engine is given another one by
/// [`crate::Engine::with_sandbox`]: a virtual machine, another machine, or what
/// [`crate::testing::FakeSandbox`] is for.
///
/// Used by several threads at the same time.
///
/// ```
/// use std::path::Path;
///
/// use dfbuild::sandbox::{Ended, Error, Output, Sandbox, Spec, Support};
///
/// /// Shows each command before it runs.
/// #[derive(Debug)]
/// struct Verbose<S>(S);
///
/// impl<S: Sandbox> Sandbox for Verbose<S> {
///     fn probe(&self, dir: &Path) -> Result<Support, Error> {
///         self.0.probe(dir)
///     }
///
///     fn run(
///         &self,
///         spec: &Spec,
///         output: &Output<'_>,
///         is_cancelled: &(dyn Fn() -> bool + Sync),
///     ) -> Result<Ended, Error> {
///         println!("{:?}", spec.args);
///         self.0.run(spec, output, is_cancelled)
///     }
/// }
/// ```
pub trait Sandbox: Debug + Send + Sync {
    /// What [`Spec`]s can be run here; asked once for each build that has commands to run. `dir` is an
    /// empty folder of the store to try things in. An error refuses the build before it begins.
    ///
    /// A sandbox that cannot mount overlays says [`Support::plain`]; then every [`Spec`] has a plain
    /// directory as its root, [`Spec::upper`], in which the command works.
    fn probe(&self, dir: &Path) -> Result<Support, Error>;

    /// Whether the network can be taken away from commands. Only [`Engine::doctor`](crate::Engine::doctor)
    /// asks: trying it may take longer than a command.
    fn has_own_network(&self, _dir: &Path) -> bool {
        true
    }

    /// Runs a command to its end, and every process that it started. What it changed is in
    /// [`Spec::upper`] afterwards.
    ///
    /// When `is_cancelled` becomes true the command is to be killed soon, which is an
    /// [`Exit::Signal`].
    fn run(
        &self,
        spec: &Spec,
        output: &Output<'_>,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Ended, Error>;
}

/// Namespaces of this kernel, without a daemon and without root: see [`crate::rootless`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Namespaces;

/// How often a running command looks whether the build was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

impl Sandbox for Namespaces {
    fn probe(&self, dir: &Path) -> Result<Support, Error> {
        probe(dir)
    }

    fn has_own_network(&self, dir: &Path) -> bool {
        probe_network(dir).is_ok()
    }

    fn run(
        &self,
        spec: &Spec,
        output: &Output<'_>,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Ended, Error> {
        let mut child = spawn(spec)?;
        let (stdout, stderr) = (child.stdout(), child.stderr());
        thread::scope(|scope| {
            if let Some(pipe) = stdout {
                scope.spawn(|| pass_on(pipe, Stream::Stdout, output));
            }
            if let Some(pipe) = stderr {
                scope.spawn(|| pass_on(pipe, Stream::Stderr, output));
            }
            wait(&mut child, is_cancelled)
        })
    }
}

fn wait(child: &mut Child, is_cancelled: &(dyn Fn() -> bool + Sync)) -> Result<Ended, Error> {
    let exit = loop {
        if let Some(exit) = child.wait_timeout(CANCEL_INTERVAL)? {
            break exit;
        }
        if is_cancelled() {
            child.kill();
            break child.wait()?;
        }
    };
    Ok(Ended { exit, cpu: child.cpu() })
}

fn pass_on(mut pipe: impl Read, stream: Stream, output: &Output<'_>) {
    let mut buffer = vec![0; 32 << 10];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => output(stream, &buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
}
