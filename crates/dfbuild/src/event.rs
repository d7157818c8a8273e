use std::time::{Duration, SystemTime};

use dfbuild_cache::Reason;
use dfbuild_dockerfile::Diagnostic;
use dfbuild_image::{Digest, ImageConfig, Platform};
pub use dfbuild_sandbox::CpuTime;
use serde::{Deserialize, Serialize};

use crate::bust::Bust;

/// A step of a build: its place in [`Event::Planned`].
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let (sender, events) = std::sync::mpsc::channel();
/// # Build::new(BuildContext::Empty)
/// #     .dockerfile_text("FROM scratch\nRUN make\n")
/// #     .run(&engine, &move |event: &Event| sender.send(event.clone()).unwrap(), &Cancel::new())?;
/// use dfbuild::StepId;
///
/// let mut steps = Vec::new();
/// for event in events {
///     match event {
///         Event::Planned { steps: planned } => steps = planned,
///         Event::Started { step: StepId(place) } => assert_eq!(steps[place].text, "RUN make"),
///         _ => {}
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub usize);

/// An image that a build begins with or copies from.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let nobody = |_: &Event| {};
/// let text = "FROM scratch\nENV A=b\n";
/// Build::new(BuildContext::Empty).dockerfile_text(text).tag("base").run(&engine, &nobody, &Cancel::new())?;
/// let show = |event: &Event| {
///     if let Event::BasesFound { bases } = event {
///         assert_eq!(bases[0].name, "base");
///         assert!(bases[0].config.config.env.contains(&"A=b".to_owned()));
///     }
/// };
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM base\nRUN make\n")
///     .run(&engine, &show, &Cancel::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Base {
    /// Its name as the Dockerfile has it, expanded.
    pub name: String,
    /// The platform that was asked for.
    pub platform: Platform,
    /// Its configuration.
    pub config: ImageConfig,
}

/// What is known of a step before it runs.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let show = |event: &Event| {
///     if let Event::Planned { steps } = event {
///         let step = &steps[0];
///         let line = format!("[{} {}/{}] {}", step.stage, step.number, step.total, step.text);
///         assert_eq!(line, "[base 1/1] RUN make");
///     }
/// };
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch AS base\nRUN make\n")
///     .run(&engine, &show, &Cancel::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepInfo {
    /// How events name it.
    pub id: StepId,
    /// Its stage: the name, else `stage-N`.
    pub stage: String,
    /// What progress shows before its number, as BuildKit does: the platform if there are several,
    /// and the stage unless it is the only one. May be empty.
    pub prefix: String,
    /// Its number in the stage as BuildKit counts: the `FROM` of an image is 1.
    pub number: usize,
    /// How many the stage has.
    pub total: usize,
    /// The instruction on one line.
    pub text: String,
    /// The line of the Dockerfile where it begins, from 1.
    pub line: usize,
    /// The line where it ends, heredocs and continuations included.
    pub last_line: usize,
}

