use std::io::{self, Read};

use dfbuild_image::{Descriptor, Digest, Reference};
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use ureq::http::{HeaderMap, HeaderValue, Method};

use crate::client::{Access, Call};
use crate::endpoint::Endpoint;
use crate::http::{Body, Response, header};
use crate::registry::digest_in;
use crate::retry::{Failure, Tries};
use crate::scope::Scope;
use crate::upload::Upload;
use crate::url::Url;
use crate::{Client, Error, Pushed};

/// The size of pieces for a registry that finds a whole blob too large.
const SMALLER: u64 = 16 * 1024 * 1024;

impl Client {
    /// Sees to it that the blob of `descriptor` is in the repository of `reference`. It is sent
    /// only if it is neither there nor in the repository `mount_from` of the same registry.
    ///
    /// `open` opens the blob from its beginning, each time that it has to be sent; `progress`
    /// gets the number of bytes that were sent.
    pub fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        open: &dyn Fn() -> io::Result<Box<dyn Read>>,
        mount_from: Option<&Reference>,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, Error> {
        let name = format!("{}/{}", reference.registry, reference.repository);
        let action = format!("push blob {} to {name}", descriptor.digest());
        let digest = digest_in(&action, descriptor)?;
        if self.has_blob(reference, descriptor)? {
            return Ok(Pushed::Existed);
        }
        let mount = mount_from.filter(|from| {
            from.registry == reference.registry && from.repository != reference.repository
        });
        let mut session = None;
        if let Some(from) = mount {
            match self.mount(&action, reference, from, digest) {
                Ok(None) => return Ok(Pushed::Mounted),
                Ok(Some(location)) => session = Some(location),
                // Rights for the other repository may be missing; then it is sent.
                Err(error) if error.status().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        let mut push = Push {
            action: &action,
            repository: &reference.repository,
            scopes: [Scope::push(&reference.repository)],
            digest,
            size: descriptor.size(),
            upload: Upload::new(open, progress),
            chunk: self.options().upload_chunk.map(|size| size.max(1)),
            session: session.map(|location| Session { location, done: 0, least: 0, unsure: false }),
            sent: false,
        };
        self.at_registry(&action, reference, |endpoint, tries| {
            self.send_blob(endpoint, &mut push, tries)
        })?;
        Ok(Pushed::Uploaded)
    }

    /// Whether the blob is in the repository of `reference`.
    pub fn has_blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<bool, Error> {
        let name = format!("{}/{}", reference.registry, reference.repository);
        let action = format!("look for blob {} in {name}", descriptor.digest());
        let digest = digest_in(&action, descriptor)?;
        // The caller goes on to push, so that one token does for all of it.
        let scopes = [Scope::push(&reference.repository)];
        self.at_registry(&action, reference, |endpoint, _| {
            self.exists(&action, endpoint, &reference.repository, &scopes, digest)
        })
    }

    fn exists(
        &self,
        action: &str,
        endpoint: &Endpoint,
        repository: &str,
        scopes: &[Scope],
        digest: Digest,
    ) -> Result<bool, Failure> {
        let (response, _) = self.perform(&Call {
            action,
            method: &Method::HEAD,
            url: &endpoint.url(repository, &format!("blobs/{digest}"))?,
            headers: &HeaderMap::new(),
            body: Body::None,
            access: Access::Registry(endpoint, scopes),
            expected: &[404],
        })?;
        Ok(response.status().as_u16() != 404)
    }

    /// Asks for a blob of another repository: `None` if it is mounted, else the upload that the
    /// registry began instead.
    fn mount(
        &self,
        action: &str,
        reference: &Reference,
        from: &Reference,
        digest: Digest,
    ) -> Result<Option<Url>, Error> {
        let scopes = Scope::mount(&reference.repository, &from.repository);
        self.at_registry(action, reference, |endpoint, _| {
            let url = endpoint.url(&reference.repository, "blobs/uploads/")?;
            let url = url.with_query("mount", &digest.to_string());
            let url = url.with_query("from", &from.repository);
            let (response, url) = self.perform(&Call {
                action,
                method: &Method::POST,
                url: &url,
                headers: &HeaderMap::new(),
                body: Body::None,
                access: Access::Registry(endpoint, &scopes),
                expected: &[],
            })?;
            if response.status().as_u16() == 201 {
                return Ok(None);
            }
            location(action, &response, &url).map(Some)
        })
    }

    /// One try to send the blob, in one piece or from where the last try ended.
    fn send_blob(
        &self,
        endpoint: &Endpoint,
        push: &mut Push<'_>,
        tries: &mut Tries<'_>,
    ) -> Result<(), Failure> {
        // The answer to the last try may have been lost, but not the blob.
        if push.sent {
            push.sent = false;
            if self.exists(push.action, endpoint, push.repository, &push.scopes, push.digest)? {
                return Ok(());
            }
        }
        let Some(chunk) = push.chunk else {
            return match self.send_whole(endpoint, push) {
                Err(failure) if failure.error.status() == Some(413) && push.size > SMALLER => {
                    push.chunk = Some(SMALLER);
                    self.send_chunks(endpoint, push, SMALLER, tries)
                }
                other => other,
            };
        };
        self.send_chunks(endpoint, push, chunk, tries)
    }

    fn send_whole(&self, endpoint: &Endpoint, push: &mut Push<'_>) -> Result<(), Failure> {
        let session = match push.session.take() {
            Some(session) => session,
            None => self.begin(endpoint, push)?,
        };
        push.sent = true;
        self.perform(&Call {
            action: push.action,
            method: &Method::PUT,
            url: &session.location.with_query("digest", &push.digest.to_string()),
            headers: &octets(None),
            body: Body::Part(&push.upload, 0, push.size),
            access: Access::Registry(endpoint, &push.scopes),
            expected: &[],
        })?;
        Ok(())
    }

    fn send_chunks(
        &self,
        endpoint: &Endpoint,
        push: &mut Push<'_>,
        chunk: u64,
        tries: &mut Tries<'_>,
    ) -> Result<(), Failure> {
        let mut session = match push.session.take() {
            // Only the registry knows how much of the last piece came.
            Some(session) if session.unsure => match self.ask_progress(endpoint, push, &session)? {
                Some(session) => session,
                None => self.begin(endpoint, push)?,
            },
            Some(session) => session,
            None => self.begin(endpoint, push)?,
        };
        while session.done < push.size {
            let length = chunk.max(session.least).min(push.size - session.done);
            let range = format!("{}-{}", session.done, session.done + length - 1);
            push.session = Some(Session { unsure: true, ..session.clone() });
            let (response, url) = self.perform(&Call {
                action: push.action,
                method: &Method::PATCH,
                url: &session.location,
                headers: &octets(Some(&range)),
                body: Body::Part(&push.upload, session.done, length),
                access: Access::Registry(endpoint, &push.scopes),
                expected: &[416],
            })?;
            let came = header(&response, RANGE.as_str()).and_then(range_length);
            if response.status().as_u16() == 416 {
                let error = Error::Malformed {
                    action: push.action.to_owned(),
                    reason: format!("the registry does not take bytes {range} now"),
                };
                return Err(Failure::again(error));
            }
            session.location = location(push.action, &response, &url)?;
            session.done = came.unwrap_or(session.done + length).min(push.size);
            tries.reset();
        }
        push.session = Some(Session { unsure: true, ..session.clone() });
        push.sent = true;
        self.perform(&Call {
            action: push.action,
            method: &Method::PUT,
            url: &session.location.with_query("digest", &push.digest.to_string()),
            headers: &octets(None),
            body: Body::Bytes(&[]),
            access: Access::Registry(endpoint, &push.scopes),
            expected: &[],
        })?;
        Ok(())
    }

    fn begin(&self, endpoint: &Endpoint, push: &Push<'_>) -> Result<Session, Failure> {
        let (response, url) = self.perform(&Call {
            action: push.action,
            method: &Method::POST,
            url: &endpoint.url(push.repository, "blobs/uploads/")?,
            headers: &HeaderMap::new(),
            body: Body::None,
            access: Access::Registry(endpoint, &push.scopes),
            expected: &[],
        })?;
        let least = header(&response, "oci-chunk-min-length").and_then(|n| n.parse().ok());
        let location = location(push.action, &response, &url)?;
        Ok(Session { location, done: 0, least: least.unwrap_or(0), unsure: false })
    }

    /// How far an upload got; `None` if the registry forgot it.
    fn ask_progress(
        &self,
        endpoint: &Endpoint,
        push: &Push<'_>,
        session: &Session,
    ) -> Result<Option<Session>, Failure> {
        let (response, url) = self.perform(&Call {
            action: push.action,
            method: &Method::GET,
            url: &session.location,
            headers: &HeaderMap::new(),
            body: Body::None,
            access: Access::Registry(endpoint, &push.scopes),
            expected: &[400, 404, 405],
        })?;
        if response.status().as_u16() >= 400 {
            return Ok(None);
        }
        let Ok(location) = location(push.action, &response, &url) else { return Ok(None) };
        let done = header(&response, RANGE.as_str()).and_then(range_length).unwrap_or(0);
        Ok(Some(Session { location, done: done.min(push.size), unsure: false, ..session.clone() }))
    }
}

/// A blob on its way.
struct Push<'a> {
    action: &'a str,
    repository: &'a str,
    scopes: [Scope; 1],
    digest: Digest,
    size: u64,
    upload: Upload<'a>,
    chunk: Option<u64>,
    session: Option<Session>,
    /// Whether the whole blob was sent once, with an answer or without.
    sent: bool,
}

/// An upload that a registry began.
#[derive(Debug, Clone)]
struct Session {
    location: Url,
    /// How many bytes the registry has.
    done: u64,
    /// The least that it takes in one piece, but for the last.
    least: u64,
    /// Whether `done` may be wrong.
    unsure: bool,
}

fn octets(range: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(range) = range {
        let value = HeaderValue::from_str(range).expect("digits are a value");
        headers.insert(CONTENT_RANGE, value);
    }
    headers
}

/// Where the upload goes on.
fn location(action: &str, response: &Response, url: &Url) -> Result<Url, Failure> {
    let location = header(response, LOCATION.as_str()).and_then(|location| url.join(location));
    location.ok_or_else(|| {
        let reason = "it does not say where to upload to".to_owned();
        Error::Malformed { action: action.to_owned(), reason }.into()
    })
}

/// How many bytes there are if `0-9` are. Registries write `0-0` also for none: then the first
/// byte is sent with the rest, and the digest tells.
fn range_length(value: &str) -> Option<u64> {
    let range = value.strip_prefix("bytes=").unwrap_or(value);
    let last: u64 = range.split('-').nth(1)?.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (value, length) in [
            ("0-9", Some(10)),
            ("bytes=0-1023", Some(1024)),
            ("0-0", Some(0)),
            ("0--1", None),
            ("", None),
        ] {
            assert_eq!(range_length(value), length, "{value}");
        }
    }
}
