//! A registry in this process that can be told to misbehave.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "this is only part of tests")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild_image::{Descriptor, Digest, Manifest, MediaType, Reference, descriptor};
use dfbuild_remote::{Client, ClientOptions, Clock, Timeouts};
use dfbuild_testkit::HttpServer;
pub(crate) use dfbuild_testkit::{Reply, Request};

/// Changes an answer, or answers in the registry's place: gets the request, how many like it
/// (method and path without the query) came before, and the answer that would be given.
pub(crate) type Fault = dyn Fn(&Request, usize, Reply) -> Reply + Send + Sync;

/// A registry on a free port of this machine.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    server: HttpServer,
}

#[derive(Default)]
struct State {
    content: Mutex<Content>,
    fault: Mutex<Option<Arc<Fault>>>,
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
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let server = HttpServer::start(move |request, before| {
            let reply = respond(&mut shared.content.lock().unwrap(), request, request.route());
            let fault = shared.fault.lock().unwrap().clone();
            match fault {
                // How to speak with it is always answered.
                Some(fault) if request.path != "/v2/" => fault(request, before, reply),
                _ => reply,
            }
        });
        Self { address: server.address(), state, server }
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
        let requests = self.server.requests().into_iter();
        requests.filter(|request| request.path != "/v2/").collect()
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.requests().iter().filter(|request| request.is(method, part)).count()
    }
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

/// A manifest of a configuration and layers that need not make sense.
pub(crate) fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    Manifest::new(config.clone(), layers.to_vec()).to_json()
}
