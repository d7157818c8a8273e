use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{CheckedOut, Checkout, Git};
use crate::address::without_secrets;
use crate::error::printable;
use crate::helper::read_aside;
use crate::{Client, Error};

/// How late it may be noticed that git has ended or is not wanted any more.
const POLL: Duration = Duration::from_millis(10);

impl Client {
    /// Checks `checkout` out into `folder`, which must be empty or not be there. Only that one
    /// commit is fetched, where the server gives single commits.
    ///
    /// git asks nobody for passwords, runs no hook, and speaks with no path of this machine unless
    /// that is allowed. Proxies are those of the client; certificate authorities and mirrors are
    /// git's own. Modes depend on the umask of the process.
    pub fn checkout(
        &self,
        git: &Git,
        checkout: &Checkout,
        folder: &Path,
    ) -> Result<CheckedOut, Error> {
        let action = checkout.action("check out");
        if self.options().offline {
            return Err(Error::Offline { action });
        }
        let reference = checkout.checked_reference(&action)?;
        let error =
            |message: &str| Error::Git { action: action.clone(), message: message.to_owned() };
        let io = |e: io::Error| error(&format!("{}: {e}", folder.display()));
        fs::create_dir_all(folder).map_err(io)?;
        let run = |arguments: &[&str]| self.git(git, &action, folder, arguments);
        run(&["init", "--quiet", "--template="])?;
        let fetch = ["fetch", "--quiet", "--no-tags"];
        let single = [&fetch[..], &["--depth=1", "--", &checkout.url, reference]].concat();
        let target = match run(&single) {
            Ok(_) => "FETCH_HEAD",
            Err(cancelled @ Error::Cancelled { .. }) => return Err(cancelled),
            // Servers may not give commits that no branch names, and short names of commits only
            // mean something to who has them all.
            Err(_) if is_commit(reference) => {
                let all = "+refs/*:refs/remotes/origin/*";
                run(&[&fetch[..], &["--", &checkout.url, all]].concat())?;
                reference
            }
            Err(error) => return Err(error),
        };
        run(&["checkout", "--quiet", "--detach", &format!("{target}^{{commit}}"), "--"])?;
        let shown = run(&["show", "--no-patch", "--format=%H %ct", "HEAD"])?;
        let (commit, time) =
            shown.trim().split_once(' ').ok_or_else(|| error("it has no commit"))?;
        let checked_out = CheckedOut { commit: commit.to_owned(), time: time.parse().unwrap_or(0) };
        if !checkout.no_submodules && folder.join(".gitmodules").exists() {
            // A relative submodule is meant relative to the repository.
            run(&["config", "remote.origin.url", &checkout.url])?;
            run(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
        }
        if !checkout.keep_git_dir {
            self.remove_git_dirs(git, &action, folder, io)?;
        }
        Ok(checked_out)
    }

    /// Removes `.git`, and the files of that name by which submodules point into it.
    fn remove_git_dirs(
        &self,
        git: &Git,
        action: &str,
        folder: &Path,
        io: impl Fn(io::Error) -> Error,
    ) -> Result<(), Error> {
        let script = r#"printf '%s\0' "$displaypath""#;
        let submodules = self.git(
            git,
            action,
            folder,
            &["submodule", "--quiet", "foreach", "--recursive", script],
        )?;
        for path in submodules.split('\0').filter(|path| !path.is_empty()) {
            match fs::remove_file(folder.join(path).join(".git")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
                _ => {}
            }
        }
        fs::remove_dir_all(folder.join(".git")).map_err(io)
    }

    /// Runs git in `folder`; what it wrote.
    pub(super) fn git(
        &self,
        git: &Git,
        action: &str,
        folder: &Path,
        arguments: &[&str],
    ) -> Result<String, Error> {
        let error = |message: String| Error::Git { action: action.to_owned(), message };
        let local = if git.allow_local { "always" } else { "never" };
        let proxy = &self.options().proxy;
        let mut command = Command::new(&git.program);
        command
            .current_dir(folder)
            .args(["-c", &format!("protocol.file.allow={local}")])
            .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null"])
            .args(["-c", "core.fsmonitor=false", "-c", "init.defaultBranch=main"])
            .args(["-c", "advice.detachedHead=false"])
            .args(arguments)
            .env_clear()
            .envs(git.environment.iter().map(|(name, value)| (name, value)))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in [("http_proxy", &proxy.http), ("https_proxy", &proxy.https)] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if !proxy.no_proxy.is_empty() {
            command.env("no_proxy", OsStr::new(&proxy.no_proxy.join(",")));
        }
        let child = command.spawn();
        let mut child = child.map_err(|e| error(format!("run {}: {e}", git.program.display())))?;
        let output = read_aside(child.stdout.take());
        let complaint = read_aside(child.stderr.take());
        let status = loop {
            if self.is_cancelled() {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Cancelled { action: action.to_owned() });
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(POLL),
                Err(e) => return Err(error(e.to_string())),
            }
        };
        if status.success() {
            return Ok(String::from_utf8_lossy(&output.recv().unwrap_or_default()).into_owned());
        }
        let complaint = complaint.recv().unwrap_or_default();
        Err(error(last_words(&String::from_utf8_lossy(&complaint))))
    }
}

