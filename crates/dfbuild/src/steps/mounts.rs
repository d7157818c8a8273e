use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use dfbuild_dockerfile::ast::{MountKind, Sharing};
use dfbuild_image::{Entry, TreePath};
use dfbuild_plan::{RunMount, default_secret_target};
use dfbuild_sandbox::{IdMode, Mount};
use dfbuild_store::{MountFolder, MountLock, Staging};
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::event::{StepId, Wait};
use crate::schedule::nodes::forget;
use crate::schedule::session::Session;
use crate::schedule::sources::{Mounted, mount_digest};
use crate::steps::checkout::{inside_of, with_parents};
use crate::steps::missing::not_found;
use crate::steps::ssh_agent::ForwardedAgent;
use crate::steps::stubs::Stubs;
use crate::steps::tree::resolve;

/// The mounts of a command, and what has to live as long as it runs.
pub(crate) struct Mounts {
    /// The step of the command.
    step: StepId,
    pub(crate) mounts: Vec<Mount>,
    /// Variables that hold secrets.
    pub(crate) env: Vec<(String, String)>,
    /// What only the caller has.
    pub(crate) asked: Vec<Asked>,
    /// The sockets of ssh agents.
    agents: Vec<ForwardedAgent>,
    /// The cache mounts by folder: a command may mount the same one twice.
    caches: BTreeMap<PathBuf, Cache>,
}

/// A secret or an agent that a command mounts, without its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Its name.
    pub(crate) id: String,
    /// Whether it is a secret; else it is an ssh agent.
    pub(crate) secret: bool,
    /// Which of the mounts it is, if it is one.
    pub(crate) mount: Option<usize>,
    /// Where that is.
    pub(crate) target: Option<PathBuf>,
    /// The variable that holds it.
    pub(crate) env: Option<String>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether the command cannot do without it.
    pub(crate) required: bool,
}

impl Asked {
    fn of(mount: &RunMount) -> Self {
        Self {
            id: mount.id.clone(),
            secret: mount.kind == MountKind::Secret,
            mount: None,
            target: None,
            env: mount.env.clone(),
            mode: mount.mode.unwrap_or(0o600),
            uid: mount.uid,
            gid: mount.gid,
            required: mount.required,
        }
    }
}

/// A cache mount in use.
struct Cache {
    folder: MountFolder,
    /// Whether one command at a time may use it.
    alone: bool,
    lock: Option<MountLock>,
}

