use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dfbuild_image::{Descriptor, Digest, MediaType, Reference};
use ureq::http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use ureq::http::{HeaderMap, HeaderValue, Method};

use crate::auth::Auth;
use crate::challenge::Challenge;
use crate::endpoint::Endpoint;
use crate::error::registry_errors;
use crate::http::{Agents, Body, Response, header, read_limited, unreachable};
use crate::retry::{Failure, Retry, Tries, retry_after};
use crate::scope::Scope;
use crate::url::Url;
use crate::{Answer, BlobSink, ClientOptions, Error, Problem, Pushed, Registry, RemoteManifest};

/// Speaks with registries and web servers. A clone is the same client: connections, tokens and
/// what was learnt of registries are shared, also between threads.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    is_hasty: bool,
}

impl fmt::Debug for Client {
    /// Shows no secret: tokens and proxies stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", self.options()).finish_non_exhaustive()
    }
}

struct Inner {
    options: ClientOptions,
    agents: Agents,
    auth: Auth,
    schemes: Mutex<HashMap<String, &'static str>>,
    dead_mirrors: Mutex<HashSet<String>>,
    cancelled: AtomicBool,
}

/// One request, complete but for what the server may still ask for.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) action: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Body<'a>,
    pub(crate) access: Access<'a>,
    /// Statuses from 400 on that are answers, not errors.
    pub(crate) expected: &'a [u16],
}

/// Who may be told what.
#[derive(Clone, Copy)]
pub(crate) enum Access<'a> {
    /// A registry, by its tokens or passwords.
    Registry(&'a Endpoint, &'a [Scope]),
    /// The value of an `Authorization` header for the first host alone.
    Fixed(Option<&'a str>),
}

/// As Go's client.
const MOST_REDIRECTS: u32 = 10;

/// More of an error's body says nothing more.
const LONGEST_ERROR: u64 = 64 * 1024;

