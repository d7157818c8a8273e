use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// The name of an image, with the defaults filled in that people leave out: `ubuntu` is
/// `docker.io/library/ubuntu:latest` (distribution `reference.ParseNormalizedNamed`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Registry host with an optional port; `docker.io` if none was named.
    pub registry: String,
    /// Path of the repository; `library/…` on Docker Hub if there was no slash.
    pub repository: String,
    /// The tag; `None` only beside a digest.
    pub tag: Option<String>,
    /// The digest of the manifest, if it was pinned.
    pub digest: Option<Digest>,
}

impl Reference {
    /// The short name that people type and `docker images` shows: `ubuntu`, `me/app`,
    /// `registry.example/app`; without tag and digest.
    pub fn familiar_name(&self) -> String {
        if self.registry != DOCKER_HUB {
            return format!("{}/{}", self.registry, self.repository);
        }
        let short = self.repository.strip_prefix("library/");
        short.filter(|rest| !rest.contains('/')).unwrap_or(&self.repository).to_owned()
    }

    /// Registry and repository: `docker.io/library/ubuntu`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The image with the digest `digest` in the same repository.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

const DOCKER_HUB: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference `{text}`: {reason}")]
pub struct ParseReferenceError {
    /// The text that was given.
    pub text: String,
    /// What is wrong with it, and what to write instead if that is known.
    pub reason: String,
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error =
            |reason: &str| ParseReferenceError { text: text.to_owned(), reason: reason.to_owned() };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| error("malformed digest"))?))
            }
            None => (text, None),
        };
        // A colon after the last slash begins the tag; one before it is the registry's port.
        let colon = rest.rfind(':').filter(|&at| !rest[at..].contains('/'));
        let (name, tag) = match colon {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (host, path.to_owned()),
            _ => (DOCKER_HUB, name.to_owned()),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        let repository = if registry == DOCKER_HUB && !path.contains('/') && !path.is_empty() {
            format!("library/{path}")
        } else {
            path
        };
        if repository.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(error(&has_capitals(text, name)));
        }
        if !repository.split('/').all(is_component) {
            return Err(error("expected `[registry/]name[:tag][@digest]`"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(error("a tag has at most 128 letters, digits, `_`, `.` and `-`"));
        }
        let tag = tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None });
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(ToOwned::to_owned),
            digest,
        })
    }
}

/// What is wrong with capitals, and the name without them if there is nothing else wrong with it.
fn has_capitals(text: &str, name: &str) -> String {
    let host = name.split_once('/').map_or("", |(host, _)| host);
    let host = if is_host(host) { host } else { "" };
    let (path, rest) = text.split_at(name.len());
    let instead = format!("{host}{}{rest}", path[host.len()..].to_ascii_lowercase());
    match instead.parse::<Reference>() {
        Ok(_) => format!("repository name must be lowercase: write `{instead}`"),
        Err(_) => "repository name must be lowercase".to_owned(),
    }
}

/// The first part of a name is a host if it could not be a repository: it has a dot or a port, or
/// is `localhost`, or has a capital letter.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|b| b.is_ascii_uppercase())
}

/// Lower-case letters and digits, with single separators `.`, `_`, `__` or any number of `-`.
fn is_component(part: &str) -> bool {
    let bytes = part.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !(bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric)) {
        return false;
    }
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    separators
        .filter(|s| !s.is_empty())
        .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && word(bytes[0])
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_filled_in() {
        for (given, full, familiar) in [
            ("ubuntu:16.04", "docker.io/library/ubuntu:16.04", "ubuntu"),
            ("base", "docker.io/library/base:latest", "base"),
            ("me/app", "docker.io/me/app:latest", "me/app"),
            ("localhost/app:1", "localhost/app:1", "localhost/app"),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest", "127.0.0.1:5000/a/b"),
            ("index.docker.io/library/x", "docker.io/library/x:latest", "x"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest", "a__b/c--d.e"),
        ] {
            let reference: Reference = given.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar_name(), familiar);
        }
    }

    #[test]
    fn digest_takes_the_place_of_the_tag() {
        let pinned = format!("x@{}", Digest::of("m"));
        let reference: Reference = pinned.parse().unwrap();
        assert_eq!((reference.tag, reference.digest), (None, Some(Digest::of("m"))));
    }

    #[test]
    fn capitals_have_small_letters_instead() {
        for (text, instead) in [
            ("Bad:V1", Some("bad:V1")),
            ("me/App", Some("me/app")),
            ("Host/App:1", Some("Host/app:1")),
            ("127.0.0.1:5000/A/b", Some("127.0.0.1:5000/a/b")),
            ("No Name", None),
        ] {
            let ParseReferenceError { reason, .. } = text.parse::<Reference>().unwrap_err();
            let expect = instead.map_or(String::new(), |instead| format!(": write `{instead}`"));
            assert_eq!(reason, format!("repository name must be lowercase{expect}"), "{text}");
        }
    }

    #[test]
    fn bad_names() {
        for text in ["", "Foo", "a/", "a//b", "a:", "a:b c", "-a", "a@sha256:12", "a._b", ":tag"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
