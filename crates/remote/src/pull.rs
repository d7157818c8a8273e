use std::io::Read;

use dfbuild_image::Hasher;
use dfbuild_image::{Descriptor, Digest, Reference};
use ureq::http::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use ureq::http::{HeaderMap, HeaderValue, Method};

use crate::client::{Access, Call};
use crate::endpoint::Endpoint;
use crate::http::{Body, Response, header, read_failure};
use crate::registry::digest_in;
use crate::retry::Failure;
use crate::scope::Scope;
use crate::url::Url;
use crate::{BlobSink, Client, Error, Problem};

/// Read at once.
const CHUNK: usize = 256 * 1024;
/// A download that got this much further begins to count its tries anew.
const PROGRESS: u64 = 1024 * 1024;
/// Wrong bytes are seldom right the next time: they are fetched this often from one place.
const CORRUPT_TRIES: u32 = 2;

impl Client {
    /// Writes the blob of `descriptor` to `sink`, all of it and nothing else: after `Ok`, its
    /// length and digest are right; after an error, whatever was written is worth nothing.
    ///
    /// A lost connection is taken up where it ended, by a range if the server knows them. Wrong
    /// bytes make the sink start again. `progress` gets the number of bytes that are there.
    pub fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let name = format!("{}/{}", reference.registry, reference.repository);
        let action = format!("pull blob {} of {name}", descriptor.digest());
        let expected = digest_in(&action, descriptor)?;
        let mut download = Download {
            action: &action,
            expected,
            size: descriptor.size(),
            done: 0,
            hasher: Hasher::new(),
            sink,
            progress,
            corrupt: 0,
            ranges: true,
        };
        let mut place = String::new();
        self.at_mirrors(&action, reference, |endpoint, tries| {
            if place != endpoint.name {
                place.clone_from(&endpoint.name);
                download.corrupt = 0;
                download.ranges = true;
            }
            let before = download.done;
            let result = self.download(endpoint, reference, &mut download);
            if download.done >= before.saturating_add(PROGRESS) {
                tries.reset();
            }
            result
        })
    }

    fn download(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        download: &mut Download<'_>,
    ) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        // The digest is that of the bytes as they are stored.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // Nothing of the blob is missing if only its end was lost; the digest is not known yet.
        if download.done > 0 && download.done < download.size && download.ranges {
            let range = format!("bytes={}-", download.done);
            headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits are a value"));
        }
        if download.done < download.size || download.size == 0 {
            let (mut response, url) = self.perform(&Call {
                action: download.action,
                method: &Method::GET,
                url: &endpoint
                    .url(&reference.repository, &format!("blobs/{}", download.expected))?,
                headers: &headers,
                body: Body::None,
                access: Access::Registry(
                    endpoint,
                    &[Scope::pull(&endpoint.repository(&reference.repository))],
                ),
                expected: &[416],
            })?;
            download.receive(&mut response, &url)?;
        }
        download.check(&endpoint.base().authority())
    }
}

/// A blob on its way.
struct Download<'a> {
    action: &'a str,
    expected: Digest,
    size: u64,
    /// How many bytes are there; the hasher had exactly these.
    done: u64,
    hasher: Hasher,
    sink: &'a mut dyn BlobSink,
    progress: &'a dyn Fn(u64),
    /// How often the bytes from this place were wrong.
    corrupt: u32,
    /// Whether ranges are asked for.
    ranges: bool,
}

impl Download<'_> {
    /// Takes the bytes of one answer, skipping those that are there.
    fn receive(&mut self, response: &mut Response, url: &Url) -> Result<(), Failure> {
        let start = match response.status().as_u16() {
            206 => header(response, CONTENT_RANGE.as_str()).and_then(range_start),
            // The server does not know ranges, and sends all of it.
            200 => Some(0),
            _ => None,
        };
        let Some(start) = start.filter(|&start| start <= self.done) else {
            self.ranges = false;
            let reason = "it sent another range than was asked for".to_owned();
            return Err(crate::http::unreachable(self.action, url, Problem::Protocol, reason));
        };
        let mut skip = self.done - start;
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(read_failure(self.action, url, &error)),
            };
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
            skip -= skipped as u64;
            self.take(&buffer[skipped..count], url)?;
        }
        if self.done < self.size {
            let reason = format!("{} of {} bytes came", self.done, self.size);
            return Err(crate::http::unreachable(self.action, url, Problem::Dropped, reason));
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], url: &Url) -> Result<(), Failure> {
        let after = self.done + bytes.len() as u64;
        if after > self.size {
            let error = Error::wrong_length(self.action, &url.authority(), self.size, after);
            return Err(self.wrong(error));
        }
        let sunk = self.sink.write(bytes);
        sunk.map_err(|source| Error::Sink { action: self.action.to_owned(), source })?;
        self.hasher.update(bytes);
        self.done = after;
        if !bytes.is_empty() {
            (self.progress)(self.done);
        }
        Ok(())
    }

    /// Compares the digest of all that came.
    fn check(&mut self, host: &str) -> Result<(), Failure> {
        let found = std::mem::take(&mut self.hasher).finish();
        if found == self.expected {
            return Ok(());
        }
        let error = Error::corrupt(self.action, host, self.expected, found);
        Err(self.wrong(error))
    }

    /// Begins again after wrong bytes, if that is possible and not hopeless.
    fn wrong(&mut self, error: Error) -> Failure {
        self.hasher = Hasher::new();
        self.done = 0;
        self.corrupt += 1;
        if self.sink.restart().is_err() {
            return error.into();
        }
        (self.progress)(0);
        if self.corrupt >= CORRUPT_TRIES { error.into() } else { Failure::again(error) }
    }
}

/// The first byte of `bytes 10-19/20`.
pub(crate) fn range_start(value: &str) -> Option<u64> {
    let range = value.strip_prefix("bytes")?.trim_start();
    range.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (value, start) in [
            ("bytes 10-19/20", Some(10)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */20", None),
            ("lines 1-2/3", None),
            ("", None),
        ] {
            assert_eq!(range_start(value), start, "{value}");
        }
    }
}
