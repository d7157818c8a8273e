use std::fmt;
use std::io::{self, Read};

use ureq::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use ureq::http::{HeaderMap, HeaderValue, Method};

use crate::client::{Access, Call};
use crate::http::{Body, header};
use crate::url::{Url, without_secrets};
use crate::{Client, Error};

/// How something is fetched from a web server.
#[derive(Clone, Default)]
pub struct FetchOptions {
    /// The value of an `Authorization` header, sent to the first host alone.
    pub authorization: Option<String>,
    /// More bytes than this are an error.
    pub limit: Option<u64>,
}

impl fmt::Debug for FetchOptions {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOptions").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// A file on a web server, its bytes not yet read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// `Last-Modified` in seconds since 1970 UTC.
    pub last_modified: Option<i64>,
    /// `ETag`, as it was sent.
    pub etag: Option<String>,
    /// How many bytes will come, if the server says so.
    pub size: Option<u64>,
    /// The last part of the address's path, decoded, and not that of a redirect (BuildKit
    /// `source/http`); `None` if the path has none.
    pub name: Option<String>,
    /// The bytes.
    pub body: FetchBody,
}

/// The bytes of a [`Fetched`]. The end is an error if fewer came than the server had promised, or
/// more than are allowed.
pub struct FetchBody {
    reader: ureq::BodyReader<'static>,
    left: Option<u64>,
    limit: u64,
}

impl fmt::Debug for FetchBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Read for FetchBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(count as u64) else {
                let text = format!("more than {} bytes", self.limit);
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
            };
            *left = rest;
        }
        Ok(count)
    }
}

impl Client {
    /// Asks a web server for the file at `url`, following redirects. Any status from 400 on is an
    /// error. Until the first bytes come it is tried again, as the other calls are; what is lost
    /// while [`Fetched::body`] is read is an error there.
    pub fn fetch(&self, url: &str, options: &FetchOptions) -> Result<Fetched, Error> {
        let action = format!("fetch {}", without_secrets(url));
        let (address, user) = Url::parse(url)?;
        let authorization = options.authorization.clone().or(user);
        let mut headers = HeaderMap::new();
        // What is stored there is wanted, not what it would be unpacked.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let response = self.retrying(&action, u32::MAX, |_| {
            let (response, _) = self.perform(&Call {
                action: &action,
                method: &Method::GET,
                url: &address,
                headers: &headers,
                body: Body::None,
                access: Access::Fixed(authorization.as_deref()),
                expected: &[],
            })?;
            Ok(response)
        })?;
        let size = header(&response, CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok());
        if let (Some(size), Some(limit)) = (size, options.limit)
            && size > limit
        {
            return Err(Error::TooLarge { action, limit });
        }
        Ok(Fetched {
            last_modified: header(&response, LAST_MODIFIED.as_str()).and_then(seconds),
            etag: header(&response, ETAG.as_str()).map(ToOwned::to_owned),
            size,
            name: address.file_name(),
            body: FetchBody {
                left: options.limit,
                limit: options.limit.unwrap_or(u64::MAX),
                reader: response.into_body().into_with_config().limit(u64::MAX).reader(),
            },
        })
    }
}

fn seconds(date: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(date).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}
