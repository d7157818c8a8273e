use std::ffi::{CString, OsStr, c_char, c_int};
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use seccompiler::sock_filter;

use crate::init::MOST_MOUNTS;
use crate::overlay::OverlayPlan;
use crate::root::RootPlan;
use crate::{Error, IdMode, Mount, Network, Privileges, Spec, seccomp};

/// A specification in the form that a process without an allocator can follow.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(crate) struct Plan {
    pub(crate) namespaces: c_int,
    pub(crate) root: RootPlan,
    /// A directory over which trees are mounted for a moment; the work directory.
    pub(crate) scratch: CString,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) read_only_root: bool,
    pub(crate) insecure: bool,
    /// Mount the control groups of the command below `/sys`.
    pub(crate) cgroups: bool,
    pub(crate) shm_size: CString,
    pub(crate) hostname: CString,
    pub(crate) rlimits: Vec<(u32, u64, u64)>,
    pub(crate) cwd: CString,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// None where they may not be set: with a single id.
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) filters: Vec<&'static [sock_filter]>,
    pub(crate) program: Program,
    pub(crate) args: CStringArray,
    pub(crate) env: CStringArray,
    /// The descriptors that become 0, 1 and 2; above 2 themselves.
    pub(crate) streams: [RawFd; 3],
    /// The first of them becomes the controlling terminal.
    pub(crate) controls_terminal: bool,
    /// Stop before the program is executed.
    pub(crate) probe: bool,
}

/// A mount in the order of the specification.
#[derive(Debug)]
pub(crate) struct MountPlan {
    pub(crate) target: CString,
    /// Whether the target is made where it is missing, since it is in a mount and not in the root.
    pub(crate) makes_target: bool,
    pub(crate) read_only: bool,
    pub(crate) source: MountSource,
}

#[derive(Debug)]
pub(crate) enum MountSource {
    Bind { path: CString, recursive: bool, device: bool },
    Tmpfs { size: Option<CString>, mode: CString },
    File(FilePlan),
    Overlay { overlay: OverlayPlan, subpath: CString },
}

