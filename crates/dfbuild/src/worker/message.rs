//! What an embedder and its worker say to each other. Both are of the same version, which they
//! check first; so the form may change with each version.
//!
//! There is a control socket, and a socket for each build or command:
//!
//! ```text
//! worker   → embedder  Greeting                     on the control socket
//! embedder → worker    a byte with a socket         for each of them
//!   embedder → worker    Request::Work              on that socket
//!   embedder → worker    three bytes with the streams of a command, for Work::Run
//!   worker   → embedder  Message::Event …, of which Credential and Context want a Request as answer
//!   embedder → worker    Request::Cancel            at any time
//!   worker   → embedder  Message::Started           when a command runs
//!   embedder → worker    Request::Signal            from then on
//!   worker   → embedder  Message::Done              last
//! ```
//!
//! A socket that ends is as good as a `Cancel` for a worker, and the death of the worker for an
//! embedder.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::SentEngine;
use super::network::{SentCredential, SentNetwork};
use super::request::BuildRequest;
use super::run::RunRequest;
use crate::build::Built;
use crate::error::Error;
use crate::event::{Event, StepId, Stream};
use crate::relayed::Relayed;
use crate::run::RunEnd;
use crate::verify::Verification;

/// From an embedder.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    Work(Box<(Work, SentEngine, Option<SentNetwork>)>),
    Cancel,
    /// A signal for the command; none kills it.
    Signal(Option<i32>),
    /// The answer to [`Message::Credential`].
    Credential(Result<Option<SentCredential>, String>),
    /// The answer to [`Message::Context`]: its bytes are the next ones; none are the end.
    Context(Option<Relayed>),
}

/// What a worker is to do.
#[derive(Serialize, Deserialize)]
pub(super) enum Work {
    Build(BuildRequest),
    /// Build twice and compare.
    Verify(BuildRequest),
    Run(RunRequest),
}

/// What came out of it.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is only sent")]
#[derive(Serialize, Deserialize)]
pub(super) enum Finished {
    Built(Built),
    Verified(Verification),
    Ended(RunEnd),
}

/// From a worker.
#[derive(Serialize, Deserialize)]
pub(super) enum Message {
    Event(Box<Event>),
    /// [`Event::Output`], whose bytes need no encoding here.
    Output {
        step: StepId,
        stream: Stream,
    },
    /// Something will be tried again after a wait.
    Retry {
        error: String,
        wait: Duration,
    },
    /// A credential for this registry is needed.
    Credential {
        registry: String,
    },
    /// More bytes of the context are needed.
    Context,
    /// The command runs.
    Started,
    Done(Box<Result<Finished, Error>>),
}
