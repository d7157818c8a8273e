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
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # use dfbuild::Engine;
/// use dfbuild::testing::{FakeCommand, FakeSandbox};
///
/// fn make(command: &FakeCommand<'_>) -> i32 {
///     match command.env("TARGET") {
///         Some(target) => i32::from(std::fs::write(command.root().join(target), "made").is_err()),
///         None => 2,
///     }
/// }
/// let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(make));
/// let text = "FROM scratch\nENV TARGET=app\nRUN make\n";
/// let build = Build::new(BuildContext::Empty).dockerfile_text(text);
/// assert_eq!(build.run(&engine, &|_: &Event| {}, &Cancel::new())?.layers, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FakeCommand<'a> {
    args: Vec<String>,
    spec: &'a Spec,
    output: &'a Output<'a>,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl FakeSandbox {
    /// A sandbox that does `run` for each command.
    ///
    /// ```
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// # drop(engine);
    /// let always = FakeSandbox::new(|_| 0);
    /// let never = FakeSandbox::new(|command| {
    ///     command.print_error("no\n");
    ///     1
    /// });
    /// let engine = dfbuild::Engine::open(store.path())?.with_sandbox(never);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(run: impl Fn(&FakeCommand<'_>) -> i32 + Send + Sync + 'static) -> Self {
        Self(Box::new(run))
    }
}

impl FakeCommand<'_> {
    /// The arguments, with the shell's: `["/bin/sh", "-c", "make install"]`.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let sandbox = FakeSandbox::new(|command| match command.args() {
    ///     [shell, _, script] if shell == "/bin/sh" => i32::from(script != "make"),
    ///     [program, ..] if program == "/app" => 0, // RUN ["/app", "--check"]
    ///     _ => 127,
    /// });
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::Engine::open(store.path())?.with_sandbox(sandbox);
    /// # let text = "FROM scratch\nRUN make\nRUN [\"/app\", \"--check\"]\n";
    /// # let build = dfbuild::Build::new(dfbuild::BuildContext::Empty).dockerfile_text(text);
    /// # assert_eq!(build.run(&engine, &|_: &dfbuild::Event| {}, &dfbuild::Cancel::new())?.ran, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The last argument: with a shell, the whole command.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let sandbox = FakeSandbox::new(|command| match command.line() {
    ///     "make" => 0,
    ///     "make check" => 1,
    ///     line => panic!("nobody expects {line}"),
    /// });
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::Engine::open(store.path())?.with_sandbox(sandbox);
    /// # let build = dfbuild::Build::new(dfbuild::BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nRUN make\n");
    /// # assert_eq!(build.run(&engine, &|_: &dfbuild::Event| {}, &dfbuild::Cancel::new())?.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn line(&self) -> &str {
        self.args.last().map_or("", String::as_str)
    }

    /// The value of an environment variable.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let sandbox = FakeSandbox::new(|command| match command.env("VERSION") {
    ///     Some(version) if version.starts_with("1.") => 0,
    ///     _ => 1,
    /// });
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::Engine::open(store.path())?.with_sandbox(sandbox);
    /// # let build = dfbuild::Build::new(dfbuild::BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nENV VERSION=1.2\nRUN make\n");
    /// # assert_eq!(build.run(&engine, &|_: &dfbuild::Event| {}, &dfbuild::Cancel::new())?.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env(&self, name: &str) -> Option<&str> {
        let variables = self.spec.env.iter().filter_map(|variable| variable.to_str());
        let mut pairs = variables.filter_map(|variable| variable.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The folder with its root file system.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let sandbox = FakeSandbox::new(|command| {
    ///     let source = command.root().join("main.c");
    ///     let compiled = std::fs::copy(source, command.root().join("main"));
    ///     i32::from(compiled.is_err())
    /// });
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::Engine::open(store.path())?.with_sandbox(sandbox);
    /// # let build = dfbuild::Build::new(dfbuild::BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nCOPY <<EOF /main.c\nEOF\nRUN make\n");
    /// # assert_eq!(build.run(&engine, &|_: &dfbuild::Event| {}, &dfbuild::Cancel::new())?.ran, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn root(&self) -> &Path {
        &self.spec.upper
    }

    /// Everything that a real sandbox would be told.
    ///
    /// ```
    /// use dfbuild::sandbox::Network;
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// // Fails where the command could reach the network.
    /// let sandbox = FakeSandbox::new(|command| i32::from(command.spec().network != Network::None));
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::Engine::open(store.path())?.with_sandbox(sandbox);
    /// # let build = dfbuild::Build::new(dfbuild::BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nRUN --network=none make\n");
    /// # assert_eq!(build.run(&engine, &|_: &dfbuild::Event| {}, &dfbuild::Cancel::new())?.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spec(&self) -> &Spec {
        self.spec
    }

    /// Writes to its standard output.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let sandbox = FakeSandbox::new(|command| {
    ///     command.print(&format!("{}: done\n", command.line()));
    ///     0
    /// });
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::Engine::open(store.path())?.with_sandbox(sandbox);
    /// # let build = dfbuild::Build::new(dfbuild::BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nRUN make\n");
    /// # build.run(&engine, &|_: &dfbuild::Event| {}, &dfbuild::Cancel::new())?;
    /// # let log = &engine.build_logs()?[0];
    /// # assert_eq!(std::io::read_to_string(engine.step_log(log, &log.steps[0])?)?, "make: done\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn print(&self, text: &str) {
        (self.output)(Stream::Stdout, text.as_bytes());
    }

    /// Writes to its standard error.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    ///
    /// let sandbox = FakeSandbox::new(|command| {
    ///     command.print_error("no rule to make target\n");
    ///     2
    /// });
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::Engine::open(store.path())?.with_sandbox(sandbox);
    /// # let build = dfbuild::Build::new(dfbuild::BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nRUN make\n");
    /// # assert!(build.run(&engine, &|_: &dfbuild::Event| {}, &dfbuild::Cancel::new()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn print_error(&self, text: &str) {
        (self.output)(Stream::Stderr, text.as_bytes());
    }

    /// Waits until the build is cancelled, as a command would that runs too long.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    /// use dfbuild::{Build, BuildContext, Cancel, Engine, Error, Event};
    ///
    /// # let store = tempfile::tempdir()?;
    /// let sandbox = FakeSandbox::new(|command| {
    ///     command.hang();
    ///     0
    /// });
    /// let engine = Engine::open(store.path())?.with_sandbox(sandbox);
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// let cancel = Cancel::new();
    /// let at_once = |event: &Event| {
    ///     if matches!(event, Event::Started { .. }) {
    ///         cancel.cancel();
    ///     }
    /// };
    /// assert!(matches!(build.run(&engine, &at_once, &cancel), Err(Error::Cancelled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
