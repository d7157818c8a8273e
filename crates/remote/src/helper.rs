use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::{Credential, Error};

/// Where the programs `docker-credential-NAME` are, and how they are run
/// (docker-credential-helpers).
#[derive(Clone)]
pub struct Helpers {
    /// The folders that are searched, in this order: what `PATH` has.
    pub directories: Vec<PathBuf>,
    /// The whole environment of the programs.
    pub environment: Vec<(OsString, OsString)>,
    /// A program that takes longer is ended, and is an error.
    pub deadline: Duration,
}

impl Default for Helpers {
    fn default() -> Self {
        Self { directories: Vec::new(), environment: Vec::new(), deadline: Duration::from_secs(30) }
    }
}

impl std::fmt::Debug for Helpers {
    /// Shows no environment, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Helpers")
            .field("directories", &self.directories)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What a helper says for a server that it knows nothing of.
const NOT_FOUND: &str = "credentials not found";
/// The user that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
const LONGEST_ANSWER: u64 = 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Helpers {
    /// What the helper `name` knows of `server`.
    pub(crate) fn get(&self, name: &str, server: &str) -> Result<Option<Credential>, Error> {
        let error = |reason: String| Error::Credentials { registry: server.to_owned(), reason };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(error(format!("malformed name of a helper: `{name}`")));
        }
        let program = format!("docker-credential-{name}");
        let found = self.directories.iter().map(|folder| folder.join(&program));
        let Some(path) = found.into_iter().find(|path| path.is_file()) else {
            return Err(error(format!("there is no program `{program}`")));
        };
        let child = Command::new(&path)
            .arg("get")
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let child = child.map_err(|e| error(format!("run {}: {e}", path.display())))?;
        let (success, output) = self.converse(child, server).ok_or_else(|| {
            error(format!("`{program}` did not answer within {} s", self.deadline.as_secs()))
        })?;
        if !success {
            let text = crate::error::printable(&String::from_utf8_lossy(&output));
            if text.contains(NOT_FOUND) {
                return Ok(None);
            }
            return Err(error(format!("`{program}` failed: {text}")));
        }
        let answer: Answer = serde_json::from_slice(&output)
            .map_err(|e| error(format!("malformed answer of `{program}`: {e}")))?;
        if answer.secret.is_empty() && answer.username.is_empty() {
            return Ok(None);
        }
        Ok(Some(match answer.username.as_str() {
            TOKEN_USER => Credential::Identity(answer.secret),
            _ => Credential::Basic { user: answer.username, password: answer.secret },
        }))
    }

    /// Whether the program succeeded, and what it wrote; `None` if it took too long.
    fn converse(&self, mut child: Child, server: &str) -> Option<(bool, Vec<u8>)> {
        let end = Instant::now() + self.deadline;
        if let Some(mut input) = child.stdin.take() {
            // A helper that does not want to know says what is wrong on its own.
            let _ = input.write_all(server.as_bytes());
        }
        // Reading may take for ever, even after the program's end, if it left somebody behind.
        let output = read_aside(child.stdout.take());
        let bytes = match output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(bytes) => bytes,
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some((status.success(), bytes)),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return None;
                }
            }
        }
    }
}

pub(crate) fn read_aside(output: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            let _ = output.take(LONGEST_ANSWER).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}
