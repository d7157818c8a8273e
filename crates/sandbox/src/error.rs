use std::io;
use std::path::PathBuf;

/// Why a sandbox could not be made or a command not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The specification cannot be carried out.
    #[error("use {what}: {reason}")]
    Invalid {
        /// The part of the specification.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An operation of the host process failed, usually for lack of a resource.
    #[error("{operation}: {source}")]
    Host {
        /// What was tried.
        operation: &'static str,
        /// The answer of the system.
        source: io::Error,
    },
    /// The kernel refused the namespaces.
    #[error("create namespaces: {source}")]
    Namespaces {
        /// The answer of the system.
        source: io::Error,
    },
    /// A step of the preparation failed.
    #[error("{step}{}: {source}", path.as_ref().map(|path| format!(" {}", path.display())).unwrap_or_default())]
    Setup {
        /// The step.
        step: Step,
        /// The path it was about, if any.
        path: Option<PathBuf>,
        /// The answer of the system.
        source: io::Error,
    },
    /// A mount target does not exist in the root, or cannot be reached.
    #[error("find mount target {} in the root: {source}", target.display())]
    MountTarget {
        /// The path in the root.
        target: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The source of a mount does not exist.
    #[error("open mount source {}: {source}", path.display())]
    MountSource {
        /// The path on the host, or in the mounted tree.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The working directory cannot be entered.
    #[error("change to directory {}: {source}", path.display())]
    Directory {
        /// The path in the root.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The program cannot be executed. A shell would exit with [`Error::exit_code`].
    #[error("execute {}: {source}", path.display())]
    Exec {
        /// The program as it was given.
        path: PathBuf,
        /// The answer of the system; `NotFound` also when the search in `PATH` found nothing.
        source: io::Error,
    },
    /// The ids are not mapped in the user namespace.
    #[error("run as user {uid} and group {gid}: {source}")]
    User {
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
        /// The answer of the system.
        source: io::Error,
    },
    /// The supervisor was killed from outside, so the exit status is not known.
    #[error("learn how the command ended: its supervisor was killed")]
    Lost,
    /// A user namespace can be entered by a process with one thread only.
    #[error("enter a user namespace: the process has {threads} threads")]
    Threaded {
        /// How many it has.
        threads: usize,
    },
    /// The kernel or its configuration refuses user namespaces to this user.
    #[error("enter a user namespace: {source}")]
    UserNamespace {
        /// The answer of the system.
        source: io::Error,
        /// What to change, as far as it can be told.
        hint: Option<Hint>,
    },
    /// A helper that maps ids failed.
    #[error("map ids with {}: {message}", tool.display())]
    MapTool {
        /// The helper.
        tool: PathBuf,
        /// What it said.
        message: String,
        /// What to change.
        hint: Option<Hint>,
    },
    /// There is no range of subordinate ids, or no tool to map it, and it was asked for.
    #[error("map more than one id: {reason}")]
    NoSubordinateIds {
        /// What is missing.
        reason: String,
        /// What to change.
        hint: Option<Hint>,
    },
    /// This program was built without the feature that has namespaces.
    #[error("this program was built without the feature `sandbox`")]
    Disabled,
    /// Something is not to be had, for a reason of the sandbox's own.
    #[error("{reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// A file of the system cannot be read or written.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
}

impl Error {
    /// The exit code a shell or runc reports for a program that cannot be executed: 127 when it is
    /// not found, 126 otherwise.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(127),
            Self::Exec { .. } => Some(126),
            _ => None,
        }
    }

    /// What to change on the machine so that it works.
    pub fn hint(&self) -> Option<&Hint> {
        match self {
            Self::UserNamespace { hint, .. }
            | Self::MapTool { hint, .. }
            | Self::NoSubordinateIds { hint, .. } => hint.as_ref(),
            _ => None,
        }
    }
}

/// A change on the machine that would make rootless builds work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Set a kernel parameter.
    Sysctl {
        /// Its name, with dots.
        name: &'static str,
        /// The value it needs.
        value: &'static str,
    },
    /// Add a line to a file.
    AddLine {
        /// The file.
        file: &'static str,
        /// The line.
        line: String,
    },
    /// Install a package that has these programs, set-uid root or with file capabilities.
    Install {
        /// The programs.
        programs: &'static str,
    },
    /// The container around this process has to be given more.
    Container {
        /// The option of `docker run`.
        option: &'static str,
    },
}

impl std::fmt::Display for Hint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sysctl { name, value } => {
                write!(formatter, "set {name} to {value} (sysctl -w {name}={value})")
            }
            Self::AddLine { file, line } => write!(formatter, "add the line `{line}` to {file}"),
            Self::Install { programs } => write!(formatter, "install {programs}"),
            Self::Container { option } => write!(formatter, "start the container with {option}"),
        }
    }
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A step between `clone` and `execve`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum Step { $($(#[doc = $doc])+ $name,)+ }

        impl Step {
            #[cfg(feature = "namespaces")]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];
        }

        impl std::fmt::Display for Step {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self { $(Self::$name => $text,)+ })
            }
        }
    };
}

steps! {
    /// Creating the namespaces.
    Namespaces = "create namespaces",
    /// Tying the command to its supervisor.
    DeathSignal = "set the parent-death signal",
    /// Making the mounts private.
    PrivateMounts = "make mounts private",
    /// Opening the overlay file system.
    OverlayOpen = "open overlay",
    /// Adding a layer to the overlay.
    OverlayLower = "add overlay layer",
    /// Setting the upper directory.
    OverlayUpper = "set overlay upper directory",
    /// Setting the work directory.
    OverlayWork = "set overlay work directory",
    /// Mounting the overlay.
    OverlayCreate = "mount overlay",
    /// Opening the directory that is the root.
    RootDirectory = "open root directory",
    /// Attaching the root to the mount tree.
    AttachRoot = "attach root",
    /// Mounting `/proc`.
    Proc = "mount /proc",
    /// Mounting `/dev`.
    Dev = "mount /dev",
    /// Providing a device node.
    Device = "provide device",
    /// Mounting `/dev/pts`.
    DevPts = "mount /dev/pts",
    /// Mounting `/dev/shm`.
    DevShm = "mount /dev/shm",
    /// Mounting `/dev/mqueue`.
    DevMqueue = "mount /dev/mqueue",
    /// Mounting `/sys`.
    Sys = "mount /sys",
    /// Hiding a path from the command.
    Mask = "mask path",
    /// Opening the source of a mount.
    MountSource = "open mount source",
    /// Resolving the target of a mount.
    MountTarget = "find mount target",
    /// Mounting.
    Mount = "mount",
    /// Changing the root.
    Pivot = "change root",
    /// Setting the host name.
    Hostname = "set host name",
    /// Bringing up the loopback interface.
    Loopback = "bring up loopback interface",
    /// Setting a resource limit.
    Rlimit = "set resource limit",
    /// Changing to the working directory.
    Directory = "change directory",
    /// Dropping capabilities.
    Capabilities = "drop capabilities",
    /// Loading the system call filter.
    Seccomp = "load system call filter",
    /// Setting the supplementary groups.
    Groups = "set supplementary groups",
    /// Setting the user and group.
    User = "set user",
    /// Connecting the standard streams.
    Streams = "connect standard streams",
    /// Executing the program.
    Exec = "execute",
}
