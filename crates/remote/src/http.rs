use std::error::Error as _;
use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{self, HeaderMap, Method};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, SendBody};

use crate::retry::{Failure, Retry};
use crate::upload::Upload;
use crate::url::{Url, is_loopback, matches};
use crate::{ClientOptions, Error, Problem, Timeouts};

/// One answer, its body not yet read.
pub(crate) type Response = http::Response<ureq::Body>;

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// That many bytes of an upload from an offset.
    Part(&'a Upload<'a>, u64, u64),
}

/// The connections, by how they are secured and which way they take.
#[derive(Debug)]
pub(crate) struct Agents {
    insecure: Vec<String>,
    no_proxy: Vec<String>,
    timeouts: Timeouts,
    /// Verified and unverified, each direct, by the proxy for `http`, by the one for `https`.
    agents: Vec<Agent>,
}

/// How a connection gets out, as an offset in [`Agents::agents`].
#[derive(Clone, Copy)]
enum Way {
    Direct = 0,
    HttpProxy = 1,
    HttpsProxy = 2,
}

const WAYS: usize = 3;

/// One message is read or written in pieces of this size.
const BUFFER: usize = 256 * 1024;

impl Agents {
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, Error> {
        let roots = roots(options)?;
        let ways =
            [None, proxy(options.proxy.http.as_deref())?, proxy(options.proxy.https.as_deref())?];
        let mut agents = Vec::new();
        for verify in [true, false] {
            for way in &ways {
                let tls =
                    TlsConfig::builder().root_certs(roots.clone()).disable_verification(!verify);
                let config = Agent::config_builder()
                    .tls_config(tls.build())
                    .proxy(way.clone())
                    .http_status_as_error(false)
                    .max_redirects(0)
                    .user_agent(options.user_agent.clone())
                    .input_buffer_size(BUFFER)
                    .output_buffer_size(BUFFER)
                    .timeout_resolve(Some(options.timeouts.connect))
                    .timeout_connect(Some(options.timeouts.connect))
                    .timeout_per_read(Some(options.timeouts.stall))
                    .timeout_per_write(Some(options.timeouts.stall));
                agents.push(config.build().new_agent());
            }
        }
        let mut no_proxy = options.proxy.no_proxy.clone();
        let below = no_proxy
            .iter()
            .filter(|name| !name.starts_with(['.', '*']) && !name.contains(['/', ':']));
        no_proxy.extend(below.map(|name| format!(".{}", name.trim())).collect::<Vec<_>>());
        Ok(Self {
            insecure: options.insecure.clone(),
            no_proxy,
            timeouts: options.timeouts.clone(),
            agents,
        })
    }

    /// Ends all connections, also those in use by other threads.
    pub(crate) fn shutdown(&self) {
        for agent in &self.agents {
            agent.clone().shutdown();
        }
    }

    /// Whether the host was named as insecure.
    pub(crate) fn is_insecure(&self, authority: &str) -> bool {
        matches(&self.insecure, authority)
    }

    fn agent(&self, url: &Url, verify: bool) -> &Agent {
        let authority = url.authority();
        let direct = is_loopback(&authority) || matches(&self.no_proxy, &authority);
        let way = match (direct, url.is_https()) {
            (true, _) => Way::Direct,
            (false, false) => Way::HttpProxy,
            (false, true) => Way::HttpsProxy,
        };
        &self.agents[way as usize + if verify { 0 } else { WAYS }]
    }

    /// Sends one request and waits for the head of its answer, whatever its status.
    pub(crate) fn exchange(
        &self,
        action: &str,
        url: &Url,
        method: &Method,
        headers: &HeaderMap,
        body: Body<'_>,
        verify: bool,
    ) -> Result<Response, Failure> {
        let verify = verify && !self.is_insecure(&url.authority());
        let agent = self.agent(url, verify);
        let mut request = http::Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = url.uri().clone();
        *request.headers_mut() = headers.clone();
        let sends = *method != Method::GET && *method != Method::HEAD;
        let length = match body {
            Body::None => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Part(_, _, length) => length,
        };
        if sends {
            request.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        // Only the end of an upload makes the registry work.
        let commits = *method == Method::PUT || matches!(body, Body::Part(..));
        let wait = if commits { self.timeouts.commit } else { self.timeouts.stall };
        let result = match body {
            Body::None => agent.run(patient(agent, request.map(|()| SendBody::none()), wait)),
            Body::Bytes(mut bytes) => {
                let body = SendBody::from_reader(&mut bytes);
                agent.run(patient(agent, request.map(|()| body), wait))
            }
            Body::Part(upload, offset, length) => {
                let mut part = upload
                    .part(offset, length)
                    .map_err(|source| Error::Source { action: action.to_owned(), source })?;
                let body = SendBody::from_reader(&mut part);
                let result = agent.run(patient(agent, request.map(|()| body), wait));
                if let Some(source) = upload.take_failure() {
                    return Err(Error::Source { action: action.to_owned(), source }.into());
                }
                result
            }
        };
        result.map_err(|error| failure(action, url, &error))
    }
}

fn patient<'a>(
    agent: &Agent,
    request: http::Request<SendBody<'a>>,
    wait: Duration,
) -> http::Request<SendBody<'a>> {
    agent.configure_request(request).timeout_per_read(Some(wait)).build()
}

