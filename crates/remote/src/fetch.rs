use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, UNIX_EPOCH};

use ureq::http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, LAST_MODIFIED, RANGE,
};
use ureq::http::{HeaderMap, HeaderValue, Method};

use crate::address::without_secrets;
use crate::client::{Access, Call};
use crate::http::{Body, Response, header, read_failure, unreachable};
use crate::pull::range_start;
use crate::retry::Failure;
use crate::url::Url;
use crate::{BlobSink, Client, Error, FetchOptions, FileInfo, Problem, Validators};

/// A file on a web server, its bytes not yet read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// What the server says of it.
    pub info: FileInfo,
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
        let source = Source::new(url, options)?;
        let response = self.retrying(&source.action, u32::MAX, |_| {
            self.ask_file(&source, Ask::All).map(|(response, _)| response)
        })?;
        let info = source.info(&response)?;
        Ok(Fetched {
            info,
            body: FetchBody {
                left: options.limit,
                limit: options.limit.unwrap_or(u64::MAX),
                reader: response.into_body().into_with_config().limit(u64::MAX).reader(),
            },
        })
    }

    /// Writes the file at `url` to `sink`, as [`Client::fetch`] gives it. A lost connection is
    /// taken up where it ended if the server can say that the file is still the same, else the
    /// sink starts again. `progress` gets the number of bytes that are there.
    pub fn download_file(
        &self,
        url: &str,
        options: &FetchOptions,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<FileInfo, Error> {
        let info =
            self.download_if_changed(url, options, &Validators::default(), sink, progress)?;
        Ok(info.expect("without validators every file is new"))
    }

    /// The same for a file of which a version is known; `None`, with nothing written, if the server
    /// says that it is still that one.
    pub fn download_if_changed(
        &self,
        url: &str,
        options: &FetchOptions,
        known: &Validators,
        sink: &mut dyn BlobSink,
        progress: &dyn Fn(u64),
    ) -> Result<Option<FileInfo>, Error> {
        let source = Source::new(url, options)?;
        let mut done = 0_u64;
        let mut validator: Option<String> = None;
        self.retrying(&source.action, u32::MAX, |_| {
            let resume = validator.as_deref().filter(|_| done > 0).map(|tag| (done, tag));
            let ask = resume.map_or(Ask::IfOther(known), |(offset, tag)| Ask::From(offset, tag));
            let (mut response, address) = self.ask_file(&source, ask)?;
            let asked = resume.is_none() && !known.is_empty();
            if response.status().as_u16() == 304 {
                if asked {
                    return Ok(None);
                }
                let reason = "it says that nothing changed, but nothing was known".to_owned();
                return Err(unreachable(&source.action, &address, Problem::Protocol, reason));
            }
            let begins = match response.status().as_u16() {
                206 => header(&response, CONTENT_RANGE.as_str()).and_then(range_start),
                _ => Some(0),
            };
            let failed = |e| Error::Sink { action: source.action.clone(), source: e };
            match begins {
                Some(begin) if begin == done => {}
                Some(0) => {
                    sink.restart().map_err(failed)?;
                    done = 0;
                }
                _ => {
                    validator = None;
                    let reason = "it sent another range than was asked for".to_owned();
                    return Err(unreachable(&source.action, &address, Problem::Protocol, reason));
                }
            }
            let mut info = source.info(&response)?;
            info.size = info.size.map(|rest| rest + done);
            // A weak tag is also that of a file that is only nearly the same.
            validator = info.etag.clone().filter(|tag| !tag.starts_with("W/"));
            let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
            let mut buffer = vec![0; BUFFER];
            loop {
                let count = match reader.read(&mut buffer) {
                    Ok(0) => return Ok(Some(info)),
                    Ok(count) => count,
                    Err(error) => return Err(read_failure(&source.action, &address, &error)),
                };
                done += count as u64;
                if let Some(limit) = options.limit.filter(|&limit| done > limit) {
                    return Err(Error::TooLarge { action: source.action.clone(), limit }.into());
                }
                sink.write(&buffer[..count]).map_err(failed)?;
                progress(done);
            }
        })
    }

    /// Asks for a file.
    fn ask_file(&self, source: &Source<'_>, ask: Ask<'_>) -> Result<(Response, Url), Failure> {
        let mut headers = HeaderMap::new();
        // What is stored there is wanted, not what it would be unpacked.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut add = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        match ask {
            Ask::All => {}
            Ask::From(offset, tag) => {
                add(RANGE, &format!("bytes={offset}-"));
                add(IF_RANGE, tag);
            }
            Ask::IfOther(known) => {
                // A server that knows both only looks at the tag (RFC 9110, 13.1.3).
                if let Some(tag) = &known.etag {
                    add(IF_NONE_MATCH, tag);
                }
                let date = known.last_modified.and_then(|at| u64::try_from(at).ok());
                if let Some(date) = date {
                    let date = UNIX_EPOCH + Duration::from_secs(date);
                    add(IF_MODIFIED_SINCE, &httpdate::fmt_http_date(date));
                }
            }
        }
        self.perform(&Call {
            action: &source.action,
            method: &Method::GET,
            url: &source.url,
            headers: &headers,
            body: Body::None,
            access: Access::Fixed(source.authorization.as_deref()),
            expected: &[],
        })
    }
}

/// What of a file is asked for.
#[derive(Clone, Copy)]
enum Ask<'a> {
    All,
    /// What follows an offset, if the file still has that tag.
    From(u64, &'a str),
    /// All of it, unless it is the version that is known.
    IfOther(&'a Validators),
}

/// A file that is asked for.
struct Source<'a> {
    action: String,
    url: Url,
    authorization: Option<String>,
    options: &'a FetchOptions,
}

impl<'a> Source<'a> {
    fn new(url: &str, options: &'a FetchOptions) -> Result<Self, Error> {
        let action = format!("fetch {}", without_secrets(url));
        let (url, user) = Url::parse(url)?;
        let authorization = options.authorization.clone().or(user);
        Ok(Self { action, url, authorization, options })
    }

    fn info(&self, response: &Response) -> Result<FileInfo, Error> {
        let size = header(response, CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok());
        if let (Some(size), Some(limit)) = (size, self.options.limit)
            && size > limit
        {
            return Err(Error::TooLarge { action: self.action.clone(), limit });
        }
        Ok(FileInfo {
            last_modified: header(response, LAST_MODIFIED.as_str()).and_then(seconds),
            etag: header(response, ETAG.as_str()).map(ToOwned::to_owned),
            size,
            name: self.url.file_name(),
        })
    }
}

/// Read at once.
const BUFFER: usize = 64 * 1024;

fn seconds(date: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(date).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}
