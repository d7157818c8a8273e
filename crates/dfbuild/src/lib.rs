//! A Dockerfile build engine: no daemon, no root, no container runtime.
//!
//! A [`Build`] says what to build; an [`Engine`] is where: a store, and what this process may do.
//! [`Build::run`] parses the Dockerfile, plans the stages that the target needs, takes each step
//! from the cache or runs it, and puts the image into the store and wherever else it should go.
//! Meanwhile an [`Observer`] hears of every step as an [`Event`], and a [`Cancel`] can end it from
//! any thread.
//!
//! The library reads no environment and no home folder, prints nothing, installs no signal handler
//! and has no global state: many builds may run in one process.
//!
//! [`guide`] has a page for each thing that people want. The features `registry` (HTTP, TLS, git) and
//! `sandbox` (running commands) are there by default; what needs one that is not is an error.
//! [`Sandbox`] and [`Registry`] can be your own, and [`testing`] has both in memory.
//!
//! *Limitations*: Linux only. An ordinary user has to enter a user namespace first, while the
//! process has one thread ([`rootless::enter`]), or have a process that does ([`worker`]).
//!
//! ```no_run
//! use dfbuild::{Build, Cancel, Engine};
//!
//! dfbuild::rootless::enter()?;
//! let engine = Engine::open("/var/tmp/dfbuild")?;
//! let built = Build::new(".").tag("app:latest").run(&engine, &|_: &dfbuild::Event| {}, &Cancel::new())?;
//! println!("{}", built.image_id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod build;
mod bust;
mod cancel;
mod causes;
mod contexts;
mod damage;
mod damaged;
pub mod doctor;
mod elsewhere;
mod ending;
mod engine;
mod error;
mod event;
mod exit_code;
mod explanation;
pub mod guide;
mod image_list;
mod images;
mod leaks;
mod logs;
pub mod memory;
mod network;
mod options;
mod redact;
mod registry;
mod relayed;
pub mod rootless;
mod run;
pub mod sandbox;
mod schedule;
mod secrets;
mod sharing;
mod snapshots;
mod steps;
mod store_owner;
mod teller;
pub mod testing;
mod turn;
pub mod upkeep;
mod verify;
pub mod worker;

pub use build::{Build, Built};
pub use bust::Bust;
pub use cancel::Cancel;
pub use causes::{Cause, with_causes};
pub use damaged::Damaged;
pub use dfbuild_cache::{Change, Declared, FileChange, FilesChange, Label as PartLabel, Reason};
/// The Dockerfile language: parser, expansion, lint.
pub use dfbuild_dockerfile as dockerfile;
pub use dfbuild_dockerfile::diagnostic::{DiagnosticKind, Fix, Label};
pub use dfbuild_dockerfile::{Diagnostic, LineIndex, Severity, Span};
pub use dfbuild_image::{
    ContainerConfig, Descriptor, Digest, History, ImageConfig, Platform, Reference, Timestamp,
};
/// The patterns of ignore files.
pub use dfbuild_pattern as pattern;
pub use dfbuild_remote as remote;
pub use dfbuild_remote::Registry;
pub use dfbuild_sandbox::Error as SandboxError;
pub use engine::Engine;
pub use error::{Error, IgnoreRule, StepError};
pub use event::{
    Base, CpuTime, Event, Observer, PackingState, StepId, StepInfo, StepResult, Stream,
    TransferState, Usage, Wait,
};
pub use exit_code::{explain_exit_code, explain_signal};
pub use explanation::{EarlyEnd, ExplainedStep, Explanation, Fate};
pub use image_list::ImageSummary;
pub use images::compare::{ConfigDiff, FileDiff, ImageDiff, TreeChange};
pub use images::copy_out::CopyFrom;
pub use images::details::{HistoryLine, ImageDetails, LayerDetails};
pub use images::layer_report::{LayerChange, LayerChangeKind, LayerReport};
pub use images::load::{LoadSource, LoadedImage};
pub use images::names::Untagged;
pub use logs::{BuildLog, LogEnd, StepLog};
pub use options::{
    Annotation, AnnotationTarget, BuildContext, Compression, ContextStream, Output, OutputKind,
    Secret, SecretLeak, SecretSource, SnapshotterChoice, SshAgent, StoreLimit, Ulimit,
};
pub use relayed::Relayed;
pub use run::{BuiltStage, FailedStep, Run, RunEnd, Signaller, Streams, Tmpfs, Volume};
pub use sandbox::Sandbox;
pub use schedule::loaded::Loaded;
pub use sharing::{CacheExport, CacheMode, CacheSource, CacheTarget};
pub use verify::{Difference, DifferentPart, FileDifference, Verification};
