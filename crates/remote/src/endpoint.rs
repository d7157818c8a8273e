use ureq::http::{HeaderMap, Method};

use crate::http::{Body, header};
use crate::retry::Failure;
use crate::url::{Url, is_loopback};
use crate::{Client, Error, Problem};

/// Where a registry's API is, once it is known how to speak with it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// The registry as people and credentials name it: `docker.io`, `host:5000`.
    pub(crate) name: String,
    base: Url,
    /// Goes before the repository's name on a mirror that keeps many registries.
    prefix: String,
}

impl Endpoint {
    /// The repository's name there.
    pub(crate) fn repository(&self, repository: &str) -> String {
        if self.prefix.is_empty() {
            repository.to_owned()
        } else {
            format!("{}/{repository}", self.prefix)
        }
    }

    /// The address of `path` of a repository, as `manifests/latest`.
    pub(crate) fn url(&self, repository: &str, path: &str) -> Result<Url, Error> {
        let base = self.base.uri().to_string();
        let text = format!("{base}v2/{}/{path}", self.repository(repository));
        Url::parse(&text).map(|(url, _)| url)
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether certificates are checked: never on this machine, as Docker does not.
    pub(crate) fn verify(&self) -> bool {
        !is_loopback(&self.base.authority())
    }
}

/// Docker Hub's registry does not have the name of Docker Hub.
fn host_of(registry: &str) -> &str {
    if registry == "docker.io" { "registry-1.docker.io" } else { registry }
}

impl Client {
    /// How to speak with `place`, a registry or a mirror `[http[s]://]host[:port][/path]`.
    ///
    /// Anything but `https` needs a registry on this machine or one named as insecure. Which of
    /// the two it speaks is found out once. On this machine `http` comes first: a server that
    /// expects TLS refuses it at once, while one that expects text may wait for ever for the end
    /// of a line in a TLS greeting. Elsewhere `https` comes first, so that no secret is sent in
    /// the clear without need.
    pub(crate) fn endpoint(&self, action: &str, place: &str) -> Result<Endpoint, Failure> {
        let (scheme, rest) = match place.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, place),
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host_of(name);
        let make = |scheme: &str| -> Result<Endpoint, Failure> {
            let (base, _) = Url::parse(&format!("{scheme}://{host}/"))?;
            let prefix = prefix.trim_matches('/').to_owned();
            Ok(Endpoint { name: name.to_owned(), base, prefix })
        };
        if let Some(scheme) = scheme {
            return make(scheme);
        }
        let loopback = is_loopback(host);
        if !loopback && !self.agents().is_insecure(host) {
            return make("https");
        }
        if let Some(scheme) = self.known_scheme(host) {
            return make(scheme);
        }
        let order = if loopback { ["http", "https"] } else { ["https", "http"] };
        let mut first = None;
        for scheme in order {
            let endpoint = make(scheme)?;
            match self.speaks(action, &endpoint) {
                Ok(true) => {
                    self.remember_scheme(host, scheme);
                    return Ok(endpoint);
                }
                Ok(false) => {}
                // Another protocol does not help where there is nobody.
                Err(failure) if !is_protocol(&failure.error) => {
                    return Err(first.unwrap_or(failure));
                }
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        // Both answered, but neither sensibly: the first is the likelier one.
        match first {
            Some(failure) => Err(failure),
            None => make(order[0]),
        }
    }

    /// Whether the server there answers as it should, with whatever status.
    fn speaks(&self, action: &str, endpoint: &Endpoint) -> Result<bool, Failure> {
        let (url, _) = Url::parse(&format!("{}v2/", endpoint.base.uri()))?;
        let none = HeaderMap::new();
        let verify = endpoint.verify();
        let answer =
            self.agents().exchange(action, &url, &Method::GET, &none, Body::None, verify)?;
        // What servers for TLS say in the clear: Go's and nginx's 400 "… HTTPS …".
        let wrong_port = !url.is_https()
            && answer.status().as_u16() == 400
            && header(&answer, "docker-distribution-api-version").is_none();
        Ok(!wrong_port)
    }
}

/// Whether this may come from speaking the wrong protocol.
fn is_protocol(error: &Error) -> bool {
    matches!(
        error,
        Error::Unreachable { problem: Problem::Tls | Problem::Protocol | Problem::Dropped, .. }
    )
}
