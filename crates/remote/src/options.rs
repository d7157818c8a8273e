use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Anonymous, Clock, Credentials, Error, SystemClock};

/// How a [`Client`](crate::Client) behaves. Everything that other programs take from the
/// environment comes in here as a value.
#[derive(Clone)]
pub struct ClientOptions {
    /// Hosts that may be spoken with in the clear or with any certificate: `host`, `host:port`,
    /// `.domain`, or an IPv4 range as `10.0.0.0/8`. Registries on this machine always may.
    pub insecure: Vec<String>,
    /// What to ask before a registry itself, by registry (`docker.io`): each
    /// `[http[s]://]host[:port][/path]`, where the path goes before the repository's name.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Whether the public certificate authorities (Mozilla's) are trusted.
    pub public_ca: bool,
    /// Certificate authorities trusted besides, as PEM; each may hold many certificates. A
    /// server's own certificate does only if it is not that of an authority (`CA:FALSE`).
    pub extra_ca_pem: Vec<Vec<u8>>,
    /// Who knows the credentials.
    pub credentials: Arc<dyn Credentials>,
    /// How often and how patiently requests are tried again.
    pub retry: RetryPolicy,
    /// Told of each failure that is tried again, with the wait.
    pub on_retry: Option<Arc<OnRetry>>,
    /// If set, every call fails at once.
    pub offline: bool,
    /// How the client names itself.
    pub user_agent: String,
    /// How long to wait for servers.
    pub timeouts: Timeouts,
    /// The way out.
    pub proxy: Proxy,
    /// Uploads go in pieces of this many bytes, each of which can be sent again; `None` sends a
    /// blob in one piece, which is faster.
    pub upload_chunk: Option<u64>,
    /// Time, for tests.
    pub clock: Arc<dyn Clock>,
}

/// Told of a failure that will be tried again after a wait.
pub type OnRetry = dyn Fn(&Error, Duration) + Send + Sync;

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: BTreeMap::new(),
            public_ca: true,
            extra_ca_pem: Vec::new(),
            credentials: Arc::new(Anonymous),
            retry: RetryPolicy::default(),
            on_retry: None,
            offline: false,
            user_agent: concat!("dfbuild/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            proxy: Proxy::default(),
            upload_chunk: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("insecure", &self.insecure)
            .field("mirrors", &self.mirrors)
            .field("public_ca", &self.public_ca)
            .field("extra_ca_pem", &self.extra_ca_pem.len())
            .field("credentials", &self.credentials)
            .field("retry", &self.retry)
            .field("offline", &self.offline)
            .field("user_agent", &self.user_agent)
            .field("timeouts", &self.timeouts)
            .field("upload_chunk", &self.upload_chunk)
            .finish_non_exhaustive()
    }
}

/// How often and how patiently something is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often one thing is tried in all, at least once.
    pub tries: u32,
    /// How often it is tried in all when the host is unknown, refuses connections or stands
    /// still: that is mostly a mistake, seldom passes, or takes long to find out.
    pub connect_tries: u32,
    /// The wait before the second try; it doubles with each further one.
    pub first_wait: Duration,
    /// No wait is longer, except one that the server asked for.
    pub longest_wait: Duration,
    /// The longest `Retry-After` that is obeyed; a server that asks for more is an error.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 6,
            connect_tries: 3,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(15),
            longest_retry_after: Duration::from_secs(120),
        }
    }
}

/// How long to wait for servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a name to be found and a connection to be there.
    pub connect: Duration,
    /// For the next bytes, either way. A slow transfer is never cut off, one that stands still is.
    pub stall: Duration,
    /// For the answer to an upload, while which the registry may move and hash the blob.
    pub commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(60),
            commit: Duration::from_secs(300),
        }
    }
}

/// Proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them. This machine is never asked
/// for through a proxy.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For `http` addresses, as `http://[user:password@]host:port`.
    pub http: Option<String>,
    /// For `https` addresses.
    pub https: Option<String>,
    /// Hosts that are asked directly, in the form of [`ClientOptions::insecure`]; besides, a
    /// domain without a dot before it also stands for all below it.
    pub no_proxy: Vec<String>,
}

impl fmt::Debug for Proxy {
    /// Shows no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}