/// What a build tells while it runs.
///
/// ```
/// use dfbuild::{Build, BuildContext, Cancel, Event, StepId};
///
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let (sender, events) = std::sync::mpsc::channel();
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nRUN make\n")
///     .run(&engine, &move |event: &Event| sender.send(event.clone()).unwrap(), &Cancel::new())?;
/// let started = |event: Event| matches!(event, Event::Started { step: StepId(0) });
/// assert!(events.iter().any(started));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// The stages that the target needs are known.
    Planned {
        /// Their steps, stage by stage.
        steps: Vec<StepInfo>,
    },
    /// The images that the stages begin with or copy from are there, and nothing has run yet. Comes after
    /// [`Event::Planned`], if there are any.
    BasesFound {
        /// What is known of each, by name.
        bases: Vec<Base>,
    },
    /// Something in the Dockerfile is worth a look.
    Warning {
        /// What, and where.
        diagnostic: Diagnostic,
    },
    /// Something that is not about one place of the Dockerfile is worth knowing.
    Notice {
        /// One sentence.
        text: String,
    },
    /// A step that is not in the cache has to wait.
    Waiting {
        /// Which one.
        step: StepId,
        /// For what.
        wait: Wait,
    },
    /// It waits no more.
    Waited {
        /// Which one.
        step: StepId,
        /// For what it did.
        wait: Wait,
        /// How long.
        duration: Duration,
    },
    /// A step does not come from the cache.
    Missed {
        /// Which one.
        step: StepId,
        /// All reasons.
        reasons: Vec<Reason>,
    },
    /// All steps are done, and some were not cached.
    Busted {
        /// What that comes down to.
        busts: Vec<Bust>,
    },
    /// A step began: it was not in the cache.
    Started {
        /// Which one.
        step: StepId,
    },
    /// A command wrote something.
    Output {
        /// Which one.
        step: StepId,
        /// Where to.
        stream: Stream,
        /// What; not cut at line ends, and not always text.
        bytes: Vec<u8>,
    },
    /// A step is done.
    Finished {
        /// Which one.
        step: StepId,
        /// How it went.
        result: StepResult,
    },
    /// A layer got further on its way into a blob, for an image: compressed, mostly while other steps run.
    Packing {
        /// The step that made it; `None` for a layer of a base image or the like. One layer of a step is
        /// packed at a time, and so are those of no step.
        step: Option<StepId>,
        /// The length of its archive in bytes, or nearly so: what long names take is not in it.
        size: u64,
        /// How far it is.
        state: PackingState,
    },
    /// Something beside the steps began: a pull, an export.
    TaskStarted {
        /// What, in a few words: `exporting oci archive out.tar`.
        what: String,
    },
    /// It got further, told about each mebibyte. Only of exports to files, whose length is known.
    TaskProgress {
        /// The same words.
        what: String,
        /// How many bytes are done.
        done: u64,
        /// How many there will be, or nearly so.
        size: u64,
    },
    /// A blob of a pull or a push got further.
    Transfer {
        /// The words of its task.
        what: String,
        /// Which blob.
        blob: Digest,
        /// Its length in bytes.
        size: u64,
        /// How far it is.
        state: TransferState,
    },
    /// It is done.
    TaskFinished {
        /// The same words.
        what: String,
        /// How long it took.
        duration: Duration,
    },
}

/// What a step waits for.
///
/// ```
/// use dfbuild::{Event, Wait};
///
/// let show = |event: &Event| {
///     if let Event::Waiting { wait, .. } = event {
///         match wait {
///             Wait::Build { pid, .. } => println!("process {pid} runs the same step"),
///             Wait::CacheMount { target } => println!("another command uses {target}"),
///             _ => {} // Others of this build run.
///         }
///     }
/// };
/// # show(&Event::Notice { text: String::new() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Wait {
    /// Another build, of this process or another, that runs the same step.
    Build {
        /// The process of the other build.
        pid: u32,
        /// When that began.
        since: SystemTime,
    },
    /// That fewer steps run at the same time.
    Slot,
    /// A command that uses the same cache mount alone. The wait is a part of the step's own time.
    CacheMount {
        /// Where the step mounts it.
        target: String,
    },
}

/// How far a layer is that is packed.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::{Output, OutputKind, PackingState};
///
/// let show = |event: &Event| {
///     if let Event::Packing { size, state: PackingState::Packed { blob_size, .. }, .. } = event {
///         println!("{size} bytes became {blob_size}");
///         # assert!(*blob_size > 0);
///     }
/// };
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
///     .output(Output::new(OutputKind::OciArchive(store.path().join("app.tar"))))
///     .run(&engine, &show, &Cancel::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PackingState {
    /// Some of it is done: none at the beginning, then told about each mebibyte.
    Moving {
        /// How many bytes of its archive.
        done: u64,
    },
    /// All of it is.
    Packed {
        /// The blob.
        blob: Digest,
        /// Its length in bytes.
        blob_size: u64,
        /// How long that took.
        duration: Duration,
        /// The processor time of all threads that did it; `None` if it cannot be told, as with zstd.
        cpu: Option<Duration>,
    },
}

/// How far a blob is that is pulled or pushed.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use dfbuild::TransferState;
///
/// let sent = AtomicU64::new(0);
/// let count = |event: &Event| {
///     if let Event::Transfer { size, state: TransferState::Moved, .. } = event {
///         sent.fetch_add(*size, Ordering::Relaxed);
///     }
/// };
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
///     .tag("registry.example/app")
///     .push(true)
///     .run(&engine, &count, &Cancel::new())?;
/// assert!(sent.into_inner() > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TransferState {
    /// Some of its bytes were moved. Told about each mebibyte.
    Moving {
        /// How many. Fewer than before if it had to begin again.
        done: u64,
    },
    /// All of it was moved.
    Moved,
    /// It was there before.
    Existed,
    /// The registry took it from another of its repositories: nothing was sent.
    Mounted,
    /// Another build fetches it; this one waits for that.
    Waiting {
        /// The process of the other build.
        pid: u32,
    },
}

