//! Entering a user namespace, for an ordinary user.
//!
//! A process with threads cannot do it, so a command does it first of all. Afterwards the process is
//! root in the namespace with all capabilities there, and has a mount namespace of its own with
//! private mounts. The rest of the crate works as for real root.
#![expect(unsafe_code, reason = "forks a helper that stays outside of the namespace")]

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

use crate::{Error, Hint, IdMap, IdRange, subid, sys};

/// How ids are to be mapped.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which ids.
    pub mapping: Mapping,
    /// Directories that are searched for `newuidmap` and `newgidmap`.
    pub tools: Vec<PathBuf>,
    /// The file of subordinate user ids.
    pub subuid: PathBuf,
    /// The file of subordinate group ids.
    pub subgid: PathBuf,
}

impl Default for Plan {
    fn default() -> Self {
        let tools = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"];
        Self {
            mapping: Mapping::Auto,
            tools: tools.map(PathBuf::from).into(),
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
        }
    }
}

/// Which ids are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// The subordinate ids if there are ranges and tools, else only root.
    Auto,
    /// The subordinate ids, or an error that says what is missing.
    Subordinate,
    /// Only root.
    Single,
}

/// Where this process stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Root in a user namespace with this map; the identity is real root, or as good as.
    Root(IdMap),
    /// Not root: [`enter`] comes first.
    Unprivileged,
}

/// Finds out where this process stands.
pub fn current() -> Result<Position, Error> {
    if rustix::process::geteuid().is_root() {
        Ok(Position::Root(IdMap::current()?))
    } else {
        Ok(Position::Unprivileged)
    }
}

/// Enters a new user namespace, and a mount namespace of it with private mounts. The process must
/// have a single thread.
pub fn enter(plan: &Plan) -> Result<IdMap, Error> {
    let threads = count_threads()?;
    if threads != 1 {
        return Err(Error::Threaded { threads });
    }
    let subordinate = match plan.mapping {
        Mapping::Single => None,
        Mapping::Auto => Subordinate::find(plan).ok(),
        Mapping::Subordinate => Some(Subordinate::find(plan)?),
    };
    match subordinate {
        Some(subordinate) => enter_mapped(&subordinate)?,
        None => enter_single()?,
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|errno| Error::Host { operation: "make mounts private", source: errno.into() })?;
    IdMap::current()
}

/// What it takes to map more than one id.
struct Subordinate {
    newuidmap: PathBuf,
    newgidmap: PathBuf,
    map: IdMap,
}

impl Subordinate {
    fn find(plan: &Plan) -> Result<Self, Error> {
        let (uid, gid) = ids();
        let passwd = fs::read("/etc/passwd").unwrap_or_default();
        let passwd = String::from_utf8_lossy(&passwd);
        let name = subid::user_name(&passwd, uid);
        let ranges = |file: &Path, shown: &'static str, own: u32| {
            let granted = subid::read(file, name, uid)?;
            if granted.is_empty() {
                let user = name.map_or_else(|| uid.to_string(), str::to_owned);
                return Err(Error::NoSubordinateIds {
                    reason: format!("{} has no range for {user}", file.display()),
                    hint: Some(Hint::AddLine { file: shown, line: format!("{user}:100000:65536") }),
                });
            }
            let mut ranges = vec![IdRange { inside: 0, outside: own, count: 1 }];
            ranges.extend(granted);
            Ok(ranges)
        };
        Ok(Self {
            newuidmap: find_tool(plan, "newuidmap")?,
            newgidmap: find_tool(plan, "newgidmap")?,
            map: IdMap {
                uids: ranges(&plan.subuid, "/etc/subuid", uid)?,
                gids: ranges(&plan.subgid, "/etc/subgid", gid)?,
            },
        })
    }
}

fn find_tool(plan: &Plan, name: &str) -> Result<PathBuf, Error> {
    let found = plan.tools.iter().map(|directory| directory.join(name)).find(|tool| tool.is_file());
    found.ok_or_else(|| Error::NoSubordinateIds {
        reason: format!("there is no {name}"),
        hint: Some(Hint::Install {
            programs: "newuidmap and newgidmap (package uidmap or shadow)",
        }),
    })
}

fn enter_single() -> Result<(), Error> {
    let (uid, gid) = ids();
    unshare()?;
    // Without this a process could drop a group that denies it access.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))
}

