use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::Skipped;

/// The user that runs `dfbuild`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever runs the tests: root, or an ordinary user as this machine has set it up.
    Caller,
    /// An ordinary user with ranges of subordinate ids. Needs root and the package uidmap.
    Mapped,
    /// An ordinary user without: one id is mapped. Needs root.
    SingleId,
}

/// Has ranges in `/etc/subuid`. Made by the first test that needs it, as `.ci/run` would.
const MAPPED_USER: &str = "dfbuild-test";

/// Belongs to no account, so nothing can be granted to it.
const UNKNOWN_ID: u32 = 64_321;

impl Who {
    /// Whether the tests and the command run as the same user.
    pub fn is_caller(self) -> bool {
        self == Self::Caller
    }

    /// Whether the command runs as real root.
    pub fn is_root(self) -> bool {
        self.is_caller() && rustix::process::geteuid().is_root()
    }

    /// User and group id to change to.
    pub(crate) fn ids(self) -> Result<Option<(u32, u32)>, Skipped> {
        static MAPPED: OnceLock<Result<(u32, u32), Skipped>> = OnceLock::new();
        if self.is_caller() {
            return Ok(None);
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Skipped::because("only root can run it as another user"));
        }
        if self == Self::SingleId {
            return Ok(Some((UNKNOWN_ID, UNKNOWN_ID)));
        }
        MAPPED.get_or_init(mapped_user).clone().map(Some)
    }

    /// Makes a command run as this user.
    pub(crate) fn apply(self, command: &mut Command) -> Result<(), Skipped> {
        if let Some((uid, gid)) = self.ids()? {
            // The standard library gives up the supplementary groups of root as well.
            command.uid(uid).gid(gid);
        }
        Ok(())
    }

    /// Gives a folder and all in it to this user.
    pub(crate) fn own(self, path: &Path) -> Result<(), Skipped> {
        let Some((uid, gid)) = self.ids()? else { return Ok(()) };
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            chown(&folder, Some(uid), Some(gid)).expect("root can give a file away");
            for entry in fs::read_dir(&folder).expect("a folder of the test can be read") {
                let entry = entry.expect("a folder of the test can be read");
                if entry.file_type().expect("the type is known").is_dir() {
                    folders.push(entry.path());
                } else {
                    std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid))
                        .expect("root can give a file away");
                }
            }
        }
        Ok(())
    }
}

/// Lets every user look into a folder.
pub(crate) fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755))
        .expect("it is the test's own folder");
}

fn mapped_user() -> Result<(u32, u32), Skipped> {
    crate::program("newuidmap")?;
    crate::program("newgidmap")?;
    if account(MAPPED_USER).is_none() {
        // Another test binary may be at it; then only one of the two succeeds.
        let _ = change_accounts("useradd", &["--no-create-home", MAPPED_USER]);
    }
    if !(has_ranges("/etc/subuid", MAPPED_USER) && has_ranges("/etc/subgid", MAPPED_USER)) {
        const RANGE: &str = "900000-965535";
        let ranges = ["--add-subuids", RANGE, "--add-subgids", RANGE, MAPPED_USER];
        change_accounts("usermod", &ranges)?;
    }
    account(MAPPED_USER).ok_or_else(|| Skipped(format!("there is no user {MAPPED_USER}")))
}

fn has_ranges(file: &str, user: &str) -> bool {
    let prefix = format!("{user}:");
    fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.starts_with(&prefix)))
}

/// Whether the ordinary user that runs the tests can map more than one id.
pub(crate) fn caller_has_ranges() -> bool {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then_some(name)
    });
    let tools = ["newuidmap", "newgidmap"].iter().all(|tool| crate::program(tool).is_ok());
    let granted = |file| has_ranges(file, &uid) || name.is_some_and(|name| has_ranges(file, name));
    tools && granted("/etc/subuid") && granted("/etc/subgid")
}

fn change_accounts(program: &str, args: &[&str]) -> Result<(), Skipped> {
    let output = Command::new(crate::program(program)?).args(args).output();
    let output = output.map_err(|error| Skipped(format!("{program}: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(Skipped(format!("{program}: {text}"))) }
}

/// The ids of a user and of its group.
fn account(name: &str) -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, uid, gid, ..] = fields.as_slice() else { return None };
        if *user == name { Some((uid.parse().ok()?, gid.parse().ok()?)) } else { None }
    })
}