/// Where a command writes.
///
/// ```
/// use std::sync::Mutex;
///
/// use dfbuild::testing::FakeSandbox;
/// use dfbuild::{Build, BuildContext, Cancel, Engine, Event, Stream};
///
/// # let store = tempfile::tempdir()?;
/// # let sandbox = FakeSandbox::new(|command| {
/// #     command.print("made\n");
/// #     command.print_error("a warning\n");
/// #     0
/// # });
/// # let engine = Engine::open(store.path())?.with_sandbox(sandbox);
/// let errors: Mutex<Vec<u8>> = Mutex::default();
/// let keep_errors = |event: &Event| {
///     if let Event::Output { stream: Stream::Stderr, bytes, .. } = event {
///         errors.lock().unwrap().extend(bytes);
///     }
/// };
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nRUN make\n")
///     .run(&engine, &keep_errors, &Cancel::new())?;
/// assert_eq!(errors.into_inner()?, b"a warning\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step went.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::StepResult;
///
/// let show = |event: &Event| {
///     if let Event::Finished { result, .. } = event {
///         match result {
///             StepResult::Cached { created } => println!("cached since {created:?}"),
///             StepResult::Ran { duration, diff_id, .. } => println!("{diff_id} in {duration:?}"),
///             _ => println!("failed"),
///         }
///     }
/// };
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
/// assert_eq!(build.run(&engine, &show, &Cancel::new())?.ran, 1);
/// assert_eq!(build.run(&engine, &show, &Cancel::new())?.cached, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StepResult {
    /// Its result was in the cache.
    Cached {
        /// When it was made.
        created: SystemTime,
    },
    /// It ran.
    Ran {
        /// How long.
        duration: Duration,
        /// The digest of the layer it made, uncompressed.
        diff_id: Digest,
        /// What it took.
        usage: Usage,
    },
    /// It failed or was ended.
    Failed {
        /// How long it ran.
        duration: Duration,
        /// What it took until then.
        usage: Usage,
    },
}

/// What a step took. `None` is what does not apply or cannot be told.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::StepResult;
///
/// let show = |event: &Event| {
///     if let Event::Finished { result: StepResult::Ran { usage, .. }, .. } = event {
///         assert_eq!(usage.copied, Some(6));
///         assert!(usage.command.is_none()); // A COPY runs none.
///     }
/// };
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
///     .run(&engine, &show, &Cancel::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Processor time of its command, if it has one, and of the processes that this waited for.
    pub command: Option<CpuTime>,
    /// Processor time of this process: digesting and placing files, and compressing them if the step
    /// does that itself. Without what is done before it begins, such as digesting the context.
    pub own: Option<Duration>,
    /// The length of the files that a `COPY` or `ADD` took from its sources into its layer.
    pub copied: Option<u64>,
    /// The length of the archive of its layer, uncompressed.
    pub layer: Option<u64>,
}

/// Hears what a build tells. Called from several threads, one call at a time; whoever is slow here
/// slows the build down.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use dfbuild::Observer;
///
/// /// Counts the steps that run. A closure would do too.
/// #[derive(Default)]
/// struct Steps(AtomicUsize);
///
/// impl Observer for Steps {
///     fn event(&self, event: &Event) {
///         if let Event::Started { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let steps = Steps::default();
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
/// build.run(&engine, &steps, &Cancel::new())?;
/// assert_eq!(steps.0.into_inner(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Observer: Sync {
    /// Takes one event.
    ///
    /// ```
    /// use dfbuild::{Event, Observer};
    ///
    /// /// Passes on what is no output.
    /// struct Terse<'a>(&'a dyn Observer);
    ///
    /// impl Observer for Terse<'_> {
    ///     fn event(&self, event: &Event) {
    ///         if !matches!(event, Event::Output { .. }) {
    ///             self.0.event(event);
    ///         }
    ///     }
    /// }
    /// # let passed = std::sync::Mutex::new(0);
    /// # let show = |_: &Event| *passed.lock().unwrap() += 1;
    /// Terse(&show).event(&Event::Notice { text: "hello".into() });
    /// # assert_eq!(passed.into_inner().unwrap(), 1);
    /// ```
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Sync> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}
