use std::fmt;
use std::io;
use std::time::Duration;

#[cfg(feature = "http")]
use dfbuild_image::Digest;

/// What can go wrong when something comes from elsewhere or goes there. [`Error::hint`] says what
/// to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network was needed, and the client is offline.
    #[error("{action}: the network is needed for it, and this is offline")]
    Offline {
        /// What was wanted.
        action: String,
    },
    /// A server answered, but not with what was asked for.
    #[error("{0}")]
    Answer(Box<Answer>),
    /// A server could not be spoken with.
    #[error("{action}: {problem} `{host}`{}{}", detail_of(detail), times(*tries))]
    Unreachable {
        /// What was wanted.
        action: String,
        /// The host, with its port.
        host: String,
        /// What kind of thing happened.
        problem: Problem,
        /// What the operating system or the TLS library said, or empty.
        detail: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The bytes that came are not those that were asked for.
    #[error("{action}: `{host}` sent other bytes: expected {expected}, found {found}{}", times(*tries))]
    Corrupt {
        /// What was wanted.
        action: String,
        /// The host, with its port.
        host: String,
        /// The digest or length that was asked for.
        expected: String,
        /// The digest or length that came.
        found: String,
        /// How often it was tried.
        tries: u32,
    },
    /// Credentials could not be had, which is not the same as there being none, and the registry
    /// wants some.
    #[error("get credentials for `{registry}`: {reason}")]
    Credentials {
        /// The registry.
        registry: String,
        /// What went wrong.
        reason: String,
    },
    /// An index without an image for the platform.
    #[error("{reference} has no image for {platform}, only for {}", available.join(", "))]
    NoPlatform {
        /// The index.
        reference: String,
        /// The platform that was asked for.
        platform: String,
        /// The platforms that it has.
        available: Vec<String>,
    },
    /// A document that cannot be understood.
    #[error("{action}: malformed answer: {reason}")]
    Malformed {
        /// What was wanted.
        action: String,
        /// Where it fails.
        reason: String,
    },
    /// A kind of document that is not supported.
    #[error("{action}: unsupported media type `{media_type}`")]
    Unsupported {
        /// What was wanted.
        action: String,
        /// The media type of the document.
        media_type: String,
    },
    /// More bytes than were allowed.
    #[error("{action}: more than {limit} bytes")]
    TooLarge {
        /// What was wanted.
        action: String,
        /// How many bytes were allowed.
        limit: u64,
    },
    /// Every mirror failed, and the registry as well.
    #[error("{source}; before that, {}", mirrors_of(mirrors))]
    Mirrors {
        /// What the registry itself said.
        #[source]
        source: Box<Error>,
        /// The mirrors, with what each said.
        mirrors: Vec<(String, Error)>,
    },
    /// The bytes that came could not be written.
    #[error("{action}: write what came: {source}")]
    Sink {
        /// What was wanted.
        action: String,
        /// What the sink said.
        source: io::Error,
    },
    /// The bytes to send could not be read.
    #[error("{action}: read what is to be sent: {source}")]
    Source {
        /// What was wanted.
        action: String,
        /// What the source said.
        source: io::Error,
    },
    /// Text that is not a usable address.
    #[error("invalid address `{url}`: {reason}")]
    Address {
        /// The text, without secrets.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// This program was built without the feature that has a network.
    #[error(
        "{action}: this program was built without the feature `registry`, so it has no network"
    )]
    Disabled {
        /// What was wanted.
        action: String,
    },
    /// What an error of another process said.
    #[error("{message}")]
    Relayed {
        /// Its words.
        message: String,
    },
    /// An option of the client that cannot be used.
    #[error("invalid {what}: {reason}")]
    Option {
        /// `CA certificate`, `proxy`, `mirror`, …
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The program `git` failed.
    #[error("{action}: git: {message}")]
    Git {
        /// What was wanted.
        action: String,
        /// What git said last.
        message: String,
    },
    /// [`Client::cancel`](crate::Client::cancel) was called.
    #[error("{action}: cancelled")]
    Cancelled {
        /// What was wanted.
        action: String,
    },
}

/// An answer that refuses something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// What was wanted, as `pull manifest of docker.io/library/ubuntu:16.04`.
    pub action: String,
    /// The host that answered, with its port.
    pub host: String,
    /// The HTTP status.
    pub status: u16,
    /// The registry's own codes and messages (distribution-spec, "Error Codes").
    pub errors: Vec<RegistryError>,
    /// How often it was tried.
    pub tries: u32,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// Whether credentials were sent.
    pub authenticated: bool,
}

