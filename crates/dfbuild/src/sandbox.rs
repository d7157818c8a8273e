//! How commands run, for those who want them to run in another way, or not at all.
//!
//! ```
//! # use dfbuild::{Build, BuildContext, Cancel, Event};
//! # let store = tempfile::tempdir()?;
//! # let engine = dfbuild::testing::engine(store.path())?;
//! # use dfbuild::Engine;
//! use std::path::Path;
//!
//! use dfbuild::sandbox::{Ended, Error, Exit, Output, Sandbox, Spec, Support};
//!
//! /// Lets every command succeed.
//! #[derive(Debug)]
//! struct Pretence;
//!
//! impl Sandbox for Pretence {
//!     fn probe(&self, _: &Path) -> Result<Support, Error> {
//!         Ok(Support::plain("nothing runs"))
//!     }
//!
//!     fn run(
//!         &self,
//!         _: &Spec,
//!         _: &Output<'_>,
//!         _: &(dyn Fn() -> bool + Sync),
//!     ) -> Result<Ended, Error> {
//!         Ok(Exit::Code(0).into())
//!     }
//! }
//!
//! let engine = Engine::open(store.path())?.with_sandbox(Pretence);
//! let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
//! assert_eq!(build.run(&engine, &|_: &Event| {}, &Cancel::new())?.ran, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
///
/// ```
/// use std::sync::Mutex;
///
/// use dfbuild::Stream;
/// use dfbuild::sandbox::Output;
///
/// /// For a sandbox that wants to say something itself.
/// fn say(output: &Output<'_>, text: &str) {
///     output(Stream::Stderr, text.as_bytes());
/// }
///
/// let heard = Mutex::new(Vec::new());
/// say(&|_, bytes: &[u8]| heard.lock().unwrap().extend_from_slice(bytes), "a warning\n");
/// assert_eq!(heard.into_inner().unwrap(), b"a warning\n");
/// ```
pub type Output<'a> = dyn Fn(Stream, &[u8]) + Sync + 'a;

/// How a command ended, and what it took.
///
/// ```
/// use dfbuild::sandbox::{Ended, Exit};
///
/// let killed = Ended { exit: Exit::Signal(9), cpu: None };
/// assert_eq!(killed, Exit::Signal(9).into());
/// ```
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
    ///
    /// ```
    /// use dfbuild::sandbox::{Namespaces, Sandbox};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// match Namespaces.probe(folder.path()) {
    ///     Ok(support) if support.overlay.is_ok() => println!("commands run over overlays"),
    ///     Ok(_) => println!("commands run in copies"),
    ///     Err(error) => println!("no command runs here: {error}"),
    /// }
    /// # assert!(folder.path().is_dir());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn probe(&self, dir: &Path) -> Result<Support, Error>;

    /// Whether the network can be taken away from commands. Only [`Engine::doctor`](crate::Engine::doctor)
    /// asks: trying it may take longer than a command.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use dfbuild::sandbox::Sandbox;
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let fake = FakeSandbox::new(|_| 0);
    /// assert!(fake.has_own_network(Path::new("/")));
    /// ```
    fn has_own_network(&self, _dir: &Path) -> bool {
        true
    }

    /// Runs a command to its end, and every process that it started. What it changed is in
    /// [`Spec::upper`] afterwards.
    ///
    /// When `is_cancelled` becomes true the command is to be killed soon, which is an
    /// [`Exit::Signal`].
    ///
    /// ```
    /// use std::sync::Mutex;
    ///
    /// use dfbuild::sandbox::{Exit, Sandbox, Spec};
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let sandbox = FakeSandbox::new(|command| {
    ///     command.print("made\n");
    ///     0
    /// });
    /// # let folder = tempfile::tempdir()?;
    /// let mut spec = Spec::new(folder.path().join("root"), folder.path().join("work"));
    /// spec.args = ["/bin/sh", "-c", "make"].map(Into::into).to_vec();
    /// let log = Mutex::new(Vec::new());
    /// let output = |_, bytes: &[u8]| log.lock().unwrap().extend_from_slice(bytes);
    /// let ended = sandbox.run(&spec, &output, &|| false)?;
    /// assert_eq!((ended.exit, log.into_inner()?), (Exit::Code(0), b"made\n".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn run(
        &self,
        spec: &Spec,
        output: &Output<'_>,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Ended, Error>;
}

/// Namespaces of this kernel, without a daemon and without root: see [`crate::rootless`].
///
/// ```
/// use std::path::Path;
///
/// use dfbuild::sandbox::{Ended, Error, Namespaces, Network, Output, Sandbox, Spec, Support};
///
/// /// Commands without a network, whatever the Dockerfile says.
/// #[derive(Debug)]
/// struct Offline;
///
/// impl Sandbox for Offline {
///     fn probe(&self, dir: &Path) -> Result<Support, Error> {
///         Namespaces.probe(dir)
///     }
///
///     fn run(
///         &self,
///         spec: &Spec,
///         output: &Output<'_>,
///         is_cancelled: &(dyn Fn() -> bool + Sync),
///     ) -> Result<Ended, Error> {
///         let spec = Spec { network: Network::None, ..spec.clone() };
///         Namespaces.run(&spec, output, is_cancelled)
///     }
/// }
/// # let store = tempfile::tempdir()?;
/// let engine = dfbuild::Engine::open(store.path())?.with_sandbox(Offline);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