impl Client {
    /// A client that behaves as `options` say.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        let inner = Inner {
            agents: Agents::new(&options)?,
            auth: Auth::default(),
            schemes: Mutex::default(),
            dead_mirrors: Mutex::default(),
            cancelled: AtomicBool::new(false),
            options,
        };
        Ok(Self { inner: Arc::new(inner), is_hasty: false })
    }

    /// The same client for what is very likely not there: a host that cannot be reached is not tried
    /// again.
    pub fn hasty(&self) -> Self {
        Self { is_hasty: true, ..self.clone() }
    }

    /// Ends everything that any clone of this client is doing, from any thread, with
    /// [`Error::Cancelled`]. The client cannot be used afterwards.
    pub fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::SeqCst);
        self.inner.agents.shutdown();
    }

    /// How the client behaves.
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    pub(crate) fn agents(&self) -> &Agents {
        &self.inner.agents
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.inner.auth
    }

    pub(crate) fn known_scheme(&self, host: &str) -> Option<&'static str> {
        lock(&self.inner.schemes).get(host).copied()
    }

    pub(crate) fn remember_scheme(&self, host: &str, scheme: &'static str) {
        lock(&self.inner.schemes).insert(host.to_owned(), scheme);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::SeqCst)
    }

    /// Repeats `attempt` while that may help.
    pub(crate) fn retrying<T>(
        &self,
        action: &str,
        most: u32,
        mut attempt: impl FnMut(&mut Tries<'_>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut policy = self.options().retry.clone();
        policy.tries = policy.tries.min(most);
        if self.is_hasty {
            policy.connect_tries = 1;
        }
        let mut tries = Tries::new(&policy);
        loop {
            if self.options().offline {
                return Err(Error::Offline { action: action.to_owned() });
            }
            let result = attempt(&mut tries);
            if self.is_cancelled() && result.is_err() {
                return Err(Error::Cancelled { action: action.to_owned() });
            }
            let failure = match result {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let wait = tries.after(failure.retry);
            let error = failure.error.after_tries(tries.failed());
            let Some(wait) = wait else { return Err(error) };
            if let Some(on_retry) = &self.options().on_retry {
                on_retry(&error, wait);
            }
            self.options().clock.sleep(wait, &|| self.is_cancelled());
            if self.is_cancelled() {
                return Err(Error::Cancelled { action: action.to_owned() });
            }
        }
    }

    /// Asks the registry itself.
    pub(crate) fn at_registry<T>(
        &self,
        action: &str,
        reference: &Reference,
        mut attempt: impl FnMut(&Endpoint, &mut Tries<'_>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.retrying(action, u32::MAX, |tries| {
            attempt(&self.endpoint(action, &reference.registry)?, tries)
        })
    }

    /// Asks the mirrors, then the registry itself. A mirror that cannot be reached is not asked
    /// again.
    pub(crate) fn at_mirrors<T>(
        &self,
        action: &str,
        reference: &Reference,
        mut attempt: impl FnMut(&Endpoint, &mut Tries<'_>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        const TRIES_OF_A_MIRROR: u32 = 2;
        let mut failed = Vec::new();
        for mirror in self.options().mirrors.get(&reference.registry).into_iter().flatten() {
            if lock(&self.inner.dead_mirrors).contains(mirror) {
                continue;
            }
            let result = self.retrying(action, TRIES_OF_A_MIRROR, |tries| {
                attempt(&self.endpoint(action, mirror)?, tries)
            });
            match result {
                Err(
                    error @ (Error::Cancelled { .. } | Error::Offline { .. } | Error::Sink { .. }),
                ) => {
                    return Err(error);
                }
                Err(error) => {
                    if matches!(error, Error::Unreachable { .. }) {
                        lock(&self.inner.dead_mirrors).insert(mirror.clone());
                    }
                    failed.push((mirror.clone(), error));
                }
                done => return done,
            }
        }
        self.at_registry(action, reference, attempt).map_err(|error| match error {
            Error::Cancelled { .. } | Error::Offline { .. } | Error::Sink { .. } => error,
            error if failed.is_empty() => error,
            error => Error::Mirrors { source: Box::new(error), mirrors: failed },
        })
    }

    /// Sends one request, with the credentials that the server asks for, and follows redirects.
    /// Also returns the address that answered at last.
    pub(crate) fn perform(&self, call: &Call<'_>) -> Result<(Response, Url), Failure> {
        let mut authorization = match call.access {
            Access::Registry(endpoint, scopes) => {
                self.authorization(call.action, endpoint, scopes)?
            }
            Access::Fixed(value) => value.map(ToOwned::to_owned),
        };
        let (home, verify) = match call.access {
            Access::Registry(endpoint, _) => (endpoint.base(), endpoint.verify()),
            Access::Fixed(_) => (call.url, true),
        };
        let mut challenged = false;
        let mut redirects = 0;
        let mut url = call.url.clone();
        loop {
            // A redirect leads to storage that has its own tokens in the address, and must not
            // learn ours.
            let secret = authorization.as_deref().filter(|_| home.trusts(&url));
            let headers = with_authorization(call.headers, secret);
            let verify = verify || !home.trusts(&url);
            let agents = self.agents();
            let mut response =
                agents.exchange(call.action, &url, call.method, &headers, call.body, verify)?;
            let status = response.status().as_u16();
            if let Some(next) = redirection(call, &response, &url)? {
                redirects += 1;
                if redirects > MOST_REDIRECTS {
                    return Err(unreachable(call.action, &url, Problem::Redirects, String::new()));
                }
                url = next;
                continue;
            }
            if status == 401
                && !challenged
                && home.trusts(&url)
                && let Access::Registry(endpoint, scopes) = call.access
                && let Some(challenge) = challenge(&response)
            {
                challenged = true;
                // The connection is free again once the body was read.
                let body = read_limited(call.action, &url, &mut response, LONGEST_ERROR);
                let fresh = self.answer(call.action, endpoint, scopes, &challenge)?;
                if fresh.is_some() && fresh != authorization {
                    authorization = fresh;
                    url = call.url.clone();
                    redirects = 0;
                    continue;
                }
                let body = body.unwrap_or_default();
                return Err(self.refusal(call, &url, &body, &response, secret.is_some()));
            }
            if status < 400 || call.expected.contains(&status) {
                return Ok((response, url));
            }
            let body = read_limited(call.action, &url, &mut response, LONGEST_ERROR);
            let body = body.unwrap_or_default();
            return Err(self.refusal(call, &url, &body, &response, secret.is_some()));
        }
    }

    /// The failure that a status from 400 on is.
    fn refusal(
        &self,
        call: &Call<'_>,
        url: &Url,
        body: &[u8],
        response: &Response,
        authenticated: bool,
    ) -> Failure {
        let status = response.status().as_u16();
        let asked = header(response, RETRY_AFTER.as_str())
            .and_then(|value| retry_after(value, self.options().clock.now()));
        let retry = match (status, asked) {
            (429 | 503, Some(wait)) => Retry::After(wait),
            (408 | 429 | 500 | 502..=504 | 506..=599, _) => Retry::Backoff,
            _ => Retry::Never,
        };
        if let Access::Registry(endpoint, _) = call.access
            && matches!(status, 401 | 403)
            && let Some(problem) = self.credential_problem(&endpoint.name)
        {
            let registry = endpoint.name.clone();
            let reason = format!("{problem}; without them `{}` answered {status}", url.authority());
            return Error::Credentials { registry, reason }.into();
        }
        let longest = self.options().retry.longest_retry_after;
        let answer = Answer {
            action: call.action.to_owned(),
            host: url.authority(),
            status,
            errors: registry_errors(body),
            tries: 1,
            retry_after: asked.filter(|&wait| wait > longest),
            authenticated,
        };
        Failure { error: Error::Answer(Box::new(answer)), retry }
    }
}

impl Registry for Client {
    fn manifest(&self, reference: &Reference) -> Result<RemoteManifest, Error> {
        Self::manifest(self, reference)
    }

    fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        Self::blob(self, reference, descriptor, sink, progress)
    }

    fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        open: &dyn Fn() -> io::Result<Box<dyn Read>>,
        mount_from: Option<&Reference>,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, Error> {
        Self::push_blob(self, reference, descriptor, open, mount_from, progress)
    }

    fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        Self::push_manifest(self, reference, media_type, bytes)
    }
}

