use std::fmt;

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

/// What a web server says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// `Last-Modified` in seconds since 1970 UTC.
    pub last_modified: Option<i64>,
    /// `ETag`, as it was sent.
    pub etag: Option<String>,
    /// How many bytes it has, if the server says so.
    pub size: Option<u64>,
    /// The last part of the address's path, decoded, and not that of a redirect (BuildKit
    /// `source/http`); `None` if the path has none.
    pub name: Option<String>,
}

/// How a version of a file is known again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// Its `ETag`, as it was sent.
    pub etag: Option<String>,
    /// Its `Last-Modified` in seconds since 1970 UTC.
    pub last_modified: Option<i64>,
}

impl Validators {
    #[cfg(feature = "http")]
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
