//! Git references as `ADD` and build contexts take them.

/// A git reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitRef {
    /// The repository for git's command line.
    pub remote: String,
    /// The name of the repository's folder.
    pub short_name: String,
    /// A commit, tag or branch; empty for the default branch.
    pub reference: String,
    /// The commit the reference must be.
    pub checksum: String,
    /// A folder inside the repository.
    pub sub_dir: String,
    /// Looks just like a local path, `github.com/a/b`: only for build contexts.
    pub indistinguishable_from_local: bool,
    /// Needs a connection that is not encrypted.
    pub unencrypted_tcp: bool,
    /// `keep-git-dir`, if given.
    pub keep_git_dir: Option<bool>,
    /// `submodules`, if given.
    pub submodules: Option<bool>,
    /// `mtime`, if given: `checkout` or `commit`.
    pub mtime: String,
    /// `fetch-by-commit`.
    pub fetch_by_commit: bool,
}

/// A git reference with parts that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GitRefError {
    /// The text, in the words of the reference implementation.
    pub message: String,
}

/// Reads a git reference; `None` if it is not one but a path or a URL of something else.
pub fn parse(reference: &str) -> Result<Option<GitRef>, GitRefError> {
    let _ = reference;
    Ok(None)
}