impl Checkout {
    /// What is being done, for errors.
    pub(super) fn action(&self, verb: &str) -> String {
        let url = without_secrets(&self.url);
        match &self.reference {
            Some(reference) => format!("{verb} {reference} of {url}"),
            None => format!("{verb} {url}"),
        }
    }

    /// The reference, `HEAD` if there is none. Neither it nor the address can be taken for an
    /// option: one of them runs programs.
    pub(super) fn checked_reference(&self, action: &str) -> Result<&str, Error> {
        let error = |message: String| Error::Git { action: action.to_owned(), message };
        let reference = self.reference.as_deref().unwrap_or("HEAD");
        if reference.starts_with('-') || reference.is_empty() {
            return Err(error(format!("`{reference}` is no branch, tag or commit")));
        }
        if self.url.starts_with('-') || names_helper(&self.url) {
            let url = without_secrets(&self.url);
            return Err(error(format!("`{url}` is not the address of a repository")));
        }
        Ok(reference)
    }
}

/// Whether this is `helper::address`, by which git runs any program of that name.
fn names_helper(url: &str) -> bool {
    url.split_once("::").is_some_and(|(name, _)| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
    })
}

/// Whether this may be the full or short name of a commit.
pub(super) fn is_commit(reference: &str) -> bool {
    (4..=64).contains(&reference.len()) && reference.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The line that says what is wrong: the last `fatal:`, else the last line. Where git only says that
/// there was no talking to the other side, ssh has said why just before.
fn last_words(complaint: &str) -> String {
    const NO_TALK: &str = "fatal: Could not read from remote repository.";
    let lines = || complaint.lines().map(str::trim).filter(|line| !line.is_empty());
    let of_ssh = || lines().rev().skip_while(|line| *line != NO_TALK).nth(1);
    let fatal = || lines().rev().find_map(|line| line.strip_prefix("fatal: "));
    let last = || lines().next_back();
    printable(of_ssh().or_else(fatal).or_else(last).unwrap_or("it failed without a word"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits() {
        assert!(is_commit("0123abcd"));
        assert!(!is_commit("abc"));
        assert!(!is_commit("main"));
    }

    #[test]
    fn helpers_are_recognised() {
        assert!(names_helper("ext::sh -c x"));
        assert!(!names_helper("https://[::1]:80/x.git"));
        assert!(!names_helper("git@host:x.git"));
    }

    #[test]
    fn what_git_says() {
        assert_eq!(last_words("hint: x\nfatal: no such ref\nhint: y\n"), "no such ref");
        assert_eq!(last_words("error: a\nerror: b\n"), "error: b");
        let no_talk = "fatal: Could not read from remote repository.\n\nPlease make sure\n";
        let refused = format!("Host key verification failed.\n{no_talk}");
        assert_eq!(last_words(&refused), "Host key verification failed.");
        assert_eq!(last_words(no_talk), "Could not read from remote repository.");
        assert_eq!(last_words(""), "it failed without a word");
    }
}
