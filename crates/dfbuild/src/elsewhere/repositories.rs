use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dfbuild_dockerfile::git_ref::{self, GitRef};
use dfbuild_remote::git::{self, Git};

use super::{Checkout, Fetcher, auth};
use crate::error::StepError;

/// The git repositories of a build, by reference and by whether `.git` is kept.
#[derive(Default)]
pub(super) struct Repositories(Mutex<HashMap<(String, bool), Arc<Slot>>>);

/// Locked while somebody asks for the repository: others can ask for other ones meanwhile.
type Slot = Mutex<Option<Arc<Repository>>>;

/// A repository at a commit.
pub(crate) struct Repository {
    reference: GitRef,
    keep_git_dir: bool,
    /// The full name of the commit.
    pub(crate) commit: String,
    checkout: Mutex<Option<Arc<Checkout>>>,
}

impl Repositories {
    pub(super) fn find(
        &self,
        fetcher: &Fetcher<'_>,
        text: &str,
        keep_git_dir: Option<bool>,
    ) -> Result<Arc<Repository>, StepError> {
        let none = || StepError::Unsupported(format!("{text} is no git repository"));
        let reference = git_ref::parse(text)
            .map_err(|error| StepError::Unsupported(format!("read {text}: {error}")))?
            .ok_or_else(none)?;
        let keep = keep_git_dir.or(reference.keep_git_dir).unwrap_or(false);
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry((text.to_owned(), keep)).or_default())
        };
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repository) = &*known {
            return Ok(Arc::clone(repository));
        }
        let repository = Arc::new(Repository::find(fetcher, reference, keep)?);
        *known = Some(Arc::clone(&repository));
        Ok(repository)
    }
}

impl Repository {
    fn find(
        fetcher: &Fetcher<'_>,
        reference: GitRef,
        keep_git_dir: bool,
    ) -> Result<Self, StepError> {
        let git = program(fetcher, &reference)?;
        let wanted = request(&reference, keep_git_dir);
        let commit = fetcher.client(&reference.remote)?.commit_of(&git, &wanted)?;
        let mut repository = Self {
            reference,
            keep_git_dir,
            commit: commit.clone().unwrap_or_default(),
            checkout: Mutex::default(),
        };
        if commit.is_none() {
            // The short name of a commit: only who has them all can tell.
            let (commit, checkout) = repository.fetch(fetcher, &wanted)?;
            repository.commit = commit;
            repository.checkout = Mutex::new(Some(checkout));
        }
        repository.check(&repository.reference.checksum)?;
        Ok(repository)
    }

    /// An error unless the commit has this name, of which the first characters do.
    pub(crate) fn check(&self, checksum: &str) -> Result<(), StepError> {
        if self.commit.starts_with(&checksum.to_ascii_lowercase()) {
            return Ok(());
        }
        Err(StepError::Commit { expected: checksum.to_owned(), found: self.commit.clone() })
    }

    /// The folder in the repository, as far as it is known without its files.
    pub(crate) fn sub_dir(&self) -> &str {
        &self.reference.sub_dir
    }

    /// Its files, checked out when they are first asked for.
    pub(crate) fn files(&self, fetcher: &Fetcher<'_>) -> Result<Arc<Checkout>, StepError> {
        let mut known = self.checkout.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(checkout) = &*known {
            return Ok(Arc::clone(checkout));
        }
        // By name: the branch may be another commit by now.
        let wanted = git::Checkout {
            reference: Some(self.commit.clone()),
            ..request(&self.reference, self.keep_git_dir)
        };
        let (_, checkout) = self.fetch(fetcher, &wanted)?;
        Ok(Arc::clone(known.insert(checkout)))
    }

    fn fetch(
        &self,
        fetcher: &Fetcher<'_>,
        wanted: &git::Checkout,
    ) -> Result<(String, Arc<Checkout>), StepError> {
        let git = program(fetcher, &self.reference)?;
        let folder = fetcher.staging()?.folder("git")?;
        let client = fetcher.client(&self.reference.remote)?;
        let done = client.checkout(&git, wanted, &folder)?;
        let time = Some(done.time).filter(|_| self.reference.mtime != "checkout");
        let checkout = Checkout::new(&folder, &self.reference.sub_dir, time)?;
        Ok((done.commit, Arc::new(checkout)))
    }
}

fn request(reference: &GitRef, keep_git_dir: bool) -> git::Checkout {
    // `github.com/x/y` is how people say it; git wants to know how to speak with it.
    let scheme = if reference.indistinguishable_from_local { "https://" } else { "" };
    git::Checkout {
        url: format!("{scheme}{}", reference.remote),
        reference: Some(reference.reference.clone()).filter(|name| !name.is_empty()),
        no_submodules: reference.submodules == Some(false),
        keep_git_dir,
    }
}

/// git with what it has to know for a repository.
fn program(fetcher: &Fetcher<'_>, reference: &GitRef) -> Result<Git, StepError> {
    let Some(git) = fetcher.engine.git() else {
        let remote = dfbuild_remote::without_secrets(&reference.remote);
        return Err(StepError::Unsupported(format!("fetch {remote}: there is no program `git`")));
    };
    let url = &request(reference, false).url;
    Ok(match auth::for_repository(fetcher.secrets(), url)? {
        Some(authorization) => git.clone().with_authorization(url, &authorization),
        None => git.clone(),
    })
}
