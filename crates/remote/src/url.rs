use std::net::{IpAddr, Ipv4Addr};

use ureq::http::Uri;

use crate::Error;
use crate::address::{basic, without_secrets};

/// An `http` or `https` address, without a fragment and without a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url(Uri);

impl Url {
    /// Reads an address. A user in it (`https://user:password@host/`) comes back apart, as the
    /// value of an `Authorization` header, as Go's client and so BuildKit treat it.
    pub(crate) fn parse(text: &str) -> Result<(Self, Option<String>), Error> {
        let error = |reason| Error::Address { url: without_secrets(text), reason };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| error("it has no scheme"))?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(error("the scheme is neither http nor https"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let scheme = scheme.to_ascii_lowercase();
        let clean = encode_illegal(&format!("{scheme}://{host}{slash}{path}"));
        let uri: Uri = clean.parse().map_err(|_| error("it is malformed"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(error("it has no host"));
        }
        let authorization = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            basic(&percent_decoded(user), &percent_decoded(password))
        });
        Ok((Self(uri), authorization))
    }

    /// The address that a `Location` header names (RFC 3986, 5.2, without dot segments, which no
    /// registry sends).
    pub(crate) fn join(&self, location: &str) -> Option<Self> {
        let scheme = if self.is_https() { "https" } else { "http" };
        let authority = self.authority();
        let path = self.0.path();
        let text = if location.contains("://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.starts_with('?') {
            format!("{scheme}://{authority}{path}{location}")
        } else {
            let folder = &path[..=path.rfind('/').unwrap_or(0)];
            format!("{scheme}://{authority}{folder}{location}")
        };
        Self::parse(&text).ok().map(|(url, _)| url)
    }

