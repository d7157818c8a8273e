//! What a build gets from the network beside images: files of web servers, git repositories.

mod auth;
mod checkout;
mod repositories;
mod urls;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use dfbuild_remote::Client;
use dfbuild_store::Staging;

pub(crate) use checkout::Checkout;
use repositories::Repositories;
pub(crate) use repositories::Repository;
pub(crate) use urls::UrlFile;
use urls::Urls;

use crate::engine::Engine;
use crate::error::StepError;
use crate::secrets::Secrets;

/// What a build got from the network so far, each thing once.
pub(crate) struct Elsewhere {
    secrets: Secrets,
    staging: OnceLock<Staging>,
    urls: Urls,
    repositories: Repositories,
}

impl Elsewhere {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            staging: OnceLock::new(),
            urls: Urls::default(),
            repositories: Repositories::default(),
        }
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

/// As many files come at the same time, as blobs of an image do.
const AT_ONCE: usize = 3;

/// Gets things from the network with an engine.
#[derive(Clone, Copy)]
pub(crate) struct Fetcher<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) elsewhere: &'a Elsewhere,
}

impl Fetcher<'_> {
    /// What is known of the file at `url`. If it must have a checksum, and it had it at the last
    /// time, nobody is asked.
    pub(crate) fn file(
        &self,
        url: &str,
        checksum: Option<&str>,
    ) -> Result<Arc<UrlFile>, StepError> {
        self.elsewhere.urls.file(self, url, checksum)
    }

    /// Fetches files that will be asked for, several at a time. Why one cannot be had is told to
    /// whoever asks for it first.
    pub(crate) fn fetch_ahead(&self, files: &[(&str, Option<&str>)]) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((url, checksum)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.elsewhere.urls.ahead(self, url, *checksum);
            }
        };
        thread::scope(|scope| {
            for _ in 0..files.len().min(AT_ONCE) {
                scope.spawn(work);
            }
        });
    }

    /// Where the bytes of a file lie as long as the build runs.
    pub(crate) fn content(&self, file: &UrlFile) -> Result<PathBuf, StepError> {
        self.elsewhere.urls.content(self, file)
    }

    /// The same for a file that every build reads, such as a context.
    pub(crate) fn kept_content(&self, file: &UrlFile) -> Result<PathBuf, StepError> {
        self.elsewhere.urls.kept(self, file)
    }

    /// The repository that a git reference names, at the commit that it means now.
    pub(crate) fn repository(
        &self,
        reference: &str,
        keep_git_dir: Option<bool>,
    ) -> Result<Arc<Repository>, StepError> {
        self.elsewhere.repositories.find(self, reference, keep_git_dir)
    }

    /// A folder that lives as long as the build.
    pub(crate) fn staging(&self) -> Result<&Staging, StepError> {
        if let Some(staging) = self.elsewhere.staging.get() {
            return Ok(staging);
        }
        let staging = self.engine.store().stage()?;
        // Of two that were made at once one is dropped again.
        Ok(self.elsewhere.staging.get_or_init(|| staging))
    }

    fn secrets(&self) -> &Secrets {
        &self.elsewhere.secrets
    }

    fn client(&self, url: &str) -> Result<&Client, StepError> {
        self.engine.client()?.ok_or_else(|| {
            let url = dfbuild_remote::without_secrets(url);
            StepError::Unsupported(format!("fetch {url}: this build has no network"))
        })
    }
}
