//! The program `git`, and what of this machine it may know.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dfbuild::remote::git::Git;

/// Variables that git and ssh get. Those that name a repository, as in a git hook, are none of
/// them.
const PASSED: [&str; 26] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_TRACE",
    "GIT_TRACE_CURL_NO_DATA",
];

/// Private keys that ssh looks for by itself.
const KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// git, if it is in `PATH`. To be called before the process enters a user namespace.
pub(crate) fn find(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<Git> {
    let path = environment("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("git"));
    let program = candidates.find(|path| path.is_file())?;
    let passed = PASSED.iter().filter_map(|name| Some((OsString::from(name), environment(name)?)));
    let mut passed: Vec<(OsString, OsString)> = passed.collect();
    let has_own = ["GIT_SSH", "GIT_SSH_COMMAND"].iter().any(|name| environment(name).is_some());
    if !has_own {
        let home = environment("HOME").map(PathBuf::from);
        let is_root = rustix::process::geteuid().is_root();
        let command = ssh(home.as_deref().filter(|_| !is_root), &|path| path.is_file());
        passed.push(("GIT_SSH_COMMAND".into(), command.into()));
    }
    Some(Git { program, environment: passed, allow_local: false })
}

/// How git calls ssh. It asks nobody. In a user namespace it takes itself for root and looks in
/// root's home for what is in `home`.
fn ssh(home: Option<&Path>, exists: &dyn Fn(&Path) -> bool) -> String {
    let mut command = "ssh -o BatchMode=yes".to_owned();
    let Some(folder) = home.map(|home| home.join(".ssh")) else { return command };
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let config = folder.join("config");
    if exists(&config) {
        command.push_str(&format!(" -F {}", quoted(&config)));
    }
    // ssh takes several files, at spaces.
    let known = folder.join("known_hosts").display().to_string().replace(' ', "\\ ");
    command.push_str(&format!(
        " -o {}",
        quoted(&PathBuf::from(format!("UserKnownHostsFile={known}")))
    ));
    for key in KEYS.map(|name| folder.join(name)).iter().filter(|key| exists(key)) {
        command.push_str(&format!(" -i {}", quoted(key)));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_may_know() {
        let environment = |name: &str| match name {
            "PATH" => Some("/usr/bin:/bin:/usr/local/bin".into()),
            "GIT_DIR" | "SECRET" => Some("x".into()),
            "SSH_AUTH_SOCK" => Some("/agent".into()),
            _ => None,
        };
        // A machine without git builds everything else.
        let Some(git) = find(&environment) else {
            return assert!(!Path::new("/usr/bin/git").exists());
        };
        let value = |name: &str| {
            let found = git.environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.to_string_lossy().into_owned())
        };
        assert_eq!(value("SSH_AUTH_SOCK").as_deref(), Some("/agent"));
        assert_eq!(value("GIT_SSH_COMMAND").as_deref(), Some("ssh -o BatchMode=yes"));
        assert_eq!((value("GIT_DIR"), value("SECRET")), (None, None));
        assert!(!git.allow_local);
    }

    #[test]
    fn ssh_in_a_user_namespace() {
        let exists = |path: &Path| path.ends_with("config") || path.ends_with("id_rsa");
        let command = ssh(Some(Path::new("/home/o'k")), &exists);
        assert_eq!(
            command,
            r"ssh -o BatchMode=yes -F '/home/o'\''k/.ssh/config' -o 'UserKnownHostsFile=/home/o'\''k/.ssh/known_hosts' -i '/home/o'\''k/.ssh/id_rsa'"
        );
    }
}