    /// The address with a parameter added; `value` is encoded.
    pub(crate) fn with_query(&self, name: &str, value: &str) -> Self {
        let separator = if self.0.query().is_some() { '&' } else { '?' };
        let text = format!("{}{separator}{name}={}", self.0, percent_encoded(value));
        Self(text.parse().expect("an encoded parameter keeps an address well formed"))
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host without a port and without brackets.
    pub(crate) fn host(&self) -> &str {
        bare(self.0.host().unwrap_or_default())
    }

    /// The host with the port as it is written.
    pub(crate) fn authority(&self) -> String {
        self.0
            .authority()
            .map(|authority| authority.as_str().to_ascii_lowercase())
            .unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether what is meant for `self` may be told to `other`: the same host and port, and not
    /// in the clear what was secret.
    pub(crate) fn trusts(&self, other: &Self) -> bool {
        self.host().eq_ignore_ascii_case(other.host())
            && self.port() == other.port()
            && self.is_https() == other.is_https()
    }

    /// The last part of the path, decoded; `None` if the path ends in a slash.
    pub(crate) fn file_name(&self) -> Option<String> {
        let name = percent_decoded(self.0.path().rsplit('/').next()?);
        let usable = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
        usable.then_some(name)
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_bracket..].rfind(':') {
        Some(at) => {
            (bare(&authority[..after_bracket + at]), Some(&authority[after_bracket + at + 1..]))
        }
        None => (bare(authority), None),
    }
}

/// Whether `authority` is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let (host, _) = split_port(authority);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether one of `patterns` is `authority`: the host, with any port or with just this one; a
/// domain with all below it if it begins with a dot or `*.`; a range of IPv4 addresses
/// (`10.0.0.0/8`); or `*`.
pub(crate) fn matches(patterns: &[String], authority: &str) -> bool {
    let (host, port) = split_port(authority);
    patterns.iter().map(|pattern| pattern.trim()).filter(|p| !p.is_empty()).any(|pattern| {
        if pattern == "*" {
            return true;
        }
        if let Some((network, bits)) = pattern.split_once('/') {
            return in_network(host, network, bits);
        }
        let (name, wanted_port) = split_port(pattern);
        if wanted_port.is_some() && wanted_port != port {
            return false;
        }
        let suffix = name.strip_prefix('*').unwrap_or(name);
        match suffix.strip_prefix('.') {
            Some(domain) => {
                let host = host.to_ascii_lowercase();
                let domain = domain.to_ascii_lowercase();
                host == domain || host.strip_suffix(&domain).is_some_and(|h| h.ends_with('.'))
            }
            None => host.eq_ignore_ascii_case(name),
        }
    })
}

fn in_network(host: &str, network: &str, bits: &str) -> bool {
    let parsed = (host.parse::<Ipv4Addr>(), network.parse::<Ipv4Addr>(), bits.parse::<u32>());
    let (Ok(host), Ok(network), Ok(bits @ 0..=32)) = parsed else { return false };
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    host.to_bits() & mask == network.to_bits() & mask
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// Encodes what is not a letter, a digit or one of `-_.~`.
pub(crate) fn percent_encoded(text: &str) -> String {
    encoded_unless(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

/// Encodes what people write in addresses though it may not be there: spaces and anything outside
/// ASCII.
fn encode_illegal(text: &str) -> String {
    encoded_unless(text, |byte| byte.is_ascii_graphic())
}

fn encoded_unless(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Decodes `%41`; what is not well formed stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let hex = |at: usize| text.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let decoded = hex(at + 1).filter(|_| byte == b'%');
        bytes.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap().0
    }

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("HTTP://Host/a#b", "http://Host/a"),
            ("https://host", "https://host/"),
            ("https://host?a=b", "https://host/?a=b"),
            ("https://host/a b/ü", "https://host/a%20b/%C3%BC"),
            ("https://u:p@host:1/x", "https://host:1/x"),
        ] {
            assert_eq!(url(text).uri().to_string(), shown, "{text}");
        }
        for text in ["", "host/a", "ftp://host/", "http:///a", "http://", "http://[::1/"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        let (_, authorization) = Url::parse("https://me:a%40b@host/").unwrap();
        assert_eq!(authorization, Some(basic("me", "a@b")));
        let error = Url::parse("ftp://me:secret@host/?token=secret").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn locations() {
        let base = url("https://host:5000/v2/a/blobs/uploads/");
        for (location, expect) in [
            ("https://other/x?y=z", "https://other/x?y=z"),
            ("//other/x", "https://other/x"),
            ("/v2/a/x?_state=s%3D", "https://host:5000/v2/a/x?_state=s%3D"),
            ("?q=1", "https://host:5000/v2/a/blobs/uploads/?q=1"),
            ("uuid", "https://host:5000/v2/a/blobs/uploads/uuid"),
        ] {
            assert_eq!(base.join(location), Some(url(expect)), "{location}");
        }
        assert_eq!(base.join("ftp://x/"), None);
        let digest = url("http://h/x?_state=s").with_query("digest", "sha256:ab");
        assert_eq!(digest.uri().to_string(), "http://h/x?_state=s&digest=sha256%3Aab");
    }

    #[test]
    fn secrets_stay_with_their_host() {
        let from = url("https://r.example/v2/");
        assert!(from.trusts(&url("https://R.example:443/other")));
        for other in ["http://r.example/", "https://s.example/", "https://r.example:444/"] {
            assert!(!from.trusts(&url(other)), "{other}");
        }
    }

    #[test]
    fn names_from_paths() {
        for (text, name) in [
            ("http://h/a/b.tar.gz?x=y/z", Some("b.tar.gz")),
            ("http://h/a%20b", Some("a b")),
            ("http://h/", None),
            ("http://h/a/", None),
            ("http://h/a/%2e%2e", None),
            ("http://h/a%2fb", None),
        ] {
            assert_eq!(url(text).file_name().as_deref(), name, "{text}");
        }
    }

    #[test]
    fn loopback() {
        for host in ["localhost", "LOCALHOST:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "128.0.0.1", "127.0.0.1.example", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn host_patterns() {
        for (pattern, host, expect) in [
            ("r.example", "r.example", true),
            ("r.example", "R.example:5000", true),
            ("r.example:5000", "r.example:5000", true),
            ("r.example:5000", "r.example", false),
            ("r.example", "x.r.example", false),
            (".example", "r.example:1", true),
            ("*.example", "a.b.example", true),
            (".example", "badexample", false),
            ("10.1.0.0/16", "10.1.2.3:5000", true),
            ("10.1.0.0/16", "10.2.2.3", false),
            ("0.0.0.0/0", "10.2.2.3", true),
            ("10.1.0.0/99", "10.1.0.0", false),
            ("[::1]:80", "[::1]:80", true),
            ("*", "anything", true),
            ("", "anything", false),
        ] {
            assert_eq!(matches(&[pattern.to_owned()], host), expect, "{pattern} {host}");
        }
    }
}
