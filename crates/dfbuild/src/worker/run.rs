use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::build::{Asked, failed, something_else};
use super::message::{Finished, Request, Work};
use super::secrets::SentSecrets;
use super::{Worker, frame};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Event;
use crate::run::{Run, RunEnd, Signaller, Streams};

/// A command apart from a build. Its streams follow as descriptors: input, output, error.
#[derive(Serialize, Deserialize)]
pub(super) struct RunRequest {
    run: Run,
    secrets: SentSecrets,
    pub(super) controls_terminal: bool,
}

impl RunRequest {
    pub(super) fn run(self) -> Run {
        let mut run = self.run;
        run.secrets = self.secrets.received();
        run
    }
}

impl Worker {
    /// Runs a command in the worker, with streams of this process.
    pub(crate) fn run(
        &self,
        run: &Run,
        engine: &Engine,
        streams: Streams,
        started: &dyn Fn(Signaller),
    ) -> Result<RunEnd, Error> {
        let mut run = run.clone();
        let secrets = SentSecrets::of(std::mem::take(&mut run.secrets)).map_err(failed)?;
        let Streams { input, output, error, controls_terminal } = streams;
        let request = RunRequest { run, secrets, controls_terminal };
        let asked = Asked {
            stream: None,
            streams: vec![input, output, error],
            observer: &|_: &Event| {},
            is_cancelled: &|| false,
            started,
        };
        match self.work(Work::Run(request), engine, asked)? {
            Finished::Ended(end) => Ok(end),
            _ => Err(something_else()),
        }
    }
}

/// Signals for a command in a worker. Nobody else speaks on its socket once it runs.
pub(super) fn signaller(socket: UnixStream) -> Signaller {
    let socket = Arc::new(Mutex::new(socket));
    Signaller::elsewhere(move |signal| {
        let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
        // It has ended if this fails.
        let _ = frame::write(&socket, &Request::Signal(signal), &[]);
    })
}
