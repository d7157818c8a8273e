//! Builds in a process of their own, for programs with threads.
//!
//! An ordinary user's process has to enter a user namespace to run commands and to give files to
//! other users than its own, and the kernel lets only a process with a single thread do that. A
//! server or a program with a runtime has many before it knows. So it has a [`Worker`]: the same
//! program once more, or the command `dfbuild`, whose `main` begins with [`serve_if_asked`].
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use dfbuild::worker::{self, Worker};
//! use dfbuild::{Build, Cancel, Engine, Event};
//!
//! fn main() -> ExitCode {
//!     if let Some(code) = worker::serve_if_asked(std::env::args_os()) {
//!         return code; // This process was the worker.
//!     }
//!     let engine = Engine::open("/var/tmp/dfbuild").expect("a store");
//!     let engine = engine.with_worker(Worker::this_program());
//!     // From any thread, as often as you like; events and cancellation work as without a worker.
//!     let built = Build::new(".").run(&engine, &|event: &Event| drop(event), &Cancel::new());
//!     ExitCode::from(u8::from(built.is_err()))
//! }
//! ```
//!
//! With `#[tokio::main]` there are threads before the first line of `main`: build the runtime by
//! hand after the call, as `examples/server.rs` does.
//!
//! *Limitations*: [`crate::Build::run`], [`crate::Loaded::run`], [`crate::Loaded::verify`] and
//! [`crate::Run::start`] go to the worker, the latter with the streams of the embedder. What needs no
//! commands works without one: pulls, pushes, tags, archives, `explain`. What looks at or removes
//! unpacked files ([`crate::Engine::prune`], [`crate::Engine::fsck`]) may meet owners that only the
//! worker has ids for, where there are subordinate ids: the limit of the store is kept by the worker
//! after each build, and `dfbuild prune` does the rest. A sandbox or registry of the embedder's cannot
//! go there ([`crate::Error::Worker`]). Paths have to be UTF-8.
//! [`crate::remote::ClientOptions::clock`] stays with the embedder.

mod build;
mod engine;
mod fds;
mod frame;
mod greeting;
mod line;
mod message;
mod network;
mod process;
mod request;
mod run;
mod secrets;
mod serve;

pub use process::Worker;
pub use serve::serve_if_asked;

/// The first argument of a process that is to be a worker.
const ARGUMENT: &str = "--dfbuild-worker";
