use std::ffi::OsString;
use std::path::PathBuf;

use crate::IdMode;

/// Everything one step needs, as plain data.
///
/// Mount targets must exist in the merged root; put stubs into the topmost lower directory where
/// they should not show in [`Spec::upper`]. `/proc`, `/dev` and `/sys` are such targets too.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Lower directories of the overlay, the lowest first, in overlay form (whiteouts are character
    /// devices 0:0, opaque directories carry the overlay's attribute). Without any there is no
    /// overlay: the root is `upper` itself.
    pub lower: Vec<PathBuf>,
    /// The directory that receives the changes. It exists.
    pub upper: PathBuf,
    /// An empty directory, with an overlay on the file system of `upper` and used once.
    pub work: PathBuf,
    /// The argument vector. `args[0]` is searched in the `PATH` of `env`, inside the root, unless it
    /// contains a slash.
    pub args: Vec<OsString>,
    /// The environment as `NAME=value`.
    pub env: Vec<OsString>,
    /// The working directory, absolute, inside the root. It exists.
    pub cwd: PathBuf,
    /// Who the command runs as.
    pub user: User,
    /// The host name that the command sees.
    pub hostname: String,
    /// What network the command sees.
    pub network: Network,
    /// What the command may do.
    pub privileges: Privileges,
    /// Further mounts, made in this order after the standard ones.
    pub mounts: Vec<Mount>,
    /// Resource limits; raising one beyond what the host may do is not an error.
    pub rlimits: Vec<Rlimit>,
    /// The size of `/dev/shm` in bytes.
    pub shm_size: u64,
    /// The user namespace that the host lives in.
    pub id_mode: IdMode,
    /// Refuses writes to the root; mounts are not concerned.
    pub read_only_root: bool,
    /// How the overlay is set up; other values than [`OverlayApi::Auto`] are for tests.
    pub overlay_api: OverlayApi,
}

impl Spec {
    /// A specification over `upper` and `work` with nothing below, the defaults of Docker and no
    /// command.
    pub fn new(upper: impl Into<PathBuf>, work: impl Into<PathBuf>) -> Self {
        Self {
            lower: Vec::new(),
            upper: upper.into(),
            work: work.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            user: User::default(),
            hostname: "localhost".to_owned(),
            network: Network::Host,
            privileges: Privileges::Docker,
            mounts: Vec::new(),
            rlimits: Vec::new(),
            shm_size: 64 << 20,
            id_mode: IdMode::Root,
            read_only_root: false,
            overlay_api: OverlayApi::Auto,
        }
    }
}

/// Numeric ids of the command; the default is root without further groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// What network the command sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The network of the host.
    Host,
    /// A network of its own with nothing but a loopback interface, which is up.
    None,
}

/// What the command may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// Docker's default: 14 capabilities, its system call filter, masked paths, `/sys` read-only.
    Docker,
    /// `RUN --security=insecure`: all capabilities the host has, no filter, no masks, `/sys` writable.
    Insecure,
}

/// A further mount. Targets are absolute paths resolved inside the root; below `/dev`, which is made
/// anew for each command, and below an earlier mount missing ones are made.
#[derive(Clone, Debug)]
pub enum Mount {
    /// Shows a file, directory or socket of the host.
    Bind {
        /// The path on the host.
        source: PathBuf,
        /// The path in the root.
        target: PathBuf,
        /// Refuses writes.
        read_only: bool,
        /// Takes the mounts below `source` along.
        recursive: bool,
    },
    /// A new empty file system in memory.
    Tmpfs {
        /// The path in the root.
        target: PathBuf,
        /// The largest size in bytes; half of the memory by default.
        size: Option<u64>,
        /// The mode of its top directory.
        mode: u32,
    },
    /// A file that is only in memory: a secret never touches a disk.
    File {
        /// The path in the root.
        target: PathBuf,
        /// What is in it.
        content: Vec<u8>,
        /// Its mode.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Refuses writes. Without it writes work and are lost.
        read_only: bool,
    },
    /// A part of another merged tree.
    Overlay {
        /// Lower directories, the lowest first.
        lower: Vec<PathBuf>,
        /// The upper and the work directory; without them the mount is read-only.
        upper: Option<(PathBuf, PathBuf)>,
        /// The path in the root.
        target: PathBuf,
        /// The path in the merged tree, resolved inside of it; empty or `/` is all of it.
        source_subpath: PathBuf,
        /// Refuses writes.
        read_only: bool,
    },
}

impl Mount {
    /// The path in the root.
    pub fn target(&self) -> &PathBuf {
        match self {
            Self::Bind { target, .. }
            | Self::File { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Overlay { target, .. } => target,
        }
    }
}

/// A resource limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// The name as `docker run --ulimit` has it: `nofile`, `nproc`, `core`, …
    pub name: String,
    /// The soft limit; `u64::MAX` is none.
    pub soft: u64,
    /// The hard limit; `u64::MAX` is none.
    pub hard: u64,
}

/// How an overlay is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlayApi {
    /// The first of the others that the kernel knows.
    Auto,
    /// `fsconfig` with directory descriptors (Linux 6.13): up to 500 layers, no path is parsed.
    Descriptors,
    /// `fsconfig` with one string per layer (Linux 6.8): up to 500 layers.
    Names,
    /// `mount` with one option string of at most a page: about 200 layers.
    Options,
}