/// Where to go on, if the answer is a redirect that keeps the method.
fn redirection(call: &Call<'_>, response: &Response, url: &Url) -> Result<Option<Url>, Failure> {
    let reads = *call.method == Method::GET || *call.method == Method::HEAD;
    match response.status().as_u16() {
        301..=303 if reads => {}
        307 | 308 => {}
        _ => return Ok(None),
    }
    let location = header(response, LOCATION.as_str());
    let next = location.and_then(|location| url.join(location));
    // The form for a token server has a secret in it.
    let leaks =
        |next: &Url| !reads && matches!(call.access, Access::Fixed(_)) && !call.url.trusts(next);
    match next {
        Some(next) if leaks(&next) => {
            let reason = "it would take a secret to another host".to_owned();
            Err(unreachable(call.action, url, Problem::Redirects, reason))
        }
        Some(next) => Ok(Some(next)),
        None => {
            Err(unreachable(call.action, url, Problem::Redirects, "no usable location".to_owned()))
        }
    }
}

fn challenge(response: &Response) -> Option<Challenge> {
    let values = response.headers().get_all(WWW_AUTHENTICATE);
    Challenge::choose(values.iter().filter_map(|value| value.to_str().ok()))
}

fn with_authorization(headers: &HeaderMap, secret: Option<&str>) -> HeaderMap {
    let mut headers = headers.clone();
    if let Some(mut value) = secret.and_then(|secret| HeaderValue::from_str(secret).ok()) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

/// The maps are whole between any two statements, also if a thread died while it held one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
