use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use dfbuild_remote::ClientOptions;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::engine::SentEngine;
use super::message::{Finished, Message, Request, Work};
use super::network::{SentNetwork, credential};
use super::request::BuildRequest;
use super::{Worker, fds, frame, run};
use crate::build::{Build, Built};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::options::ContextStream;
use crate::relayed::Relayed;
use crate::run::Signaller;
use crate::verify::Verification;

/// How late it may be noticed that a build was cancelled: that is only a flag.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// How much of a context is sent at once.
const CHUNK: usize = 256 << 10;

/// What the worker may ask of its embedder, and tells it.
pub(super) struct Asked<'a> {
    /// The context of a build.
    pub(super) stream: Option<ContextStream>,
    /// The streams of a command.
    pub(super) streams: Vec<OwnedFd>,
    pub(super) observer: &'a dyn Observer,
    /// Is asked often.
    pub(super) is_cancelled: &'a dyn Fn() -> bool,
    pub(super) started: &'a dyn Fn(Signaller),
}

impl Worker {
    /// Builds in the worker. `is_cancelled` is asked often.
    pub(crate) fn build(
        &self,
        build: &Build,
        engine: &Engine,
        observer: &dyn Observer,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Built, Error> {
        let (request, stream) = BuildRequest::new(build).map_err(failed)?;
        let asked = Asked::by_build(stream, observer, is_cancelled);
        match self.work(Work::Build(request), engine, asked)? {
            Finished::Built(image) => Ok(image),
            _ => Err(something_else()),
        }
    }

    /// Builds twice in the worker, and compares there.
    pub(crate) fn verify(
        &self,
        build: &Build,
        engine: &Engine,
        observer: &dyn Observer,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Verification, Error> {
        let (request, stream) = BuildRequest::new(build).map_err(failed)?;
        let asked = Asked::by_build(stream, observer, is_cancelled);
        match self.work(Work::Verify(request), engine, asked)? {
            Finished::Verified(verification) => Ok(verification),
            _ => Err(something_else()),
        }
    }

    pub(super) fn work(
        &self,
        work: Work,
        engine: &Engine,
        asked: Asked<'_>,
    ) -> Result<Finished, Error> {
        if engine.has_parts_of_its_own() {
            return Err(Error::Worker {
                reason: "a sandbox or registry of the embedder's cannot go there".to_owned(),
                hint: Some("use such an engine without a worker".to_owned()),
            });
        }
        let options = engine.network_options();
        let sent = SentEngine::of(engine).map_err(failed)?;
        let request = Request::Work(Box::new((work, sent, options.map(SentNetwork::of))));
        let socket = self.connect()?;
        let mut embedder = Embedder { socket, options, buffer: None, asked };
        let said = embedder.say(&request, &[]).and_then(|()| embedder.hand_over());
        match said.and_then(|()| embedder.talk()) {
            Ok(Some(done)) => done,
            Ok(None) => Err(self.loss()),
            Err(error) => Err(failed(error)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: io::Error) -> Error {
    Error::Worker { reason: error.to_string(), hint: None }
}

/// For what cannot be between two sides of the same version.
pub(super) fn something_else() -> Error {
    Error::Worker { reason: "it did something else".to_owned(), hint: None }
}

impl<'a> Asked<'a> {
    fn by_build(
        stream: Option<ContextStream>,
        observer: &'a dyn Observer,
        is_cancelled: &'a dyn Fn() -> bool,
    ) -> Self {
        Self { stream, streams: Vec::new(), observer, is_cancelled, started: &|_| {} }
    }
}

/// The embedder's end of the socket of a build or a command.
struct Embedder<'a> {
    socket: UnixStream,
    options: Option<&'a ClientOptions>,
    /// The context, once it is read.
    buffer: Option<Box<dyn Read + Send>>,
    asked: Asked<'a>,
}

impl Embedder<'_> {
    /// Hands the streams of a command over, which are the command's alone then.
    fn hand_over(&mut self) -> io::Result<()> {
        let streams = std::mem::take(&mut self.asked.streams);
        streams.iter().try_for_each(|stream| fds::send(&self.socket, stream.as_fd()))
    }

    /// Speaks with the worker until it is done; `None` if the worker is gone.
    fn talk(&mut self) -> io::Result<Option<Result<Finished, Error>>> {
        let mut told = false;
        loop {
            if !told && (self.asked.is_cancelled)() {
                told = true;
                self.say(&Request::Cancel, &[])?;
            }
            if !readable(&self.socket)? {
                continue;
            }
            let Some((message, bytes)) = frame::read(&self.socket)? else { return Ok(None) };
            match message {
                Message::Event(event) => self.asked.observer.event(&event),
                Message::Output { step, stream } => {
                    self.asked.observer.event(&Event::Output { step, stream, bytes });
                }
                Message::Retry { error, wait } => self.retry(error, wait),
                Message::Credential { registry } => {
                    let answer = Request::Credential(credential(self.options, &registry));
                    self.say(&answer, &[])?;
                }
                Message::Context => {
                    let (error, bytes) = match self.chunk() {
                        Ok(bytes) => (None, bytes),
                        Err(error) => (Some(Relayed::of(&error)), Vec::new()),
                    };
                    self.say(&Request::Context(error), &bytes)?;
                }
                Message::Started => {
                    (self.asked.started)(run::signaller(self.socket.try_clone()?));
                }
                Message::Done(done) => return Ok(Some(*done)),
            }
        }
    }

    /// Says something. A worker that has closed the socket may have said that the build is done, which
    /// is still to be read.
    fn say(&self, request: &Request, bytes: &[u8]) -> io::Result<()> {
        match frame::write(&self.socket, request, bytes) {
            Err(error) if frame::is_gone(&error) => Ok(()),
            said => said,
        }
    }

    fn retry(&self, message: String, wait: Duration) {
        if let Some(on_retry) = self.options.and_then(|options| options.on_retry.as_ref()) {
            on_retry(&dfbuild_remote::Error::Relayed { message }, wait);
        }
    }

    /// The next bytes of the context; none at its end.
    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        if let Some(stream) = self.asked.stream.take() {
            self.buffer = stream.take();
        }
        let Some(stream) = &mut self.buffer else {
            return Err(io::Error::other("the context was read by another build"));
        };
        let mut chunk = Vec::new();
        stream.take(CHUNK as u64).read_to_end(&mut chunk)?;
        Ok(chunk)
    }
}

/// Whether something came within a moment.
fn readable(socket: &UnixStream) -> io::Result<bool> {
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&LOOK_EVERY)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::{Arc, Mutex};
    use std::thread;

    use dfbuild_remote::{Credential, Credentials};

    use super::*;
    use crate::cancel::Cancel;
    use crate::worker::line::{Line, Streamed};

    struct Known;

    impl fmt::Debug for Known {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Known")
        }
    }

