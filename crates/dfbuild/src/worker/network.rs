//! The options of the network, as far as they are values. What they ask and tell goes over the
//! socket of the build.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dfbuild_remote::{ClientOptions, Credential, Credentials, Error, Proxy, RetryPolicy, Timeouts};
use serde::{Deserialize, Serialize};

use super::line::Line;
use super::message::{Message, Request};

#[derive(Serialize, Deserialize)]
pub(super) struct SentNetwork {
    insecure: Vec<String>,
    mirrors: BTreeMap<String, Vec<String>>,
    public_ca: bool,
    extra_ca_pem: Vec<Vec<u8>>,
    #[serde(with = "RetryPolicyFields")]
    retry: RetryPolicy,
    offline: bool,
    user_agent: String,
    #[serde(with = "TimeoutsFields")]
    timeouts: Timeouts,
    #[serde(with = "ProxyFields")]
    proxy: Proxy,
    upload_chunk: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetryPolicy")]
struct RetryPolicyFields {
    tries: u32,
    connect_tries: u32,
    first_wait: Duration,
    longest_wait: Duration,
    longest_retry_after: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Timeouts")]
struct TimeoutsFields {
    connect: Duration,
    stall: Duration,
    commit: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Proxy")]
struct ProxyFields {
    http: Option<String>,
    https: Option<String>,
    no_proxy: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum SentCredential {
    Basic { user: String, password: String },
    Identity(String),
    Bearer(String),
}

impl SentNetwork {
    pub(super) fn of(options: &ClientOptions) -> Self {
        let options = options.clone();
        Self {
            insecure: options.insecure,
            mirrors: options.mirrors,
            public_ca: options.public_ca,
            extra_ca_pem: options.extra_ca_pem,
            retry: options.retry,
            offline: options.offline,
            user_agent: options.user_agent,
            timeouts: options.timeouts,
            proxy: options.proxy,
            upload_chunk: options.upload_chunk,
        }
    }

    /// Options that ask the embedder for credentials, and tell it what is tried again.
    pub(super) fn options(self, line: &Arc<Line>) -> ClientOptions {
        let teller = Arc::clone(line);
        ClientOptions {
            insecure: self.insecure,
            mirrors: self.mirrors,
            public_ca: self.public_ca,
            extra_ca_pem: self.extra_ca_pem,
            retry: self.retry,
            offline: self.offline,
            user_agent: self.user_agent,
            timeouts: self.timeouts,
            proxy: self.proxy,
            upload_chunk: self.upload_chunk,
            credentials: Arc::new(Asked(Arc::clone(line))),
            on_retry: Some(Arc::new(move |error: &Error, wait| {
                teller.tell(&Message::Retry { error: error.to_string(), wait }, &[]);
            })),
            ..ClientOptions::default()
        }
    }
}

/// Credentials that the embedder has.
struct Asked(Arc<Line>);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked(..)")
    }
}

impl Credentials for Asked {
    fn get(&self, registry: &str) -> Result<Option<Credential>, Error> {
        let failed = |reason| Error::Credentials { registry: registry.to_owned(), reason };
        let question = Message::Credential { registry: registry.to_owned() };
        match self.0.ask(&question) {
            Some((Request::Credential(answer), _)) => {
                Ok(answer.map_err(failed)?.map(Credential::from))
            }
            _ => Err(failed("the process that has them is gone".to_owned())),
        }
    }
}

impl From<SentCredential> for Credential {
    fn from(sent: SentCredential) -> Self {
        match sent {
            SentCredential::Basic { user, password } => Self::Basic { user, password },
            SentCredential::Identity(token) => Self::Identity(token),
            SentCredential::Bearer(token) => Self::Bearer(token),
        }
    }
}

/// What the embedder knows of a registry.
pub(super) fn credential(
    options: Option<&ClientOptions>,
    registry: &str,
) -> Result<Option<SentCredential>, String> {
    let Some(options) = options else { return Ok(None) };
    match options.credentials.get(registry).map_err(|error| error.to_string())? {
        None => Ok(None),
        Some(Credential::Basic { user, password }) => {
            Ok(Some(SentCredential::Basic { user, password }))
        }
        Some(Credential::Identity(token)) => Ok(Some(SentCredential::Identity(token))),
        Some(Credential::Bearer(token)) => Ok(Some(SentCredential::Bearer(token))),
        Some(other) => Err(format!("a worker cannot be given {other:?}")),
    }
}
