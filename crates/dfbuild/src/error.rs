use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use dfbuild_cache::Reason;
use dfbuild_dockerfile::Diagnostic;
use dfbuild_image::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::causes::{Cause, with_causes};
use crate::damaged::Damaged;
use crate::event::StepInfo;
use crate::exit_code::{explain_exit_code, explain_signal};
use crate::relayed::{self, Relayed};
use crate::store_owner;

/// Why there is no image.
///
/// [`Self::relayed`] gives the form that can be written with serde.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::Error;
///
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nCPOY . .\n");
/// match build.run(&engine, &|_: &Event| {}, &Cancel::new()) {
///     Err(Error::Dockerfile { diagnostics, .. }) => assert!(diagnostics[0].is_error()),
///     Err(Error::Step { step, source }) => println!("line {}: {source}", step.line),
///     Err(error) => println!("failed to {}", error.chain()),
///     Ok(built) => println!("{}", built.image_id),
/// }
/// # assert!(build.run(&engine, &|_: &Event| {}, &Cancel::new()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// The Dockerfile has errors.
    #[error("build {name}: {}", first(diagnostics))]
    Dockerfile {
        /// What to call the file.
        name: String,
        /// Its text.
        text: String,
        /// All errors and warnings, in the order of the file.
        diagnostics: Vec<Diagnostic>,
    },
    /// A step failed.
    #[error("run step `{}` at line {}: {source}", step.text, step.line)]
    Step {
        /// Which one.
        step: Box<StepInfo>,
        /// Why.
        source: Box<StepError>,
    },
    /// There is no Dockerfile.
    #[error("read Dockerfile {}", path.display())]
    NoDockerfile {
        /// Where it was expected.
        path: PathBuf,
        /// What the operating system answered.
        #[serde(with = "relayed::io_error")]
        source: io::Error,
    },
    /// The context is not a folder.
    #[error("use {} as build context: {reason}", path.display())]
    Context {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The context could not be had from where it is.
    #[error("load build context {name}: {source}")]
    LoadContext {
        /// What it is, without passwords.
        name: String,
        /// Why.
        source: Box<StepError>,
    },
    /// The ignore file has a rule that is none.
    #[error("read {} line {line}: {source}", path.display())]
    #[serde(skip)]
    IgnoreFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        source: dfbuild_pattern::Error,
    },
    /// A base image could not be had.
    #[error("find image {name}: {reason}")]
    Image {
        /// The name in the Dockerfile.
        name: String,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
        /// The line of the Dockerfile that names it, from 1, if one does.
        line: Option<usize>,
        /// What caused it.
        #[serde(with = "relayed::cause")]
        source: Option<Cause>,
    },
    /// An image could not be moved from or to its registry.
    #[error("{action} {name}: {reason}")]
    Transfer {
        /// `pull`, `push`, `load`, …
        action: Cow<'static, str>,
        /// The image.
        name: String,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
        /// What caused it.
        #[serde(with = "relayed::cause")]
        source: Option<Cause>,
    },
    /// What was built could not be handed out.
    #[error("export to {}", path.display())]
    Export {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: Box<StepError>,
    },
    /// A value of the build itself cannot be used.
    #[error("use {option}: {reason}")]
    Option {
        /// Which one, as its flag.
        option: String,
        /// Why.
        reason: String,
    },
    /// A command cannot run here.
    #[error("run commands on this machine: {reason}")]
    Sandbox {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The build was cancelled.
    #[error("finish the build: it was cancelled")]
    Cancelled,
    /// The build took too long.
    #[error("finish the build within {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The worker process could not be had, or ended before the build did.
    #[error("build in the worker process: {reason}")]
    Worker {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// What another process said that has no other form here.
    #[error(transparent)]
    Relayed(Relayed),
    /// The store cannot be used.
    #[error(transparent)]
    #[serde(skip)]
    Store(#[from] dfbuild_store::Error),
    /// A layer could not be read or written.
    #[error(transparent)]
    #[serde(skip)]
    Layer(#[from] dfbuild_layer::Error),
    /// The operating system refused something.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: Cow<'static, str>,
        /// The file or folder.
        path: PathBuf,
        /// What it answered.
        #[serde(with = "relayed::io_error")]
        source: io::Error,
    },
}

fn first(diagnostics: &[Diagnostic]) -> String {
    let error = diagnostics.iter().find(|diagnostic| diagnostic.is_error());
    error.map_or_else(|| "it has errors".to_owned(), Diagnostic::text)
}

/// What to do about files of a context that cannot be read, or that change all the time.
const LEAVE_OUT: &str = "a line in .dockerignore leaves out what the image does not need";

/// The line of an ignore file that leaves something out.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::{Error, StepError};
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("app.log"), "")?;
/// std::fs::write(folder.path().join(".dockerignore"), "*.log\n")?;
/// let build = Build::new(folder.path()).dockerfile_text("FROM scratch\nCOPY app.log /\n");
/// let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
/// let Error::Step { source, .. } = error else { panic!() };
/// let StepError::NotFound { ignored: Some(rule), .. } = *source else { panic!() };
/// assert_eq!((rule.line, rule.pattern.as_str()), (1, "*.log"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}:{line} leaves it out ({pattern})", file.display())]
pub struct IgnoreRule {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The pattern that stands there.
    pub pattern: String,
}

/// Why a step failed.
///
/// ```
/// use dfbuild::testing::FakeSandbox;
/// use dfbuild::{Build, BuildContext, Cancel, Engine, Error, Event, StepError};
///
/// # let store = tempfile::tempdir()?;
/// let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(|_| 3));
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
/// let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
/// let Error::Step { source, .. } = error else { panic!() };
/// match *source {
///     StepError::ExitCode { code, .. } => assert_eq!(code, 3),
///     error => panic!("{error}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StepError {
    /// The command ended with another exit code than 0.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    ExitCode {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// The secrets that it asks for, does not require, and was not given.
        missing_secrets: Vec<String>,
        /// What is wrong with the first line of a script that it was to execute, and what to do about it.
        script: Option<String>,
    },
    /// The command was killed.
    #[error("process {command:?} did not complete successfully: killed by signal {signal}")]
    Signal {
        /// The command.
        command: String,
        /// By which signal.
        signal: i32,
    },
    /// The command failed, and what it had changed could not be kept for whoever wants to look at it.
    #[error("{failed}; what it had changed could not be kept")]
    NotKept {
        /// How it failed.
        failed: Box<StepError>,
        /// Why that could not be kept: the disk may be full.
        source: Box<StepError>,
    },
    /// A source is not there.
    #[error(
        "{path:?}: not found{}{}{}",
        .within.as_ref().map(|it| format!(" in {it}")).unwrap_or_default(),
        .leads_to.as_ref().map(|it| format!(": a link leads to {it:?}")).unwrap_or_default(),
        .ignored.as_ref().map(|it| format!(": {it}")).unwrap_or_default()
    )]
    NotFound {
        /// The source, absolute in its tree.
        path: String,
        /// Where a link leads that is followed to it, absolute in its tree.
        leads_to: Option<String>,
        /// The rule that leaves it out, if one does.
        ignored: Option<IgnoreRule>,
        /// Where it was looked for, in words: `stage build`.
        within: Option<String>,
        /// Whether the Dockerfile names it with `..` above the top, which stays the top.
        above: bool,
        /// What is there under nearly that name, absolute in its tree.
        close: Option<String>,
    },
    /// A file or folder is in the way.
    #[error("{0}")]
    Clash(String),
    /// A user or group does not exist.
    #[error("{0}")]
    User(String),
    /// A path leads in circles.
    #[error("{path}: too many levels of symbolic links")]
    Loop {
        /// The path.
        path: String,
    },
    /// A secret that a step requires was not given.
    #[error("secret {id}: not found")]
    NoSecret {
        /// Its name.
        id: String,
    },
    /// An agent that a step requires was not given.
    #[error("no SSH key {id:?} forwarded from the client")]
    NoSshAgent {
        /// Its name.
        id: String,
    },
    /// A layer would hold secrets.
    #[error("{}", leaks.join(", "))]
    SecretLeak {
        /// Which secret is in which file, in words.
        leaks: Vec<String>,
    },
    /// Something that this version cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// What another process said that has no other form here.
    #[error(transparent)]
    Relayed(Relayed),
    /// The sandbox could not be set up.
    #[error(transparent)]
    #[serde(skip)]
    Sandbox(#[from] dfbuild_sandbox::Error),
    /// The build context could not be read.
    #[error(transparent)]
    #[serde(skip)]
    Context(#[from] dfbuild_context::Error),
    /// A layer could not be read or written.
    #[error(transparent)]
    #[serde(skip)]
    Layer(#[from] dfbuild_layer::Error),
    /// The store refused something.
    #[error(transparent)]
    #[serde(skip)]
    Store(#[from] dfbuild_store::Error),
    /// The operating system refused something.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: Cow<'static, str>,
        /// The file or folder.
        path: PathBuf,
        /// What it answered.
        #[serde(with = "relayed::io_error")]
        source: io::Error,
    },
    /// Something could not be had from the network.
    #[error(transparent)]
    #[serde(skip)]
    Remote(#[from] dfbuild_remote::Error),
    /// What came from the network is not what was expected.
    #[error("digest mismatch {found}: {expected}")]
    Checksum {
        /// The value of `--checksum`.
        expected: String,
        /// The digest of what came.
        found: Digest,
    },
    /// A file of the network is another one than a moment before.
    #[error("{url} changed while it was fetched; build again")]
    UrlChanged {
        /// Its address.
        url: String,
    },
    /// A git repository is at another commit than was expected.
    #[error("expected checksum to match {expected}, got {found}")]
    Commit {
        /// The value of `--checksum`: the commit, or the beginning of its name.
        expected: String,
        /// The commit.
        found: String,
    },
    /// The step is not in the cache, and nothing may run.
    #[error("it is not in the cache, and nothing may run")]
    NotCached {
        /// Why.
        reasons: Vec<Reason>,
    },
    /// The build was ended.
    #[error("the build was cancelled")]
    Cancelled,
    /// Files of the context changed between looking at them and having copied them.
    #[error("the build context changed while it was built: {}; build again", files.join(", "))]
    ContextChanged {
        /// The first of them, from the top of their context.
        files: Vec<String>,
    },
    /// Something in the store is not what its name promises, or not whole.
    #[error("{}", .0.problem())]
    #[serde(skip)]
    Damaged(Damaged),
    /// The command is one of another processor, and nothing here emulates that.
    #[error("cannot run a command for {platform} on this machine, which is {host}")]
    ForeignPlatform {
        /// What the stage is for.
        platform: Platform,
        /// What the machine is.
        host: Platform,
    },
    /// A pattern is none.
    #[error("{pattern:?}: syntax error in pattern")]
    BadPattern {
        /// The pattern.
        pattern: String,
    },
}

impl StepError {
    /// What to do about it, if something is known that helps whoever reads it. What only those can do
    /// who made the [`Build`](crate::Build), such as giving it a secret, they have to say themselves.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::Error;
    ///
    /// let folder = tempfile::tempdir()?;
    /// std::fs::write(folder.path().join("app.py"), "")?;
    /// let build = Build::new(folder.path()).dockerfile_text("FROM scratch\nCOPY ap.py /\n");
    /// let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
    /// let Error::Step { source, .. } = error else { panic!() };
    /// assert_eq!(source.hint().as_deref(), Some("did you mean /app.py?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hint(&self) -> Option<String> {
        if let Some((uid, gid)) = self.unmapped_owner() {
            return Some(format!(
                "an ordinary user has the ids that /etc/subuid and /etc/subgid give it, and {uid}:{gid} \
                 needs longer ranges there; root has all"
            ));
        }
        match self {
            Self::NotFound { close: Some(close), .. } => Some(format!("did you mean {close}?")),
            Self::NotFound { ignored: Some(_), path, .. } => Some(format!(
                "a line `!{}` below that one takes it back",
                path.trim_start_matches('/')
            )),
            Self::ExitCode { code, script, .. } => {
                script.clone().or_else(|| explain_exit_code(*code))
            }
            Self::Signal { signal, .. } => explain_signal(*signal),
            Self::ForeignPlatform { platform, .. } => Some(format!(
                "build on such a machine, or register an interpreter for {} that stays open \
                 (binfmt_misc with flag F, as qemu-user-static does); COPY and configuration need none",
                platform.architecture
            )),
            Self::Sandbox(error) => {
                let code = || error.exit_code().and_then(explain_exit_code);
                error.hint().map(ToString::to_string).or_else(code)
            }
            Self::Remote(error) => error.hint(),
            Self::Damaged(Damaged::Remote(_)) => Some(
                "it was left in the registry of its image: `dfbuild pull` fetches that".to_owned(),
            ),
            Self::Store(error) => store_owner::hint(error),
            Self::NotKept { failed, source } => failed.hint().or_else(|| source.hint()),
            Self::ContextChanged { .. } => Some(LEAVE_OUT.to_owned()),
            Self::Context(dfbuild_context::Error::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some(LEAVE_OUT.to_owned())
            }
            Self::Relayed(relayed) => relayed.hint().map(ToOwned::to_owned),
            _ => None,
        }
    }

    /// User and group, if it is that this process has no such ids to give.
    fn unmapped_owner(&self) -> Option<(u32, u32)> {
        match self {
            Self::Layer(dfbuild_layer::Error::Owner { uid, gid, .. }) => Some((*uid, *gid)),
            Self::Sandbox(dfbuild_sandbox::Error::User { uid, gid, source })
                if source.kind() == io::ErrorKind::InvalidInput =>
            {
                Some((*uid, *gid))
            }
            _ => None,
        }
    }

    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action: action.into(), path, source }
    }

    /// The same error in a form that can be written.
    fn relayed(self) -> Self {
        match self {
            Self::Sandbox(error) => {
                let hint = error.hint().map(ToString::to_string);
                Self::Relayed(Relayed::of(&error).with_hint(hint))
            }
            Self::Remote(error) => Self::Relayed(Relayed::of(&error).with_hint(error.hint())),
            Self::Context(_) | Self::Store(_) => {
                Self::Relayed(Relayed::of(&self).with_hint(self.hint()))
            }
            Self::Layer(error) => Self::Relayed(Relayed::of(&error)),
            Self::NotKept { failed, source } => Self::NotKept {
                failed: Box::new(failed.relayed()),
                source: Box::new(source.relayed()),
            },
            Self::Damaged(_) => Self::Relayed(Relayed::of(&self)),
            other => other,
        }
    }
}

