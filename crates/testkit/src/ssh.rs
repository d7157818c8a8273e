//! OpenSSH's server on this machine, for one key.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::{Skipped, program};

/// Where sshd puts itself in prison while it does not know who is there. Root's needs it.
const PRISON: &str = "/run/sshd";

/// Lets whoever has the key of [`SshServer::key`] in as the user that runs the tests. Each connection
/// is a process of its own, which the thread here waits for.
#[derive(Debug)]
pub struct SshServer {
    folder: TempDir,
    address: SocketAddr,
    user: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SshServer {
    /// A server on a port that the system chooses.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub fn start() -> Result<Self, Skipped> {
        let (sshd, _) = (program("sshd")?, program("ssh")?);
        if rustix::process::geteuid().is_root() && !Path::new(PRISON).is_dir() {
            return Err(Skipped(format!("sshd is not set up: there is no {PRISON}")));
        }
        let folder = TempDir::new().expect("there is a temporary folder");
        for name in ["host", "client"] {
            make_key(&folder.path().join(name))?;
        }
        fs::copy(folder.path().join("client.pub"), folder.path().join("authorized"))
            .expect("the folder is the test's own");
        let user = crate::peers::run("id", &["-un"])?.trim().to_owned();
        let config = folder.path().join("config");
        fs::write(&config, settings(folder.path())).expect("the folder is the test's own");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                serve(&sshd, &config, connection);
            }
        });
        Ok(Self { folder, address, user, stop, thread: Some(thread) })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom it lets in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The private key that it lets in.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    /// Its line for `known_hosts`.
    ///
    /// # Panics
    /// Never: it has a key.
    pub fn known_host(&self) -> String {
        let key = fs::read_to_string(self.folder.path().join("host.pub")).expect("it was made");
        format!("[{}]:{} {key}", self.address.ip(), self.address.port())
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn make_key(path: &Path) -> Result<(), Skipped> {
    let path = path.to_str().expect("a temporary folder has a plain name");
    crate::peers::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path])?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("the key is the test's own");
    Ok(())
}

fn settings(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\n\
         AuthenticationMethods publickey\nPermitRootLogin yes\nStrictModes no\nUsePAM no\n\
         PrintMotd no\nLogLevel ERROR\n"
    )
}

/// One connection, as inetd would hand it over.
fn serve(sshd: &Path, config: &Path, connection: TcpStream) {
    let input = connection.try_clone().map(OwnedFd::from).map(Stdio::from);
    let mut command = Command::new(sshd);
    command.arg("-i").arg("-f").arg(config).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(input.expect("a socket has copies")).stdout(OwnedFd::from(connection));
    let _ = command.stderr(Stdio::null()).status();
}
