//! A registry in this process that can be told to misbehave.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "this is only part of tests")]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::{Descriptor, Digest, Manifest, MediaType, Reference, descriptor};
use dfbuild_remote::{Client, ClientOptions, Clock, Timeouts};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection ends after that many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// After what is sent, nothing happens any more.
    pub(crate) stall: bool,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        Self::new(status).with("content-type", "application/json").body(body)
    }
}

/// Changes an answer, or answers in the registry's place: gets the request, how many like it
/// (method and path without the query) came before, and the answer that would be given.
pub(crate) type Fault = dyn Fn(&Request, usize, Reply) -> Reply + Send + Sync;

/// A registry on a free port of this machine.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    content: Mutex<Content>,
    log: Mutex<Vec<Request>>,
    fault: Mutex<Option<Arc<Fault>>>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Content {
    /// By repository and digest.
    blobs: HashMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest: media type and bytes.
    manifests: HashMap<(String, String), (String, Vec<u8>)>,
    uploads: HashMap<String, Vec<u8>>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = serve(&shared, stream.unwrap());
                });
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    /// Misbehaves from now on.
    pub(crate) fn fault(
        &self,
        fault: impl Fn(&Request, usize, Reply) -> Reply + Send + Sync + 'static,
    ) {
        *self.state.fault.lock().unwrap() = Some(Arc::new(fault));
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.address).parse().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> Descriptor {
        let digest = Digest::of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.state.content.lock().unwrap().blobs.insert(key, bytes.to_vec());
        descriptor(MediaType::ImageLayerGzip, digest, bytes.len() as u64)
    }

    pub(crate) fn blob(&self, repository: &str, digest: Digest) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), digest.to_string());
        self.state.content.lock().unwrap().blobs.get(&key).cloned()
    }

    pub(crate) fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        let mut content = self.state.content.lock().unwrap();
        for name in [tag.to_owned(), Digest::of(bytes).to_string()] {
            let value = (media_type.to_owned(), bytes.to_vec());
            content.manifests.insert((repository.to_owned(), name), value);
        }
    }

    /// The requests so far, but for the question how to speak with the registry.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let log = self.state.log.lock().unwrap();
        log.iter().filter(|request| request.path != "/v2/").cloned().collect()
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.requests().iter().filter(|request| request.is(method, part)).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(state: &State, stream: TcpStream) -> io::Result<()> {
    // Whatever a test does, no thread outlives this.
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader)? {
        let route = request.path.split('?').next().unwrap_or_default().to_owned();
        let before = {
            let mut log = state.log.lock().unwrap();
            let same = |r: &&Request| {
                r.method == request.method && r.path.split('?').next() == Some(&route)
            };
            let before = log.iter().filter(same).count();
            log.push(request.clone());
            before
        };
        let fault = state.fault.lock().unwrap().clone();
        let mut reply = respond(&mut state.content.lock().unwrap(), &request, &route);
        // How to speak with it is always answered.
        if let Some(fault) = fault.filter(|_| request.path != "/v2/") {
            reply = fault(&request, before, reply);
        }
        let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
        }
        head.push_str("\r\n");
        let sent = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
        let body: &[u8] = if request.method == "HEAD" { &[] } else { &reply.body[..sent] };
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        if reply.stall {
            // Until the client loses patience and hangs up.
            let _ = reader.read_to_end(&mut Vec::new());
            return Ok(());
        }
        if reply.cut.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: u64 = request.header("content-length").parse().unwrap_or(0);
    reader.take(length).read_to_end(&mut request.body)?;
    Ok(Some(request))
}

fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let (_, query) = request.path.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// What an obedient registry answers.
fn respond(content: &mut Content, request: &Request, route: &str) -> Reply {
    let unknown = || Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    let Some(rest) = route.strip_prefix("/v2/") else { return Reply::new(404) };
    let Some(kind) = ["/blobs/uploads/", "/blobs/", "/manifests/", "/tags/"]
        .into_iter()
        .find(|kind| rest.contains(kind))
    else {
        return Reply::new(200).body("{}");
    };
    let Some((repository, name)) = rest.split_once(kind) else { return unknown() };
    let key = (repository.to_owned(), name.to_owned());
    match (request.method.as_str(), kind) {
        ("GET" | "HEAD", "/blobs/") => match content.blobs.get(&key) {
            Some(bytes) => ranged(bytes, request.header("range")),
            None => Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
        },
        ("GET" | "HEAD", "/manifests/") => match content.manifests.get(&key) {
            Some((media_type, bytes)) => Reply::new(200)
                .with("content-type", media_type)
                .with("docker-content-digest", Digest::of(bytes).to_string())
                .body(bytes.clone()),
            None => Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        },
        ("PUT", "/manifests/") => {
            let media_type = request.header("content-type").to_owned();
            let digest = Digest::of(&request.body).to_string();
            for name in [name.to_owned(), digest.clone()] {
                let value = (media_type.clone(), request.body.clone());
                content.manifests.insert((repository.to_owned(), name), value);
            }
            Reply::new(201).with("docker-content-digest", digest)
        }
        (_, "/blobs/uploads/") => upload(content, request, repository, name),
        _ => unknown(),
    }
}