fn roots(options: &ClientOptions) -> Result<RootCerts, Error> {
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    if options.public_ca {
        let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        certificates.extend(public.iter().map(|der| Certificate::from_der(der)));
    }
    for pem in &options.extra_ca_pem {
        let before = certificates.len();
        for item in parse_pem(pem) {
            let error = |reason| Error::Option { what: "CA certificate", reason };
            if let PemItem::Certificate(certificate) = item.map_err(|e| error(e.to_string()))? {
                certificates.push(certificate);
            }
        }
        if certificates.len() == before {
            let reason = "there is no PEM certificate in it".to_owned();
            return Err(Error::Option { what: "CA certificate", reason });
        }
    }
    Ok(RootCerts::from(certificates))
}

fn proxy(address: Option<&str>) -> Result<Option<ureq::Proxy>, Error> {
    let Some(address) = address.filter(|address| !address.is_empty()) else { return Ok(None) };
    let proxy = ureq::Proxy::new(address);
    proxy.map(Some).map_err(|error| Error::Option { what: "proxy", reason: error.to_string() })
}

/// Sorts what the transport reports into what people can act upon.
fn failure(action: &str, url: &Url, error: &ureq::Error) -> Failure {
    let (problem, detail) = match error {
        ureq::Error::HostNotFound => (Problem::UnknownHost, String::new()),
        ureq::Error::Timeout(_) => (Problem::Stalled, String::new()),
        ureq::Error::ConnectProxyFailed(text) => (Problem::Proxy, text.clone()),
        ureq::Error::Tls(text) => (Problem::Tls, (*text).to_owned()),
        ureq::Error::Rustls(error) => (Problem::Tls, error.to_string()),
        ureq::Error::Io(error) => io_problem(error, url),
        ureq::Error::ConnectionFailed => (Problem::Refused, String::new()),
        other => (Problem::Protocol, other.to_string()),
    };
    unreachable(action, url, problem, detail)
}

/// A failure of the transport while a body is read.
pub(crate) fn read_failure(action: &str, url: &Url, error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    if let Some(error) = inner {
        return failure(action, url, error);
    }
    let (problem, detail) = io_problem(error, url);
    unreachable(action, url, problem, detail)
}

pub(crate) fn unreachable(action: &str, url: &Url, problem: Problem, detail: String) -> Failure {
    let retry = match problem {
        Problem::Tls | Problem::Redirects => Retry::Never,
        Problem::UnknownHost | Problem::Refused | Problem::Proxy | Problem::Stalled => {
            Retry::Sparingly
        }
        Problem::Dropped | Problem::Protocol => Retry::Backoff,
    };
    let error = Error::Unreachable {
        action: action.to_owned(),
        host: url.authority(),
        problem,
        detail,
        tries: 1,
    };
    Failure { error, retry }
}

fn io_problem(error: &io::Error, url: &Url) -> (Problem, String) {
    use io::ErrorKind as Kind;
    let problem = match error.kind() {
        Kind::ConnectionRefused
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::AddrNotAvailable => Problem::Refused,
        Kind::TimedOut | Kind::WouldBlock => Problem::Stalled,
        // What rustls objects to arrives as invalid data.
        Kind::InvalidData if url.is_https() => Problem::Tls,
        Kind::InvalidData | Kind::InvalidInput => Problem::Protocol,
        // The resolver's errors have no kind of their own.
        _ if error.to_string().contains("failed to lookup address") => Problem::UnknownHost,
        _ => Problem::Dropped,
    };
    let detail = match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    (problem, detail)
}

/// The text of a header, if it is there and is text.
pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// Reads a whole body that should be short.
pub(crate) fn read_limited(
    action: &str,
    url: &Url,
    response: &mut Response,
    limit: u64,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let result = reader.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    result.map_err(|error| read_failure(action, url, &error))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { action: action.to_owned(), limit }.into());
    }
    Ok(bytes)
}
