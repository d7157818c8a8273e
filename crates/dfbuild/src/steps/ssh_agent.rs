use std::fs::{self, File};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::StepError;

/// A socket for one command, behind which the agent of the caller is.
///
/// The agent's own socket would not do: it belongs to the caller, and an agent speaks only with its
/// user and with root. Here the mount says whose it is, and it is this process that speaks with
/// the agent. Ends with the value.
pub(crate) struct ForwardedAgent {
    socket: PathBuf,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    ended: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

/// A connection under way: both ends, to be closed at the end, and who passes on.
struct Connection {
    streams: [UnixStream; 2],
    threads: [JoinHandle<()>; 2],
}

/// The name of the socket; names of mounts never become names of files.
const NAME: &str = "agent.sock";

impl ForwardedAgent {
    /// Makes the socket in `folder`.
    pub(crate) fn start(
        agent: &Path,
        folder: &Path,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, StepError> {
        let failed = |action| StepError::io(action, agent);
        // Said now and not to a command that cannot know why its agent does not answer.
        connect(agent).map_err(failed("connect to the ssh agent"))?;
        let socket = folder.join(NAME);
        let failed = |action| StepError::io(action, &socket);
        let listener = bind(folder).map_err(failed("listen at"))?;
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&socket, permissions).map_err(failed("change the mode of"))?;
        if let Some((uid, gid)) = owner {
            chown(&socket, Some(uid), Some(gid)).map_err(failed("change the owner of"))?;
        }
        let state = Arc::new(State::default());
        let (shared, agent) = (Arc::clone(&state), agent.to_owned());
        let accept = move || accept(&listener, &agent, &shared);
        let acceptor = thread::Builder::new().name("ssh agent".to_owned()).spawn(accept);
        let acceptor = Some(acceptor.map_err(failed("listen at"))?);
        Ok(Self { socket, state, acceptor })
    }

    /// Where the socket is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for ForwardedAgent {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // It has to be woken up to see that. A socket that cannot be reached any more leaves a
        // thread that waits and does no harm.
        let woken = connect(&self.socket).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
        let connections = std::mem::take(&mut *self.state.connections());
        for Connection { streams, threads } in connections {
            for stream in streams {
                let _ = stream.shutdown(Shutdown::Both);
            }
            for thread in threads {
                let _ = thread.join();
            }
        }
    }
}

/// The name of a socket has at most 107 bytes; that of a store may have more, so its folder is
/// named by a descriptor.
fn in_folder<T>(path: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (folder, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name());
    let folder = File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    work(&short.join(name.unwrap_or_default()))
}

fn bind(folder: &Path) -> io::Result<UnixListener> {
    in_folder(&folder.join(NAME), |path| UnixListener::bind(path))
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    in_folder(path, |path| UnixStream::connect(path))
}

fn accept(listener: &UnixListener, agent: &Path, state: &State) {
    for client in listener.incoming() {
        if state.ended.load(Ordering::SeqCst) {
            return;
        }
        // Who cannot be served is hung up on.
        let Ok(client) = client else { continue };
        let Ok(connection) = connect(agent).and_then(|agent| join(client, agent)) else { continue };
        let mut connections = state.connections();
        connections.retain(|known| known.threads.iter().any(|thread| !thread.is_finished()));
        connections.push(connection);
    }
}

/// Passes on what either says to the other.
fn join(client: UnixStream, agent: UnixStream) -> io::Result<Connection> {
    let forward = |from: &UnixStream, to: &UnixStream| -> io::Result<JoinHandle<()>> {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::Builder::new().name("ssh agent".to_owned()).spawn(move || {
            // However it ends, the other side learns that nothing more comes.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })
    };
    let threads = [forward(&client, &agent)?, forward(&agent, &client)?];
    Ok(Connection { streams: [client, agent], threads })
}

impl State {
    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn both_sides_hear_each_other_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        let listener = UnixListener::bind(&real).unwrap();
        let agent = thread::spawn(move || {
            // The first connection only tries whether it is there.
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let mut question = [0; 4];
                if stream.read_exact(&mut question).is_ok() {
                    stream.write_all(&question).unwrap();
                }
            }
        });
        let long = folder.path().join("x".repeat(200));
        fs::create_dir(&long).unwrap();
        let forwarded = ForwardedAgent::start(&real, &long, 0o640, None).unwrap();
        let mode = fs::metadata(forwarded.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let mut client = connect(forwarded.socket()).unwrap();
        client.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");
        // A connection that is still open does not keep it from ending.
        let _idle = connect(forwarded.socket()).unwrap();
        drop(forwarded);
        assert_eq!(client.read(&mut answer).unwrap(), 0);
        agent.join().unwrap();
    }

    #[test]
    fn an_agent_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let error = ForwardedAgent::start(&folder.path().join("none"), folder.path(), 0o600, None);
        assert!(matches!(error, Err(StepError::Io { .. })));
    }
}