    impl Credentials for Known {
        fn get(&self, registry: &str) -> Result<Option<Credential>, dfbuild_remote::Error> {
            match registry {
                "known" => Ok(Some(Credential::Bearer("token".to_owned()))),
                "broken" => Err(dfbuild_remote::Error::Relayed { message: "no helper".to_owned() }),
                _ => Ok(None),
            }
        }
    }

    /// An embedder talks with a worker that does `work` instead of a build, and is then asked to
    /// cancel it.
    fn talk(options: &ClientOptions, work: impl FnOnce(&Arc<Line>, &Cancel) + Send) -> Vec<String> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (line, answers) = Line::new(theirs);
        let cancel = Cancel::new();
        let told = Mutex::new(Vec::new());
        let observer = |event: &Event| told.lock().unwrap().push(format!("{event:?}"));
        let stream = ContextStream::new(io::Cursor::new(vec![7; 300_000]));
        thread::scope(|scope| {
            let (line, cancel) = (&line, &cancel);
            scope.spawn(move || line.listen(cancel, &answers));
            scope.spawn(move || {
                work(line, cancel);
                line.tell(&Message::Done(Box::new(Err(Error::Cancelled))), &[]);
                line.close();
            });
            let stream = Some(stream);
            let options = Some(options);
            let is_cancelled = || !told.lock().unwrap().is_empty();
            let asked = Asked::by_build(stream, &observer, &is_cancelled);
            let mut embedder = Embedder { socket: ours, options, buffer: None, asked };
            let done = embedder.talk().unwrap();
            assert!(matches!(done, Some(Err(Error::Cancelled))));
        });
        told.into_inner().unwrap()
    }

    #[test]
    fn credentials_and_retries_are_the_embedders() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&heard);
        let options = ClientOptions {
            credentials: Arc::new(Known),
            on_retry: Some(Arc::new(move |error: &dfbuild_remote::Error, wait| {
                hear.lock().unwrap().push((error.to_string(), wait));
            })),
            ..ClientOptions::default()
        };
        let sent = SentNetwork::of(&options);
        talk(&options, |line, _| {
            let there = sent.options(line);
            let bearer = Credential::Bearer("token".to_owned());
            assert_eq!(there.credentials.get("known").unwrap(), Some(bearer));
            assert_eq!(there.credentials.get("other").unwrap(), None);
            let error = there.credentials.get("broken").unwrap_err().to_string();
            assert!(error.contains("no helper"), "{error}");
            let error = dfbuild_remote::Error::Relayed { message: "try again".to_owned() };
            there.on_retry.unwrap()(&error, Duration::from_secs(3));
        });
        let heard = heard.lock().unwrap();
        assert_eq!(*heard, [("try again".to_owned(), Duration::from_secs(3))]);
    }

    #[test]
    fn a_context_is_streamed_whole() {
        talk(&ClientOptions::default(), |line, _| {
            let mut bytes = Vec::new();
            Streamed::new(line).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, vec![7; 300_000]);
        });
    }

    #[test]
    fn an_event_is_heard_and_a_cancellation_comes_back() {
        let told = talk(&ClientOptions::default(), |line, cancel| {
            line.event(&Event::Notice { text: "begun".to_owned() });
            while !cancel.is_cancelled() {
                thread::yield_now();
            }
        });
        assert_eq!(told, ["Notice { text: \"begun\" }"]);
    }
}