fn write(path: &str, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| match source.raw_os_error() {
        // A kernel with Ubuntu's restriction lets the namespace be made but gives it no capabilities.
        Some(libc::EPERM | libc::EACCES) => Error::UserNamespace { source, hint: Some(refusal()) },
        _ => Error::File { operation: "write", path: path.into(), source },
    })
}

/// The tools have to run outside of the namespace, so a helper is forked first. It waits for a byte
/// and answers with an error message or nothing.
fn enter_mapped(subordinate: &Subordinate) -> Result<(), Error> {
    let pipe = || io::pipe().map_err(|source| Error::Host { operation: "create a pipe", source });
    let (go_reader, mut go_writer) = pipe()?;
    let (mut answer_reader, answer_writer) = pipe()?;
    let parent = std::process::id();
    // SAFETY: this process has one thread, so the child may do whatever a process may.
    let helper = unsafe { libc::fork() };
    if helper < 0 {
        let source = io::Error::last_os_error();
        return Err(Error::Host { operation: "fork a helper", source });
    }
    if helper == 0 {
        drop(go_writer);
        drop(answer_reader);
        help(subordinate, parent, go_reader, answer_writer);
        sys::exit(0);
    }
    drop(go_reader);
    drop(answer_writer);
    let entered = unshare();
    if entered.is_ok() {
        // A helper that is gone gives an empty answer below, which the map check finds out.
        let _ = go_writer.write_all(&[1]);
    }
    drop(go_writer);
    let mut answer = String::new();
    let _ = answer_reader.read_to_string(&mut answer);
    // SAFETY: takes no pointer that is not null; the helper is our child.
    while unsafe { libc::waitpid(helper, std::ptr::null_mut(), 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    entered?;
    let mapped = IdMap::current()?;
    if answer.is_empty() && !mapped.uids.is_empty() && !mapped.gids.is_empty() {
        return Ok(());
    }
    let (tool, message) = answer.split_once('\n').unwrap_or(("newuidmap", &answer));
    Err(Error::MapTool {
        tool: tool.into(),
        message: message.trim().to_owned(),
        hint: Some(Hint::Install {
            programs: "newuidmap and newgidmap with set-uid root or file capabilities",
        }),
    })
}

/// The helper: answers with the tool and its message, separated by a line feed, if one fails.
fn help(subordinate: &Subordinate, parent: u32, mut go: impl Read, mut answer: impl Write) {
    if go.read_exact(&mut [0]).is_err() {
        return;
    }
    let Subordinate { newuidmap, newgidmap, map } = subordinate;
    for (tool, ranges) in [(newuidmap, &map.uids), (newgidmap, &map.gids)] {
        let mut command = Command::new(tool);
        command.arg(parent.to_string());
        for range in ranges {
            command.args([range.inside, range.outside, range.count].map(|id| id.to_string()));
        }
        let message = match command.output() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let _ = write!(answer, "{}\n{message}", tool.display());
        return;
    }
}

fn unshare() -> Result<(), Error> {
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS;
    // SAFETY: neither flag changes the file table or anything else that safe code relies on.
    let unshared = unsafe { rustix::thread::unshare_unsafe(flags) };
    unshared.map_err(|errno| {
        let hint = match errno {
            Errno::NOSPC => Some(Hint::Sysctl { name: "user.max_user_namespaces", value: "15000" }),
            _ => Some(refusal()),
        };
        Error::UserNamespace { source: errno.into(), hint }
    })
}

/// The usual reasons, by the kernel parameters that cause them.
fn refusal() -> Hint {
    let value = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    };
    let rules = [
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "15000"),
    ];
    let found = rules.into_iter().find(|(name, bad, _)| value(name).as_deref() == Some(bad));
    match found {
        Some((name, _, value)) => Hint::Sysctl { name, value },
        // Docker's own profile forbids it inside of a container.
        None => Hint::Container { option: "--security-opt seccomp=unconfined" },
    }
}

fn ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn count_threads() -> Result<usize, Error> {
    let path = Path::new("/proc/self/task");
    match fs::read_dir(path) {
        Ok(entries) => Ok(entries.count()),
        Err(source) => Err(Error::File { operation: "read", path: path.into(), source }),
    }
}