fn ranged(bytes: &[u8], range: &str) -> Reply {
    let start =
        range.strip_prefix("bytes=").and_then(|range| range.split('-').next()?.parse().ok());
    match start {
        Some(start) if start < bytes.len() => Reply::new(206)
            .with("content-range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[start..]),
        Some(_) => Reply::new(416),
        None => Reply::new(200).body(bytes),
    }
}

fn upload(content: &mut Content, request: &Request, repository: &str, id: &str) -> Reply {
    let decoded =
        |name| query(request, name).map(|value| value.replace("%3A", ":").replace("%2F", "/"));
    let progress = |status, id: &str, length: usize| {
        Reply::new(status)
            .with("location", format!("/v2/{repository}/blobs/uploads/{id}?_state=s%3D"))
            .with("range", format!("0-{}", length.saturating_sub(1)))
    };
    if request.method == "POST" {
        if let (Some(digest), Some(from)) = (decoded("mount"), decoded("from"))
            && let Some(bytes) = content.blobs.get(&(from, digest.clone())).cloned()
        {
            content.blobs.insert((repository.to_owned(), digest), bytes);
            return Reply::new(201);
        }
        let id = format!("u{}", content.uploads.len());
        content.uploads.insert(id.clone(), Vec::new());
        return progress(202, &id, 0);
    }
    let Some(bytes) = content.uploads.get_mut(id) else {
        return Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    };
    match request.method.as_str() {
        "GET" => progress(204, id, bytes.len()),
        "PATCH" => {
            let start = request.header("content-range").split('-').next().unwrap_or_default();
            if start.parse() != Ok(bytes.len()) {
                return Reply::new(416);
            }
            bytes.extend_from_slice(&request.body);
            progress(202, id, bytes.len())
        }
        _ => {
            bytes.extend_from_slice(&request.body);
            let bytes = content.uploads.remove(id).unwrap_or_default();
            let digest = decoded("digest").unwrap_or_default();
            if Digest::of(&bytes).to_string() != digest {
                return Reply::error(400, "DIGEST_INVALID", "provided digest did not match");
            }
            content.blobs.insert((repository.to_owned(), digest), bytes);
            Reply::new(201)
        }
    }
}

/// A clock that only notes how long it should have slept.
#[derive(Debug, Default)]
pub(crate) struct FakeClock {
    state: Mutex<(Duration, Vec<Duration>)>,
}

impl FakeClock {
    pub(crate) fn slept(&self) -> Vec<u64> {
        let state = self.state.lock().unwrap();
        state.1.iter().map(|wait| u64::try_from(wait.as_millis()).unwrap()).collect()
    }

    pub(crate) fn pass(&self, duration: Duration) {
        self.state.lock().unwrap().0 += duration;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> SystemTime {
        // 06 Nov 1994 08:49:37
        UNIX_EPOCH + Duration::from_secs(784_111_777) + self.state.lock().unwrap().0
    }

    fn sleep(&self, duration: Duration, _cancelled: &dyn Fn() -> bool) {
        let mut state = self.state.lock().unwrap();
        state.0 += duration;
        state.1.push(duration);
    }
}

/// A client that never sleeps, and its clock.
pub(crate) fn client(change: impl FnOnce(&mut ClientOptions)) -> (Client, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    let mut options = ClientOptions {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        timeouts: Timeouts {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            commit: Duration::from_secs(10),
        },
        ..ClientOptions::default()
    };
    change(&mut options);
    (Client::new(options).unwrap(), clock)
}

/// Bytes that no two places of are alike.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state: u32 = 0x1234_5678;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A manifest of a configuration and layers that need not make sense.
pub(crate) fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    Manifest::new(config.clone(), layers.to_vec()).to_json()
}
