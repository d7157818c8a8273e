use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::greeting::{Greeting, VERSION};
use super::{ARGUMENT, fds, frame};
use crate::error::Error;

/// A process that builds for this one, which may have any number of threads.
///
/// It starts with the first build, does any number of them at once, and ends when the last clone of
/// this is dropped or this process dies, however it dies. When it dies itself, running builds fail
/// with [`Error::Worker`], and the next one starts another. Clones are the same worker; engines can
/// share it.
///
/// It runs as the same user with the same environment. Secrets, credentials and streamed contexts go
/// to it through sockets that have no name, never through arguments or variables.
///
/// ```no_run
/// use dfbuild::{Build, Cancel, Engine, Event};
/// use dfbuild::worker::Worker;
///
/// let engine = Engine::open("/var/tmp/dfbuild")?.with_worker(Worker::this_program());
/// let built = Build::new(".").run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// # Ok::<(), dfbuild::Error>(())
/// ```
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
    program: PathBuf,
    process: Mutex<Option<Process>>,
}

struct Process {
    child: Child,
    control: UnixStream,
}

/// How long a program may take to become a worker.
const START: Duration = Duration::from_secs(30);

/// How long the kernel may take to tell how a process ended whose sockets are closed.
const END: Duration = Duration::from_secs(5);

impl Worker {
    /// This program once more. Its `main` has to begin with [`super::serve_if_asked`].
    ///
    /// ```
    /// use dfbuild::worker::{Worker, serve_if_asked};
    ///
    /// fn main() {
    ///     if serve_if_asked(std::env::args_os()).is_some() {
    ///         return; // This process was the worker.
    ///     }
    ///     let worker = Worker::this_program(); // Starts with the first build.
    ///     assert_eq!(worker.pid(), None);
    /// }
    /// ```
    pub fn this_program() -> Self {
        Self::program("/proc/self/exe")
    }

    /// Another program whose `main` begins with [`super::serve_if_asked`], of the same version of this
    /// library: the command `dfbuild` is one.
    ///
    /// ```
    /// use dfbuild::worker::Worker;
    ///
    /// let worker = Worker::program("/usr/bin/dfbuild");
    /// ```
    pub fn program(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Inner { program: path.into(), process: Mutex::new(None) }))
    }

    /// Starts the process if it does not run, to learn early whether it can.
    ///
    /// ```
    /// use dfbuild::Error;
    /// use dfbuild::worker::Worker;
    ///
    /// let error = Worker::program("/bin/true").start().unwrap_err();
    /// assert!(matches!(error, Error::Worker { .. }));
    /// ```
    pub fn start(&self) -> Result<(), Error> {
        let mut process = self.process();
        if !process.as_mut().is_some_and(Process::is_alive) {
            *process = Some(Process::start(&self.0.program)?);
        }
        Ok(())
    }

    /// The id of the process, if it runs.
    ///
    /// ```
    /// use dfbuild::worker::Worker;
    ///
    /// let worker = Worker::program("/usr/bin/dfbuild");
    /// match worker.pid() {
    ///     Some(pid) => println!("process {pid} builds"),
    ///     None => println!("nothing was built yet"),
    /// }
    /// # assert_eq!(worker.pid(), None);
    /// ```
    pub fn pid(&self) -> Option<u32> {
        let mut process = self.process();
        let process = process.as_mut()?;
        process.is_alive().then(|| process.child.id())
    }

    /// A socket to it for one build.
    pub(super) fn connect(&self) -> Result<UnixStream, Error> {
        let failed = |error: io::Error| Error::Worker { reason: error.to_string(), hint: None };
        self.start()?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut process = self.process();
        if let Some(process) = &*process
            && fds::send(&process.control, theirs.as_fd()).is_ok()
        {
            return Ok(ours);
        }
        // It died just now.
        let anew = Process::start(&self.0.program)?;
        fds::send(&anew.control, theirs.as_fd()).map_err(failed)?;
        *process = Some(anew);
        Ok(ours)
    }

    /// Why a socket to it ended before the build did.
    pub(super) fn loss(&self) -> Error {
        let mut process = self.process();
        let reason = match process.as_mut().and_then(Process::death) {
            Some(reason) => {
                *process = None;
                reason
            }
            None => "it gave the build up; its standard error may say why".to_owned(),
        };
        let hint = Some("the next build starts another worker process".to_owned());
        Error::Worker { reason, hint }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.0.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("program", &self.0.program).finish_non_exhaustive()
    }
}

impl Process {
    fn start(program: &Path) -> Result<Self, Error> {
        let failed = |reason: String| Error::Worker { reason, hint: None };
        if was_asked() {
            return Err(Error::Worker {
                reason: "this process was started to be a worker itself".to_owned(),
                hint: Some("call dfbuild::worker::serve_if_asked first in main".to_owned()),
            });
        }
        let (control, theirs) =
            UnixStream::pair().map_err(|error| failed(format!("create a socket: {error}")))?;
        let child = Command::new(program)
            .arg0("dfbuild-worker")
            .arg(ARGUMENT)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // Ctrl-C is for the embedder, who cancels builds or not.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(format!("start {}: {error}", program.display())))?;
        let mut process = Self { child, control };
        match process.greeting() {
            Ok(Some(Greeting { version })) if version == VERSION => Ok(process),
            Ok(Some(Greeting { version })) => Err(failed(format!(
                "{} is of version {version}, and this library of {VERSION}",
                program.display()
            ))),
            Ok(None) => {
                let end = process.death().unwrap_or_else(|| "it closed its socket".to_owned());
                Err(process.no_worker(program, &end))
            }
            Err(error) => Err(process.no_worker(program, &error.to_string())),
        }
    }

    fn no_worker(&mut self, program: &Path, reason: &str) -> Error {
        // It may be anything, and runs for nobody.
        let _ = self.child.kill();
        Error::Worker {
            reason: format!("{} did not become one: {reason}", program.display()),
            hint: Some("its main has to begin with dfbuild::worker::serve_if_asked".to_owned()),
        }
    }

    fn greeting(&self) -> io::Result<Option<Greeting>> {
        self.control.set_read_timeout(Some(START))?;
        let greeting = frame::read(&self.control)?;
        self.control.set_read_timeout(None)?;
        Ok(greeting.map(|(greeting, _)| greeting))
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, if it did.
    fn death(&mut self) -> Option<String> {
        let deadline = Instant::now() + END;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    let pid = self.child.id();
                    return Some(match (status.signal(), status.code()) {
                        (Some(signal), _) => format!("process {pid} was killed by signal {signal}"),
                        (_, code) => format!("process {pid} exited with {}", code.unwrap_or(-1)),
                    });
                }
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return None,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when there is nobody to build for.
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// Whether this process is a worker whose `main` did not notice: it would start another, and so on.
fn was_asked() -> bool {
    let args = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    args.split(|byte| *byte == 0).nth(1) == Some(ARGUMENT.as_bytes())
}
