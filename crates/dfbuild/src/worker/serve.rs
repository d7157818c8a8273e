use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Weak};
use std::thread;

use super::fds::receive;
use super::frame;
use super::greeting::{Greeting, VERSION};
use super::line::{Line, Streamed};
use super::message::{Finished, Message, Request, Work};
use super::{ARGUMENT, build::something_else, engine::SentEngine, network::SentNetwork};
use crate::cancel::Cancel;
use crate::ending::Ending;
use crate::engine::Engine;
use crate::error::Error;
use crate::options::ContextStream;
use crate::rootless;
use crate::run::Streams;

/// Is the worker if this process was started as one, and returns what to exit with once the process
/// that started it needs it no more. Does nothing otherwise.
///
/// To be called first in `main`, before there are threads: an ordinary user's process cannot enter a
/// user namespace with more than one. `args` are those of the process, the library does not look at
/// them by itself.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(code) = dfbuild::worker::serve_if_asked(std::env::args_os()) {
///         return code;
///     }
///     // The program itself: threads, a runtime, …
///     ExitCode::SUCCESS
/// }
/// ```
pub fn serve_if_asked(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    if args.into_iter().nth(1)? != ARGUMENT {
        return None;
    }
    // Whoever started it is gone if it cannot be spoken with, and nobody else would listen.
    Some(if serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve() -> io::Result<()> {
    let control = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
    // Programs that are started from here must not read what is not for them.
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    let refused = rootless::enter().err().map(Arc::new);
    frame::write(&control, &Greeting { version: VERSION.to_owned() }, &[])?;
    let mut engines = HashMap::new();
    thread::scope(|scope| {
        while let Some(socket) = receive(&control)? {
            let socket = UnixStream::from(socket);
            // What cannot be read ends no other work; its socket is closed, which its other end notices.
            let Ok(Some((Request::Work(request), _))) = frame::read(&socket) else { continue };
            let engine = engine(&mut engines, &request.1.root, refused.as_ref());
            // Without a thread the socket is closed, which its other end notices.
            let work = move || drop(do_work(socket, *request, engine));
            let _ = thread::Builder::new().name("build".to_owned()).spawn_scoped(scope, work);
        }
        Ok(())
    })
}

/// Builds on one store at a time share an engine. It ends with the last of them, and the memory and
/// descriptors with it: the next one may be on a store that was made anew at the same place.
fn engine(
    engines: &mut HashMap<PathBuf, Weak<Engine>>,
    root: &Path,
    refused: Option<&Arc<dfbuild_sandbox::Error>>,
) -> Result<Arc<Engine>, Error> {
    if let Some(engine) = engines.get(root).and_then(Weak::upgrade) {
        return Ok(engine);
    }
    let mut engine = Engine::open(root)?;
    if let Some(reason) = refused {
        engine = engine.refusing(Arc::clone(reason));
    }
    let engine = Arc::new(engine);
    engines.retain(|_, engine| engine.strong_count() > 0);
    engines.insert(root.to_owned(), Arc::downgrade(&engine));
    Ok(engine)
}

fn do_work(
    socket: UnixStream,
    (work, sent, network): (Work, SentEngine, Option<SentNetwork>),
    engine: Result<Arc<Engine>, Error>,
) -> io::Result<()> {
    // Before anybody else reads from the socket.
    let streams = match &work {
        Work::Run(request) => Some(streams(&socket, request.controls_terminal)?),
        _ => None,
    };
    let (line, answers) = Line::new(socket);
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let (line, cancel) = (&line, &cancel);
        scope.spawn(move || line.listen(cancel, &answers));
        // The listener ends with the line, also when the build panics.
        let _closing = Closing(line);
        let done = engine.and_then(|engine| {
            let mut engine = sent.configure(engine.for_build(&Ending::default()));
            if let Some(network) = network {
                engine = engine.with_network(network.options(line));
            }
            let context = || ContextStream::new(Streamed::new(line));
            match (work, streams) {
                (Work::Run(request), Some(streams)) => {
                    let started = |command| line.started(command, cancel);
                    request.run().start(&engine, streams, &started).map(Finished::Ended)
                }
                (Work::Run(_), None) => Err(something_else()),
                (Work::Build(request), _) => {
                    let build = request.build(context);
                    build.run(&engine, &**line, cancel).map(Finished::Built)
                }
                (Work::Verify(request), _) => {
                    let loaded = request.build(context).load(&engine, &**line, cancel)?;
                    loaded.verify(&**line).map(Finished::Verified)
                }
            }
        });
        line.tell(&Message::Done(Box::new(done.map_err(Error::relayed))), &[]);
    });
    Ok(())
}

/// The streams of a command.
fn streams(socket: &UnixStream, controls_terminal: bool) -> io::Result<Streams> {
    let next = || receive(socket)?.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof));
    Ok(Streams { input: next()?, output: next()?, error: next()?, controls_terminal })
}

struct Closing<'a>(&'a Line);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