/// What a registry says of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    /// As `MANIFEST_UNKNOWN`; empty if the answer had only text.
    pub code: String,
    /// What it says to people.
    pub message: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` answered {}", self.action, self.host, self.status)?;
        #[cfg(feature = "http")]
        if let Ok(status) = ureq::http::StatusCode::from_u16(self.status)
            && let Some(reason) = status.canonical_reason()
        {
            write!(f, " {reason}")?;
        }
        for error in &self.errors {
            match (error.code.as_str(), error.message.as_str()) {
                ("", message) => write!(f, ": {message}")?,
                (code, "") => write!(f, ": {code}")?,
                (code, message) => write!(f, ": {message} ({code})")?,
            }
        }
        if let Some(wait) = self.retry_after {
            write!(f, ", and asked to wait {} s", wait.as_secs())?;
        }
        f.write_str(&times(self.tries))
    }
}

impl Answer {
    /// An answer of `host` with an HTTP status and without words.
    pub fn new(action: impl Into<String>, host: impl Into<String>, status: u16) -> Self {
        Self {
            action: action.into(),
            host: host.into(),
            status,
            errors: Vec::new(),
            tries: 1,
            retry_after: None,
            authenticated: false,
        }
    }

    /// Whether the registry gave this error code.
    pub fn has_code(&self, code: &str) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }
}

/// Why a server could not be spoken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// There is no such host.
    UnknownHost,
    /// Nobody listens there, or there is no way to it.
    Refused,
    /// The connection ended too early.
    Dropped,
    /// Nothing happened for too long.
    Stalled,
    /// No secure connection, for example for want of a trusted certificate.
    Tls,
    /// The answer is not HTTP.
    Protocol,
    /// The proxy did not let it through.
    Proxy,
    /// A chain of redirects without an end, or one that leads nowhere.
    Redirects,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownHost => "there is no host",
            Self::Refused => "no connection to",
            Self::Dropped => "lost the connection to",
            Self::Stalled => "waited too long for",
            Self::Tls => "no secure connection to",
            Self::Protocol => "no sensible answer from",
            Self::Proxy => "the proxy does not connect to",
            Self::Redirects => "too many or malformed redirects from",
        })
    }
}

impl Error {
    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Answer(answer) => answer_hint(answer),
            Self::Unreachable { problem: Problem::Tls, host, .. } => Some(format!(
                "if the certificate of `{host}` is your own, pass its CA; if it has none, name the \
                 host as insecure"
            )),
            Self::Unreachable { problem: Problem::UnknownHost, host, .. } => {
                Some(format!("check the spelling of `{host}` and the name servers of this machine"))
            }
            Self::Unreachable { problem: Problem::Refused | Problem::Stalled, host, .. } => {
                Some(format!("check that `{host}` runs, and whether a proxy is needed to reach it"))
            }
            Self::Offline { .. } => {
                Some("go without `--offline`; what is in the store needs no network".to_owned())
            }
            Self::Unsupported { media_type, .. } if media_type.contains("manifest.v1") => Some(
                "the image is in Docker's schema 1: push it again with a current tool".to_owned(),
            ),
            Self::Credentials { registry, .. } => {
                Some(format!("`docker login {registry}` stores them anew"))
            }
            Self::Mirrors { source, .. } => source.hint(),
            _ => None,
        }
    }

    /// The status of the server's answer, if it is one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(answer) => Some(answer.status),
            Self::Mirrors { source, .. } => source.status(),
            _ => None,
        }
    }

    /// The same error after `count` tries.
    #[cfg(feature = "http")]
    pub(crate) fn after_tries(mut self, count: u32) -> Self {
        match &mut self {
            Self::Answer(answer) => answer.tries = count,
            Self::Unreachable { tries, .. } | Self::Corrupt { tries, .. } => *tries = count,
            _ => {}
        }
        self
    }

    #[cfg(feature = "http")]
    pub(crate) fn corrupt(action: &str, host: &str, expected: Digest, found: Digest) -> Self {
        Self::Corrupt {
            action: action.to_owned(),
            host: host.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
            tries: 1,
        }
    }

    #[cfg(feature = "http")]
    pub(crate) fn wrong_length(action: &str, host: &str, expected: u64, found: u64) -> Self {
        Self::Corrupt {
            action: action.to_owned(),
            host: host.to_owned(),
            expected: format!("{expected} bytes"),
            found: format!("{found} or more"),
            tries: 1,
        }
    }
}

fn answer_hint(answer: &Answer) -> Option<String> {
    let host = &answer.host;
    let login = match host.as_str() {
        "registry-1.docker.io" => "docker login".to_owned(),
        _ => format!("docker login {host}"),
    };
    let text = match answer.status {
        401 if answer.authenticated => format!(
            "user or password for `{host}` are wrong, or do not allow it: `{login}` stores others"
        ),
        403 if answer.authenticated => format!(
            "the credentials for `{host}` do not allow it: check the repository's name and rights, \
             or `docker login` as somebody else"
        ),
        401 | 403 => format!(
            "the repository is private or does not exist: check its name, or log in with `{login}`"
        ),
        404 if answer.has_code("MANIFEST_UNKNOWN") => {
            "there is no such tag or digest in the repository".to_owned()
        }
        404 if answer.has_code("NAME_UNKNOWN") => "there is no such repository".to_owned(),
        404 if answer.action.contains("manifest") => {
            "there is no such repository, tag or digest".to_owned()
        }
        429 => {
            "the registry limits how often it is asked: log in, use a mirror, or wait".to_owned()
        }
        500..=599 => "the server is in trouble: try again later, or use a mirror".to_owned(),
        _ => return None,
    };
    Some(text)
}

fn detail_of(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

fn times(tries: u32) -> String {
    if tries > 1 { format!(" (tried {tries} times)") } else { String::new() }
}

fn mirrors_of(mirrors: &[(String, Error)]) -> String {
    let texts: Vec<String> =
        mirrors.iter().map(|(host, error)| format!("mirror `{host}`: {error}")).collect();
    texts.join("; ")
}

/// The errors in the body of an answer: the registry's own, else the beginning of a short text.
#[cfg(feature = "http")]
pub(crate) fn registry_errors(body: &[u8]) -> Vec<RegistryError> {
    #[derive(serde::Deserialize)]
    struct Document {
        #[serde(default)]
        errors: Vec<Item>,
        /// Token servers answer with one of these alone.
        details: Option<String>,
        error_description: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Item {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        detail: serde_json::Value,
    }
    let Ok(document) = serde_json::from_slice::<Document>(body) else {
        return plain_text(body).into_iter().collect();
    };
    let mut errors = Vec::new();
    for item in document.errors {
        let detail = item.detail.as_str().filter(|text| !text.is_empty());
        let message = match detail {
            Some(detail) if item.message.is_empty() => printable(detail),
            Some(detail) => printable(&format!("{}: {detail}", item.message)),
            None => printable(&item.message),
        };
        errors.push(RegistryError { code: printable(&item.code), message });
    }
    let described = document.details.or(document.error_description);
    if errors.is_empty()
        && let Some(message) = described
    {
        errors.push(RegistryError { code: String::new(), message: printable(&message) });
    }
    errors
}

/// A page of HTML says nothing that helps.
#[cfg(feature = "http")]
fn plain_text(body: &[u8]) -> Option<RegistryError> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let plain = !text.is_empty() && !text.starts_with(['<', '{', '[']);
    plain.then(|| RegistryError { code: String::new(), message: printable(text) })
}

/// A server's text on one line and without control characters, which a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 300;
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            action: "pull manifest of r.example/a:1".to_owned(),
            host: "r.example".to_owned(),
            status,
            errors: registry_errors(body.as_bytes()),
            tries: 3,
            retry_after: None,
            authenticated: false,
        }
    }

    #[test]
    fn says_what_the_registry_says() {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#;
        let error = Error::Answer(Box::new(answer(404, body)));
        assert_eq!(
            error.to_string(),
            "pull manifest of r.example/a:1: `r.example` answered 404 Not Found: manifest unknown \
             (MANIFEST_UNKNOWN) (tried 3 times)"
        );
        assert_eq!(error.hint().unwrap(), "there is no such tag or digest in the repository");
        assert!(Error::Answer(Box::new(answer(401, ""))).hint().unwrap().contains("docker login"));
    }

    #[test]
    fn bodies() {
        let messages = |body: &str| {
            registry_errors(body.as_bytes()).into_iter().map(|e| e.message).collect::<Vec<_>>()
        };
        assert_eq!(messages("slow down\n"), ["slow down"]);
        assert_eq!(messages("a\u{1b}[31mb"), ["a [31mb"]);
        assert_eq!(messages(r#"{"details":"incorrect username"}"#), ["incorrect username"]);
        assert!(messages("<html>").is_empty());
        assert!(messages("").is_empty());
        assert!(messages("{}").is_empty());
    }
}