#[derive(Debug)]
pub(crate) struct FilePlan {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Plan {
    pub(crate) fn new(spec: &Spec) -> Result<Self, Error> {
        if spec.mounts.len() > MOST_MOUNTS {
            let what = format!("{} mounts", spec.mounts.len());
            return Err(Error::Invalid { what, reason: "there are more than 256" });
        }
        let single = matches!(spec.id_mode, IdMode::Single);
        let insecure = spec.privileges == Privileges::Insecure;
        let mut namespaces = libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        if spec.network == Network::None {
            namespaces |= libc::CLONE_NEWNET;
        }
        let mut filters = Vec::new();
        if !insecure {
            filters.push(seccomp::docker());
        }
        if single {
            filters.push(seccomp::root_emulation());
        }
        let mounts = spec
            .mounts
            .iter()
            .enumerate()
            .map(|(index, mount)| MountPlan::new(spec, mount, &spec.mounts[..index]))
            .collect::<Result<_, _>>()?;
        // With a single id there is nobody else to be.
        let user = if single { crate::User::default() } else { spec.user.clone() };
        Ok(Self {
            namespaces,
            root: RootPlan::new(spec)?,
            scratch: path(&spec.work)?,
            mounts,
            read_only_root: spec.read_only_root,
            insecure,
            cgroups: unified_cgroups(),
            shm_size: text("shm size", spec.shm_size.to_string())?,
            hostname: text("host name", spec.hostname.clone())?,
            rlimits: spec.rlimits.iter().map(rlimit).collect::<Result<_, _>>()?,
            cwd: path(&spec.cwd)?,
            uid: user.uid,
            gid: user.gid,
            groups: (!single).then_some(user.groups),
            filters,
            program: Program::new(spec)?,
            args: CStringArray::new("argument", spec.args.iter().map(AsRef::as_ref))?,
            env: CStringArray::new("environment variable", spec.env.iter().map(AsRef::as_ref))?,
            streams: [0, 1, 2],
            controls_terminal: false,
            probe: false,
        })
    }
}

impl MountPlan {
    fn new(spec: &Spec, mount: &Mount, earlier: &[Mount]) -> Result<Self, Error> {
        let target = path(mount.target())?;
        let mut around = earlier.iter().map(|mount| mount.target().as_path());
        let makes_target = mount.target().starts_with("/dev/")
            || around.any(|around| mount.target().starts_with(around));
        let (read_only, source) = match mount {
            Mount::Bind { source, read_only, recursive, .. } => {
                let device = is_device(source);
                (
                    *read_only,
                    MountSource::Bind { path: path(source)?, recursive: *recursive, device },
                )
            }
            Mount::Tmpfs { size, mode, .. } => {
                let size = size.map(|size| text("tmpfs size", size.to_string())).transpose()?;
                (false, MountSource::Tmpfs { size, mode: text("tmpfs mode", format!("{mode:o}"))? })
            }
            Mount::File { content, mode, uid, gid, read_only, .. } => {
                // With a single id there is only root to own it.
                let owned = spec.id_mode != IdMode::Single;
                let (uid, gid) = if owned { (*uid, *gid) } else { (0, 0) };
                let file = FilePlan { content: content.clone(), mode: *mode, uid, gid };
                (*read_only, MountSource::File(file))
            }
            Mount::Overlay { lower, upper, source_subpath, read_only, .. } => {
                let upper = upper.as_ref().map(|(upper, work)| (upper.as_path(), work.as_path()));
                let overlay = OverlayPlan::new(spec, lower, upper)?;
                let subpath = source_subpath.strip_prefix("/").unwrap_or(source_subpath);
                (*read_only, MountSource::Overlay { overlay, subpath: path(subpath)? })
            }
        };
        Ok(Self { target, makes_target, read_only, source })
    }
}

/// A null-terminated array of C strings.
#[derive(Debug)]
pub(crate) struct CStringArray {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStringArray {
    fn new<'a>(what: &str, items: impl Iterator<Item = &'a OsStr>) -> Result<Self, Error> {
        let strings =
            items.map(|item| text(what, item.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Ok(Self { _strings: strings, pointers })
    }

    pub(crate) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

pub(crate) fn path(path: &Path) -> Result<CString, Error> {
    text(&path.display().to_string(), path.as_os_str().as_bytes())
}

fn text(what: &str, bytes: impl Into<Vec<u8>>) -> Result<CString, Error> {
    CString::new(bytes)
        .map_err(|_| Error::Invalid { what: what.to_owned(), reason: "it contains a null byte" })
}

/// What is to be executed.
#[derive(Debug)]
pub(crate) enum Program {
    /// A path as it was given.
    Path(CString),
    /// The paths to try, in order.
    Search(Vec<CString>),
}

impl Program {
    fn new(spec: &Spec) -> Result<Self, Error> {
        let program = spec.args.first().filter(|program| !program.is_empty());
        let program =
            program.ok_or(Error::Invalid { what: "command".to_owned(), reason: "it is empty" })?;
        if program.as_bytes().contains(&b'/') {
            return Ok(Self::Path(text("command", program.as_bytes())?));
        }
        let path = spec.env.iter().rev().find_map(|item| item.as_bytes().strip_prefix(b"PATH="));
        let directories = path.unwrap_or_default().split(|byte| *byte == b':');
        let candidates = directories.filter(|directory| !directory.is_empty()).map(|directory| {
            let candidate = Path::new(OsStr::from_bytes(directory)).join(program);
            text("PATH", candidate.as_os_str().as_bytes())
        });
        candidates.collect::<Result<_, _>>().map(Self::Search)
    }
}

fn rlimit(limit: &crate::Rlimit) -> Result<(u32, u64, u64), Error> {
    let resource = match limit.name.as_str() {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        name => {
            let what = format!("resource limit {name}");
            return Err(Error::Invalid { what, reason: "there is no limit of that name" });
        }
    };
    Ok((resource, limit.soft, limit.hard))
}

fn is_device(source: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(source).is_ok_and(|metadata| {
        metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
    })
}

/// The version 1 hierarchies are not shown: their layout differs from machine to machine.
fn unified_cgroups() -> bool {
    const CGROUP2_SUPER_MAGIC: rustix::fs::FsWord = 0x6367_7270;
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type == CGROUP2_SUPER_MAGIC)
}
