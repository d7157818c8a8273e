use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame;
use super::message::{Message, Request};
use crate::cancel::Cancel;
use crate::event::{Event, Observer};
use crate::run::Signaller;

/// A worker's end of the socket of a build or a command.
pub(super) struct Line {
    socket: UnixStream,
    /// Held while a message is written.
    writing: Mutex<()>,
    /// What came as answer to the one question that is open.
    answers: Mutex<Receiver<(Request, Vec<u8>)>>,
    /// The command, once it runs.
    command: Mutex<Option<Signaller>>,
}

impl Line {
    /// A line, and where its answers go.
    pub(super) fn new(socket: UnixStream) -> (Arc<Self>, Sender<(Request, Vec<u8>)>) {
        let (sender, answers) = channel();
        let (writing, answers) = (Mutex::default(), Mutex::new(answers));
        let line = Self { socket, writing, answers, command: Mutex::default() };
        (Arc::new(line), sender)
    }

    /// Says something. Nobody hears it if the embedder is gone; then the build is about to end.
    pub(super) fn tell(&self, message: &Message, bytes: &[u8]) {
        let _turn = hold(&self.writing);
        let _ = frame::write(&self.socket, message, bytes);
    }

    /// Asks something; `None` if nobody is there to answer.
    pub(super) fn ask(&self, question: &Message) -> Option<(Request, Vec<u8>)> {
        let answers = hold(&self.answers);
        self.tell(question, &[]);
        answers.recv().ok()
    }

    /// Takes what the embedder says until it is gone or [`Self::close`] is called. Its going away
    /// ends the build.
    pub(super) fn listen(&self, cancel: &Cancel, answers: &Sender<(Request, Vec<u8>)>) {
        while let Ok(Some((request, bytes))) = frame::read(&self.socket) {
            match request {
                Request::Cancel => cancel.cancel(),
                Request::Signal(signal) => self.signal(signal),
                answer => drop(answers.send((answer, bytes))),
            }
        }
        cancel.cancel();
        self.signal(None);
    }

    /// A command runs, and can be sent signals, unless the embedder is gone by now.
    pub(super) fn started(&self, command: Signaller, cancel: &Cancel) {
        *hold(&self.command) = Some(command);
        self.tell(&Message::Started, &[]);
        if cancel.is_cancelled() {
            self.signal(None);
        }
    }

    fn signal(&self, signal: Option<i32>) {
        match (&*hold(&self.command), signal) {
            (Some(command), Some(signal)) => command.signal(signal),
            (Some(command), None) => command.kill(),
            (None, _) => {}
        }
    }

    pub(super) fn close(&self) {
        // It may be closed already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Line {
    fn event(&self, event: &Event) {
        match event {
            Event::Output { step, stream, bytes } => {
                self.tell(&Message::Output { step: *step, stream: *stream }, bytes);
            }
            event => self.tell(&Message::Event(Box::new(event.clone())), &[]),
        }
    }
}

/// A context that the embedder streams.
pub(super) struct Streamed {
    line: Arc<Line>,
    bytes: io::Cursor<Vec<u8>>,
}

impl Streamed {
    pub(super) fn new(line: &Arc<Line>) -> Self {
        Self { line: Arc::clone(line), bytes: io::Cursor::default() }
    }
}

impl Read for Streamed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        match self.line.ask(&Message::Context) {
            Some((Request::Context(None), bytes)) => {
                self.bytes = io::Cursor::new(bytes);
                self.bytes.read(buffer)
            }
            Some((Request::Context(Some(error)), _)) => Err(io::Error::other(error)),
            _ => Err(io::Error::other("the process that streams the context is gone")),
        }
    }
}
