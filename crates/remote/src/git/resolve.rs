use std::path::Path;

use super::run::is_commit;
use super::{Checkout, Git};
use crate::{Client, Error};

impl Client {
    /// The full name of the commit that `checkout` means at this moment, without fetching it; `None`
    /// for the short name of a commit, which only means something to who has them all.
    ///
    /// Of a branch and a tag of one name the branch is meant, as in BuildKit.
    pub fn commit_of(&self, git: &Git, checkout: &Checkout) -> Result<Option<String>, Error> {
        let action = checkout.action("look up");
        let reference = checkout.checked_reference(&action)?;
        if is_full_commit(reference) {
            return Ok(Some(reference.to_ascii_lowercase()));
        }
        if self.options().offline {
            return Err(Error::Offline { action });
        }
        let peeled = format!("{reference}^{{}}");
        let arguments = ["ls-remote", "--", &checkout.url, reference, &peeled];
        // Outside of any repository, whose configuration would count.
        let listed = self.git(git, &action, Path::new("/"), &arguments)?;
        match choose(&listed, reference) {
            Some(commit) => Ok(Some(commit.to_owned())),
            None if is_commit(reference) => Ok(None),
            None => {
                let message = format!("the repository has no branch or tag `{reference}`");
                Err(Error::Git { action, message })
            }
        }
    }
}

/// The commit of `reference` in the output of `git ls-remote`, which also lists all references
/// that only end like it.
fn choose<'a>(listed: &'a str, reference: &str) -> Option<&'a str> {
    let short = reference.strip_prefix("refs/").unwrap_or(reference);
    let find = |name: &str| {
        let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines.find(|(_, listed)| *listed == name).map(|(commit, _)| commit)
    };
    find(&format!("refs/heads/{reference}"))
        .or_else(|| find(&format!("refs/tags/{reference}^{{}}")))
        .or_else(|| find(&format!("refs/tags/{reference}")))
        .or_else(|| find(&format!("refs/{short}^{{}}")))
        .or_else(|| find(&format!("refs/{short}")))
        .or_else(|| find(reference))
}

/// Whether this is the full name of a commit, in SHA-1 or SHA-256.
fn is_full_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && is_commit(reference)
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn branches_come_before_tags_and_tags_mean_commits() {
        let listed = "1\tHEAD\n2\trefs/heads/x/v1\n3\trefs/tags/v1\n4\trefs/tags/v1^{}\n\
                      5\trefs/heads/both\n6\trefs/tags/both\n7\trefs/pull/1/head\n";
        for (reference, commit) in [
            ("HEAD", Some("1")),
            ("v1", Some("4")),
            ("x/v1", Some("2")),
            ("both", Some("5")),
            ("refs/tags/both", Some("6")),
            ("refs/tags/v1", Some("4")),
            ("pull/1/head", Some("7")),
            ("head", None),
        ] {
            assert_eq!(choose(listed, reference), commit, "{reference}");
        }
    }
}
