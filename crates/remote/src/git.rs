//! Sources from git, by the program `git`.

#[cfg(feature = "http")]
mod resolve;
#[cfg(feature = "http")]
mod run;

use std::ffi::OsString;
use std::path::PathBuf;

/// The program `git` and what it is allowed.
#[derive(Clone)]
pub struct Git {
    /// The program, found by the caller.
    pub program: PathBuf,
    /// Its whole environment: `PATH` for what it runs itself, `HOME` and `SSH_AUTH_SOCK` if the
    /// user's configuration and keys may be used.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether repositories may be paths of this machine. A submodule could name any.
    pub allow_local: bool,
}

impl std::fmt::Debug for Git {
    /// Shows no environment, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Git")
            .field("program", &self.program)
            .field("allow_local", &self.allow_local)
            .finish_non_exhaustive()
    }
}

impl Git {
    /// The same program, which sends `authorization` as a header of that name to the web server of
    /// `url`, and to no other.
    #[must_use = "the program is returned"]
    pub fn with_authorization(mut self, url: &str, authorization: &str) -> Self {
        // Not an argument, which every user of the machine could read.
        const COUNT: &str = "GIT_CONFIG_COUNT";
        let Some((scheme, rest)) = url.split_once("://") else { return self };
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let is_count = |(name, _): &&mut (OsString, OsString)| name == COUNT;
        let known = self.environment.iter_mut().find(is_count);
        let count: usize =
            known.as_ref().and_then(|(_, count)| count.to_str()?.parse().ok()).unwrap_or_default();
        let next = OsString::from((count + 1).to_string());
        match known {
            Some((_, count)) => *count = next,
            None => self.environment.push((COUNT.into(), next)),
        }
        let key = format!("http.{scheme}://{host}/.extraheader");
        let value = format!("Authorization: {authorization}");
        for (name, value) in [("KEY", key), ("VALUE", value)] {
            self.environment.push((format!("GIT_CONFIG_{name}_{count}").into(), value.into()));
        }
        self
    }
}

/// What to check out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkout {
    /// The repository, in any form that git knows.
    pub url: String,
    /// A branch, tag or commit; the repository's own choice if `None`.
    pub reference: Option<String>,
    /// Leaves submodules out.
    pub no_submodules: bool,
    /// Keeps the folder `.git`.
    pub keep_git_dir: bool,
}

/// What was checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedOut {
    /// The full name of the commit.
    pub commit: String,
    /// When it was committed, in seconds since 1970 UTC.
    pub time: i64,
}
