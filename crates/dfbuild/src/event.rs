use std::time::{Duration, SystemTime};

use dfbuild_cache::Reason;
use dfbuild_dockerfile::Diagnostic;
use dfbuild_image::Digest;
pub use dfbuild_sandbox::CpuTime;
use serde::{Deserialize, Serialize};

use crate::explanation::Bust;

/// A step of a build: its place in [`Event::Planned`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub usize);

/// What is known of a step before it runs.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step went.
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
pub trait Observer: Sync {
    /// Takes one event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Sync> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}