impl Error {
    /// The error and what caused it in one line, to be read after "failed to".
    ///
    /// ```
    /// use dfbuild::{Build, Cancel, Engine, Event};
    ///
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(store.path().join("nothing")).dockerfile_text("FROM scratch\n");
    /// let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
    /// println!("failed to {}", error.chain());
    /// # assert!(error.chain().starts_with("use "), "{}", error.chain());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn chain(&self) -> String {
        with_causes(self)
    }

    /// What to do about it, if something is known that helps whoever reads it.
    ///
    /// ```
    /// use dfbuild::{Build, BuildContext, Cancel, Event};
    ///
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let text = "FROM scratch AS base\nCOPY --from=bsae / /\n";
    /// let build = Build::new(BuildContext::Empty).dockerfile_text(text);
    /// let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
    /// assert_eq!(error.hint().as_deref(), Some("did you mean the stage `base`?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Image { hint, .. }
            | Self::Transfer { hint, .. }
            | Self::Sandbox { hint, .. }
            | Self::Worker { hint, .. } => hint.clone(),
            Self::Relayed(relayed) => relayed.hint().map(ToOwned::to_owned),
            Self::Step { source, .. }
            | Self::LoadContext { source, .. }
            | Self::Export { source, .. } => source.hint(),
            Self::Store(error) => store_owner::hint(error),
            _ => None,
        }
    }

    /// The same error in a form that can be written with serde: what this crate has no words of its
    /// own for becomes [`Self::Relayed`].
    ///
    /// ```
    /// use dfbuild::Error;
    ///
    /// let text = serde_json::to_string(&Error::Cancelled.relayed())?;
    /// assert!(matches!(serde_json::from_str(&text)?, Error::Cancelled));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn relayed(self) -> Self {
        let inner = |error: Box<StepError>| Box::new(error.relayed());
        match self {
            Self::Step { step, source } => Self::Step { step, source: inner(source) },
            Self::LoadContext { name, source } => Self::LoadContext { name, source: inner(source) },
            Self::Export { path, source } => Self::Export { path, source: inner(source) },
            Self::Store(_) => Self::Relayed(Relayed::of(&self).with_hint(self.hint())),
            Self::Layer(error) => Self::Relayed(Relayed::of(&error)),
            Self::IgnoreFile { .. } => Self::Relayed(Relayed::of(&self)),
            other => other,
        }
    }

    /// For `map_err`: the image was not to be built, only to be moved.
    pub(crate) fn transfer(action: &'static str) -> impl FnOnce(Self) -> Self {
        move |error| match error {
            Self::Image { name, reason, hint, source, .. } => {
                Self::Transfer { action: action.into(), name, reason, hint, source }
            }
            other => other,
        }
    }

    /// An image that could not be had.
    pub(crate) fn image(name: impl Into<String>, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        Self::Image {
            name: name.into(),
            reason: cause.to_string(),
            hint: cause.downcast_ref::<StepError>().and_then(StepError::hint),
            line: None,
            source: Some(cause),
        }
    }

    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action: action.into(), path, source }
    }
}
