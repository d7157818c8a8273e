use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::event::Stream;
use crate::sandbox::{Ended, Error, Exit, Output, Sandbox, Spec, Support};

/// A sandbox in which every command is a closure. It may read and change the files below
/// [`FakeCommand::root`], which become the layer, and returns the exit code.
///
/// ```
/// use dfbuild::testing::FakeSandbox;
///
/// let sandbox = FakeSandbox::new(|command| match command.args() {
///     [_, _, script] if script == "make" => {
///         command.print("made\n");
///         0
///     }
///     _ => 127,
/// });
/// ```
pub struct FakeSandbox(Box<dyn Fn(&FakeCommand<'_>) -> i32 + Send + Sync>);

/// A command that a [`FakeSandbox`] is to run.
pub struct FakeCommand<'a> {
    args: Vec<String>,
    spec: &'a Spec,
    output: &'a Output<'a>,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl FakeSandbox {
    /// A sandbox that does `run` for each command.
    pub fn new(run: impl Fn(&FakeCommand<'_>) -> i32 + Send + Sync + 'static) -> Self {
        Self(Box::new(run))
    }
}

impl FakeCommand<'_> {
    /// The arguments, with the shell's: `["/bin/sh", "-c", "make install"]`.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The last argument: with a shell, the whole command.
    pub fn line(&self) -> &str {
        self.args.last().map_or("", String::as_str)
    }

    /// The value of an environment variable.
    pub fn env(&self, name: &str) -> Option<&str> {
        let variables = self.spec.env.iter().filter_map(|variable| variable.to_str());
        let mut pairs = variables.filter_map(|variable| variable.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The folder with its root file system.
    pub fn root(&self) -> &Path {
        &self.spec.upper
    }

    /// Everything that a real sandbox would be told.
    pub fn spec(&self) -> &Spec {
        self.spec
    }

    /// Writes to its standard output.
    pub fn print(&self, text: &str) {
        (self.output)(Stream::Stdout, text.as_bytes());
    }

    /// Writes to its standard error.
    pub fn print_error(&self, text: &str) {
        (self.output)(Stream::Stderr, text.as_bytes());
    }

    /// Waits until the build is cancelled, as a command would that runs too long.
    pub fn hang(&self) {
        while !(self.is_cancelled)() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Sandbox for FakeSandbox {
    fn probe(&self, _dir: &Path) -> Result<Support, Error> {
        Ok(Support::plain("commands are closures"))
    }

    fn run(
        &self,
        spec: &Spec,
        output: &Output<'_>,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Ended, Error> {
        let args = spec.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let code = (self.0)(&FakeCommand { args, spec, output, is_cancelled });
        // SIGKILL.
        let exit = if is_cancelled() { Exit::Signal(9) } else { Exit::Code(code) };
        Ok(exit.into())
    }
}

impl fmt::Debug for FakeSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeSandbox(..)")
    }
}

impl fmt::Debug for FakeCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeCommand").field("args", &self.args).finish_non_exhaustive()
    }
}
