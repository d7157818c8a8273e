//! A git repository on a web server of this machine.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use crate::{HttpServer, Reply, Request, Skipped, program};

/// When each commit was made.
const COMMIT_TIME: &str = "1234567890 +0000";

/// A repository, and a server that gives it to `git clone` at [`GitServer::url`].
#[derive(Debug)]
pub struct GitServer {
    folder: TempDir,
    git: PathBuf,
    server: HttpServer,
    authorization: Arc<Mutex<Option<String>>>,
}

impl GitServer {
    /// An empty repository with the branch `main`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn start() -> Result<Self, Skipped> {
        let git = program("git")?;
        let folder = TempDir::new().expect("there is a temporary folder");
        let authorization: Arc<Mutex<Option<String>>> = Arc::default();
        let wanted = Arc::clone(&authorization);
        let (root, program) = (folder.path().to_owned(), git.clone());
        let server = HttpServer::start(move |request, _| {
            let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match wanted {
                Some(wanted) if request.header("authorization") != wanted => Reply::new(401),
                _ => answer(&program, &root, request),
            }
        });
        let made = Self { folder, git, server, authorization };
        fs::create_dir(made.tree()).expect("the folder is new");
        made.git(&["init", "--quiet", "--initial-branch=main"]);
        Ok(made)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/app.git", self.server.address())
    }

    /// The bare repository that the server gives.
    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("app.git")
    }

    /// Where the server is.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The server, for what it was asked.
    pub fn server(&self) -> &HttpServer {
        &self.server
    }

    /// Lets only those in that send this `Authorization`.
    pub fn require(&self, authorization: &str) {
        let mut wanted = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = Some(authorization.to_owned());
    }

    /// The folder with the files of the last commit. A link in it can only be made by hand.
    pub fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Writes files and commits them with everything else that is new; the name of the commit.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            let path = self.tree().join(name);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a new folder");
            fs::write(path, content).expect("the folder is the test's own");
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=x"]);
        self.publish();
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the folder; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn git(&self, args: &[&str]) -> String {
        let people =
            ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
        let mut command = Command::new(&self.git);
        command.args(args).current_dir(self.tree()).env_clear();
        command.envs(environment()).envs(people.map(|name| (name, "x")));
        command.env("GIT_COMMITTER_DATE", COMMIT_TIME).env("GIT_AUTHOR_DATE", COMMIT_TIME);
        let output = command.output().expect("git can be started");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes branches and tags known to the server.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn publish(&self) {
        let bare = self.repository();
        let bare = bare.to_str().expect("a temporary folder has a plain name");
        if !Path::new(bare).exists() {
            self.git(&["init", "--quiet", "--bare", "--initial-branch=main", bare]);
        }
        self.git(&["push", "--quiet", "--force", "--all", bare]);
        self.git(&["push", "--quiet", "--force", "--tags", bare]);
    }
}

fn environment() -> [(&'static str, &'static str); 3] {
    [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ]
}

/// What git's own program for web servers (CGI, RFC 3875) answers.
fn answer(git: &Path, root: &Path, request: &Request) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut command = Command::new(git);
    command.arg("http-backend").env_clear().envs(environment());
    command.env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    for (name, value) in [
        ("REQUEST_METHOD", request.method.as_str()),
        ("PATH_INFO", path),
        ("QUERY_STRING", query),
        ("CONTENT_TYPE", request.header("content-type")),
        ("CONTENT_LENGTH", &request.body.len().to_string()),
        ("HTTP_CONTENT_ENCODING", request.header("content-encoding")),
        ("GIT_PROTOCOL", request.header("git-protocol")),
        ("REMOTE_ADDR", "127.0.0.1"),
    ] {
        command.env(name, value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("git can be started");
    let mut input = child.stdin.take().expect("it is a pipe");
    let body = request.body.clone();
    let writer = std::thread::spawn(move || {
        // It need not want all of it.
        let _ = input.write_all(&body);
    });
    let output = child.wait_with_output().expect("git ends");
    let _ = writer.join();
    let end = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(end) = end else { return Reply::new(500) };
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let mut reply = Reply::new(200).body(&output.stdout[end + 4..]);
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name == "Status" {
            reply.status = value.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(500);
        } else {
            reply = reply.with(name, value);
        }
    }
    reply
}