impl Mounts {
    /// None yet.
    pub(crate) fn of(step: StepId) -> Self {
        let (mounts, env, asked, agents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { step, mounts, env, asked, agents, caches: BTreeMap::new() }
    }

    /// Adds what a `RUN --mount` says.
    pub(crate) fn add(
        &mut self,
        session: &Session<'_>,
        mount: &RunMount,
        source: Option<Mounted<'_>>,
        stubs: &mut Stubs<'_>,
        staging: &Staging,
    ) -> Result<(), StepError> {
        match mount.kind {
            MountKind::Bind => {
                let source = source.expect("a bind mount has a source");
                self.bind(session, mount, source, stubs, staging)
            }
            MountKind::Cache => self.cache(session, mount, source, stubs),
            MountKind::Tmpfs => {
                let target = place(stubs, &mount.target, true)?;
                let mode = mount.mode.unwrap_or(0o1777);
                self.mounts.push(Mount::Tmpfs { target, size: mount.size, mode });
                Ok(())
            }
            MountKind::Secret => self.secret(session, mount, stubs),
            MountKind::Ssh => self.ssh(session, mount, stubs, staging),
        }
    }

    fn bind(
        &mut self,
        session: &Session<'_>,
        mount: &RunMount,
        source: Mounted<'_>,
        stubs: &mut Stubs<'_>,
        staging: &Staging,
    ) -> Result<(), StepError> {
        let tree = source.tree();
        let found = resolve(&|path| tree.get(path), &TreePath::new(&mount.source), true)?;
        let Some(entry) = found.entry else {
            return Err(not_found(tree, found.path.to_string(), &found.path));
        };
        let target = place(stubs, &mount.target, entry.kind.is_directory())?;
        let read_only = mount.read_only;
        let made = match source {
            Mounted::Context(context) => {
                let source = with_parents(session.engine, context, &entry, staging)?;
                // A copy of its own: what is written to it is lost with it.
                Mount::Bind { source, target, read_only, recursive: false }
            }
            Mounted::Rootfs(rootfs) => {
                let snapshotter = session.snapshotter();
                let entry = Entry { path: found.path, ..entry };
                snapshotter.mount(rootfs, &entry, target, read_only, staging)?
            }
        };
        self.mounts.push(made);
        Ok(())
    }

    fn cache(
        &mut self,
        session: &Session<'_>,
        mount: &RunMount,
        source: Option<Mounted<'_>>,
        stubs: &mut Stubs<'_>,
    ) -> Result<(), StepError> {
        let target = place(stubs, &mount.target, true)?;
        let namespace = session.build.build_args.get("BUILDKIT_CACHE_MOUNT_NS");
        let namespace = namespace.map_or("", String::as_str);
        let mut id = format!("{namespace}\0{}", mount.id);
        // A cache that begins with files is another one for other files, as in BuildKit.
        if let Some(source) = &source {
            id = format!("{id}\0{}", mount_digest(mount, source.tree(), &mut forget)?);
        }
        let source = match mount.sharing {
            Sharing::Shared => self.use_cache(cache_folder(session, mount, source, &id)?, false),
            Sharing::Locked => {
                let path = self.use_cache(cache_folder(session, mount, source, &id)?, true);
                self.wait_for_caches(session, &mount.target)?;
                path
            }
            Sharing::Private => self.private_cache(session, mount, source, &id)?,
        };
        let read_only = mount.read_only;
        self.mounts.push(Mount::Bind { source, target, read_only, recursive: false });
        Ok(())
    }

    fn use_cache(&mut self, folder: MountFolder, alone: bool) -> PathBuf {
        let path = folder.path().to_owned();
        let cache = self.caches.entry(path.clone());
        cache.or_insert(Cache { folder, alone: false, lock: None }).alone |= alone;
        path
    }

    /// Waits until nobody else uses the caches that one command at a time may use, or the build ends.
    /// Whoever has to wait gives back what it holds meanwhile, so that two commands never wait for
    /// each other.
    fn wait_for_caches(&mut self, session: &Session<'_>, target: &str) -> Result<(), StepError> {
        let start = Instant::now();
        let mut told = false;
        let mut waiting = None;
        loop {
            let mut all = true;
            for cache in self.caches.values_mut().filter(|cache| cache.alone) {
                if cache.lock.is_none() {
                    cache.lock = try_lock(&cache.folder)?;
                }
                all &= cache.lock.is_some();
                if !all {
                    break;
                }
            }
            if all {
                return Ok(());
            }
            for cache in self.caches.values_mut() {
                cache.lock = None;
            }
            if session.ending().is_near() {
                return Err(StepError::Cancelled);
            }
            waiting.get_or_insert_with(|| {
                let wait = Wait::CacheMount { target: target.to_owned() };
                session.progress.waits(self.step, wait)
            });
            if !told && start.elapsed() >= LONG_WAIT {
                session.progress.notice("a command waits for a cache mount that another one uses");
                told = true;
            }
            thread::sleep(LOCK_INTERVAL);
        }
    }

    /// The first copy of the cache that nobody uses.
    fn private_cache(
        &mut self,
        session: &Session<'_>,
        mount: &RunMount,
        source: Option<Mounted<'_>>,
        id: &str,
    ) -> Result<PathBuf, StepError> {
        let mut number = 0;
        loop {
            let folder = cache_folder(session, mount, source, &format!("{id}\0{number}"))?;
            if let Some(lock) = try_lock(&folder)? {
                let path = folder.path().to_owned();
                let cache = Cache { folder, alone: true, lock: Some(lock) };
                self.caches.insert(path.clone(), cache);
                return Ok(path);
            }
            number += 1;
        }
    }

    fn secret(
        &mut self,
        session: &Session<'_>,
        mount: &RunMount,
        stubs: &mut Stubs<'_>,
    ) -> Result<(), StepError> {
        if mount.required && !session.secrets().is_set(&mount.id) {
            return Err(StepError::NoSecret { id: mount.id.clone() });
        }
        let Some(content) = session.secrets().get(&mount.id)? else { return Ok(()) };
        if let Some(name) = &mount.env {
            self.env.push((name.clone(), String::from_utf8_lossy(&content).into_owned()));
        }
        let mut asked = Asked { mode: mount.mode.unwrap_or(0o400), ..Asked::of(mount) };
        // With `env` the file is only made if its place was named as well.
        let default = default_secret_target(&mount.id);
        if mount.env.is_none() || mount.target != default {
            let target = place(stubs, &mount.target, false)?;
            asked.mount = Some(self.mounts.len());
            asked.target = Some(target.clone());
            self.mounts.push(Mount::File {
                target,
                content: content.to_vec(),
                mode: asked.mode,
                uid: mount.uid,
                gid: mount.gid,
                read_only: true,
            });
        }
        self.asked.push(asked);
        Ok(())
    }
}

impl Mounts {
    fn ssh(
        &mut self,
        session: &Session<'_>,
        mount: &RunMount,
        stubs: &mut Stubs<'_>,
        staging: &Staging,
    ) -> Result<(), StepError> {
        // As in BuildKit the first one is named, whether it is there or not.
        const SOCKET: &str = "SSH_AUTH_SOCK";
        if !self.env.iter().any(|(name, _)| name == SOCKET) {
            self.env.push((SOCKET.to_owned(), mount.target.clone()));
        }
        let Some(agent) = session.build.ssh.iter().find(|agent| agent.id == mount.id) else {
            return if mount.required {
                Err(StepError::NoSshAgent { id: mount.id.clone() })
            } else {
                Ok(())
            };
        };
        let owner = (mount.uid, mount.gid);
        let single_id = session.engine.id_mode() == IdMode::Single;
        let owner = (owner != (0, 0) && !single_id).then_some(owner);
        let folder = staging.folder("ssh")?;
        let mode = mount.mode.unwrap_or(0o600);
        let forwarded = ForwardedAgent::start(&agent.socket, &folder, mode, owner)?;
        let target = place(stubs, &mount.target, false)?;
        self.asked.push(Asked {
            mount: Some(self.mounts.len()),
            target: Some(target.clone()),
            mode,
            ..Asked::of(mount)
        });
        self.mounts.push(Mount::Bind {
            source: forwarded.socket().to_owned(),
            target,
            read_only: false,
            recursive: false,
        });
        self.agents.push(forwarded);
        Ok(())
    }
}

/// Where a mount goes in the root, with links followed. What is below `/dev` is made by the
/// sandbox.
fn place(stubs: &mut Stubs<'_>, target: &str, is_directory: bool) -> Result<PathBuf, StepError> {
    if target.starts_with("/dev/") {
        return Ok(PathBuf::from(target));
    }
    Ok(stubs.need(target, is_directory)?.below(Path::new("/")))
}

/// The folder of a cache, made and filled when it is first used.
fn cache_folder(
    session: &Session<'_>,
    mount: &RunMount,
    source: Option<Mounted<'_>>,
    id: &str,
) -> Result<MountFolder, StepError> {
    let store = session.engine.store();
    let folder = store.mount(id).map_err(StepError::io("open", store.root().join("mounts")))?;
    if folder.path().is_dir() {
        return Ok(folder);
    }
    let staging = store.stage()?;
    let made = staging.path().join("cache");
    fs::DirBuilder::new().mode(0o755).create(&made).map_err(StepError::io("create", &made))?;
    if let Some(source) = source {
        seed(session, mount, source, &made)?;
    }
    set_mode(&made, mount, session.engine.id_mode() == IdMode::Single)?;
    let put = store.put_mount(&folder, &made);
    put.map_err(StepError::io("create", folder.path()))?;
    Ok(folder)
}

fn set_mode(folder: &Path, mount: &RunMount, single_id: bool) -> Result<(), StepError> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mount.mode.unwrap_or(0o755));
    fs::set_permissions(folder, mode).map_err(StepError::io("change the mode of", folder))?;
    if mount.uid != 0 || mount.gid != 0 {
        let owner = chown(folder, Some(mount.uid), Some(mount.gid));
        // With a single id there is nobody else to own it, and nobody who would mind.
        if !single_id {
            owner.map_err(StepError::io("change the owner of", folder))?;
        }
    }
    Ok(())
}

/// Copies `from`/`source` into a new cache.
fn seed(
    session: &Session<'_>,
    mount: &RunMount,
    source: Mounted<'_>,
    dest: &Path,
) -> Result<(), StepError> {
    let tree = source.tree();
    let top = resolve(&|path| tree.get(path), &TreePath::new(&mount.source), true)?.path;
    inside_of(session.engine, tree, &top, dest)
}

/// The right to use a cache alone; `None` if somebody else has it.
fn try_lock(folder: &MountFolder) -> Result<Option<MountLock>, StepError> {
    folder.try_lock().map_err(StepError::io("lock", folder.path()))
}

/// Whoever waits that long for a cache wants to know.
const LONG_WAIT: Duration = Duration::from_secs(5);

/// How often a cache that somebody else uses is asked for.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);
