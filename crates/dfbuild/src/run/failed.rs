//! Where a step failed: what is kept of it, and commands there.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dfbuild_image::Digest;
use dfbuild_sandbox::{IdMode, Mount, Network, Privileges, Rlimit, Spec, Streams, User};
use dfbuild_store::Staging;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::event::StepInfo;
use crate::images::layer_cache::Form;
use crate::images::rootfs::Rootfs;
use crate::run::files::shell;
use crate::run::prepare::{execute, with_variables};
use crate::run::stages::layer_refs;
use crate::run::{Run, RunEnd, Signaller, error_of};
use crate::secrets::Secrets;
use crate::steps::mounts::Asked;
use crate::steps::ssh_agent::ForwardedAgent;
use crate::steps::users::Users;

/// The step of a store that failed last.
///
/// ```
/// use dfbuild::testing::FakeSandbox;
/// use dfbuild::{Build, BuildContext, Cancel, Engine, Event};
///
/// # let store = tempfile::tempdir()?;
/// let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(|_| 2));
/// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
/// assert!(build.run(&engine, &|_: &Event| {}, &Cancel::new()).is_err());
/// let step = engine.failed_step()?.unwrap();
/// assert_eq!((step.text.as_str(), step.line), ("RUN make", 2));
/// assert!(step.secrets.is_empty()); // Else they have to be given again.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedStep {
    /// Its stage.
    pub stage: String,
    /// The instruction on one line.
    pub text: String,
    /// The line of the Dockerfile where it begins, from 1.
    pub line: usize,
    /// How its command ended.
    pub reason: String,
    /// The secrets that it mounts.
    pub secrets: Vec<String>,
    /// The ssh agents that it mounts.
    pub agents: Vec<String>,
}

/// What is kept in `step.json`, beside the folders of the step.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    stage: String,
    text: String,
    line: usize,
    reason: String,
    /// The id map that the files depend on.
    flavour: String,
    /// The layers below; empty where the whole tree is in `upper`.
    layers: Vec<Digest>,
    /// Further folders over them, the lowest first.
    lower: Vec<Kept>,
    upper: Kept,
    overlay: bool,
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: String,
    user: (u32, u32, Vec<u32>),
    hostname: String,
    network_none: bool,
    insecure: bool,
    shm_size: u64,
    rlimits: Vec<(String, u64, u64)>,
    mounts: Vec<KeptMount>,
    asked: Vec<Asked>,
}

/// A path that does not change its meaning when the folder of the step moves.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Kept {
    /// In the folder of the step.
    Here(PathBuf),
    /// In the store.
    Store(PathBuf),
    /// Anywhere.
    Machine(PathBuf),
}

#[derive(Debug, Serialize, Deserialize)]
enum KeptMount {
    Bind {
        source: Kept,
        target: PathBuf,
        read_only: bool,
    },
    Tmpfs {
        target: PathBuf,
        size: Option<u64>,
        mode: u32,
    },
    File {
        target: PathBuf,
        content: Vec<u8>,
        mode: u32,
        read_only: bool,
    },
    Overlay {
        lower: Vec<Kept>,
        upper: Option<Kept>,
        target: PathBuf,
        part: PathBuf,
        read_only: bool,
    },
}

const FILE: &str = "step.json";

/// What a step that failed leaves behind.
pub(crate) struct Remains<'a> {
    pub(crate) spec: &'a Spec,
    /// Its root: `spec.upper`, or where that was moved to.
    pub(crate) upper: PathBuf,
    pub(crate) layers: Vec<Digest>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) info: &'a StepInfo,
    pub(crate) reason: String,
}

/// Keeps what is needed to run commands where a step failed, in the place of what was kept before.
pub(crate) fn keep(
    engine: &Engine,
    staging: &Staging,
    remains: &Remains<'_>,
) -> Result<(), StepError> {
    let record = record(engine, staging, remains);
    let path = staging.path().join(FILE);
    let failed = |error| StepError::io("write", &path)(error);
    // Variables may hold passwords of proxies.
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(failed)?;
    std::io::Write::write_all(&mut file, &dfbuild_image::canonical_json(&record))
        .map_err(failed)?;
    fs::set_permissions(staging.path(), fs::Permissions::from_mode(0o700)).map_err(failed)?;
    engine.store().keep_failed(staging)?;
    Ok(())
}

fn record(engine: &Engine, staging: &Staging, remains: &Remains<'_>) -> Record {
    let spec = remains.spec;
    let kept = |path: &Path| {
        if let Ok(rest) = path.strip_prefix(staging.path()) {
            return Kept::Here(rest.to_owned());
        }
        match path.strip_prefix(engine.store().root()) {
            Ok(rest) => Kept::Store(rest.to_owned()),
            Err(_) => Kept::Machine(path.to_owned()),
        }
    };
    let here = |path: &&PathBuf| path.starts_with(staging.path());
    let mounts = spec.mounts.iter().enumerate();
    let mounts = mounts
        .filter(|(at, _)| !remains.asked.iter().any(|asked| asked.mount == Some(*at)))
        .map(|(_, mount)| match mount {
            Mount::Bind { source, target, read_only, .. } => KeptMount::Bind {
                source: kept(source),
                target: target.clone(),
                read_only: *read_only,
            },
            Mount::Tmpfs { target, size, mode } => {
                KeptMount::Tmpfs { target: target.clone(), size: *size, mode: *mode }
            }
            Mount::File { target, content, mode, read_only, .. } => KeptMount::File {
                target: target.clone(),
                content: content.clone(),
                mode: *mode,
                read_only: *read_only,
            },
            Mount::Overlay { lower, upper, target, source_subpath, read_only } => {
                KeptMount::Overlay {
                    lower: lower.iter().map(|path| kept(path)).collect(),
                    upper: upper.as_ref().map(|(upper, _)| kept(upper)),
                    target: target.clone(),
                    part: source_subpath.clone(),
                    read_only: *read_only,
                }
            }
        });
    let is_secret = |name: &String| {
        remains.asked.iter().any(|asked| asked.env.as_ref() == Some(name) && asked.secret)
    };
    let env = remains.env.iter().filter(|(name, _)| !is_secret(name));
    let overlay = !spec.lower.is_empty();
    Record {
        stage: remains.info.stage.clone(),
        text: remains.info.text.clone(),
        line: remains.info.line,
        reason: remains.reason.clone(),
        flavour: engine.flavour(Form::Overlay),
        layers: remains.layers.clone(),
        lower: spec.lower.iter().filter(here).map(|path| kept(path)).collect(),
        upper: kept(&remains.upper),
        overlay,
        args: spec.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        env: env.cloned().collect(),
        cwd: spec.cwd.to_string_lossy().into_owned(),
        user: (spec.user.uid, spec.user.gid, spec.user.groups.clone()),
        hostname: spec.hostname.clone(),
        network_none: spec.network == Network::None,
        insecure: spec.privileges == Privileges::Insecure,
        shm_size: spec.shm_size,
        rlimits: spec.rlimits.iter().map(|it| (it.name.clone(), it.soft, it.hard)).collect(),
        mounts: mounts.collect(),
        asked: remains.asked.clone(),
    }
}

impl Engine {
    /// The step of this store that failed last, if it is still there.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// let build = Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n");
    /// build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(engine.failed_step()?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failed_step(&self) -> Result<Option<FailedStep>, Error> {
        let Some(folder) = self.store().failed()? else { return Ok(None) };
        let record = read(folder.path())?;
        let names = |secret: bool| {
            let wanted = record.asked.iter().filter(|asked| asked.secret == secret);
            wanted.map(|asked| asked.id.clone()).collect()
        };
        let (secrets, agents) = (names(true), names(false));
        let Record { stage, text, line, reason, .. } = record;
        Ok(Some(FailedStep { stage, text, line, reason, secrets, agents }))
    }
}

fn read(folder: &Path) -> Result<Record, Error> {
    let path = folder.join(FILE);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::io("read", &path)(error.into()))
}

/// Runs a command where the last step failed.
pub(super) fn run(
    run: &Run,
    engine: &Engine,
    streams: Streams,
    started: &dyn Fn(Signaller),
) -> Result<RunEnd, Error> {
    let folder = engine.store().failed()?.ok_or_else(|| Error::Image {
        name: "of a failed step".to_owned(),
        reason: "no step has failed in this store".to_owned(),
        hint: Some("name an image, or a stage of the last build".to_owned()),
        line: None,
        source: None,
    })?;
    let record = read(folder.path())?;
    let name = format!("a shell at {}", record.text);
    if record.flavour != engine.flavour(Form::Overlay) {
        let text = "it failed in a build by another user, or with other subordinate ids";
        return Err(error_of(&name, StepError::Unsupported(text.to_owned())));
    }
    let again = Again { run, engine, record: &record, folder: folder.path() };
    let prepare = || again.execute(streams, started);
    prepare().map_err(|error| error_of(&name, error))
}

/// A command where a step failed.
struct Again<'a> {
    run: &'a Run,
    engine: &'a Engine,
    record: &'a Record,
    folder: &'a Path,
}

impl Again<'_> {
    fn execute(&self, streams: Streams, started: &dyn Fn(Signaller)) -> Result<RunEnd, StepError> {
        let (run, record) = (self.run, self.record);
        let staging = self.engine.store().stage()?;
        let rootfs = Rootfs::new(self.engine, layer_refs(self.engine, &record.layers)?);
        let mut env = record.env.clone();
        let mut mounts = self.mounts(&staging)?;
        let agents = self.give(&mut mounts, &mut env, &staging)?;
        for volume in &run.volumes {
            mounts.push(Mount::Bind {
                source: volume.source.clone(),
                target: PathBuf::from(&volume.target),
                read_only: volume.read_only,
                recursive: true,
            });
        }
        with_variables(&mut env, &run.env);
        let mut user =
            User { uid: record.user.0, gid: record.user.1, groups: record.user.2.clone() };
        if let Some(given) = &run.user {
            let account = Users::read(&rootfs)?.account(given)?;
            with_variables(&mut env, &[("HOME".to_owned(), account.home)]);
            user = account.user;
        }
        let args = match (run.args.is_empty(), run.shell) {
            (false, _) => run.args.clone(),
            (true, true) => shell(rootfs.view()?).into_iter().collect(),
            (true, false) => record.args.clone(),
        };
        if args.is_empty() {
            let text = "there is no shell in the image: give a command".to_owned();
            return Err(StepError::Unsupported(text));
        }
        let cwd = Path::new(&record.cwd).join(run.workdir.as_deref().unwrap_or_default());
        let network_none = record.network_none || run.network_none;
        let spec = Spec {
            args: args.iter().map(OsString::from).collect(),
            env: env.iter().map(|(name, value)| format!("{name}={value}").into()).collect(),
            cwd,
            user,
            hostname: record.hostname.clone(),
            network: if network_none { Network::None } else { Network::Host },
            privileges: if record.insecure { Privileges::Insecure } else { Privileges::Docker },
            mounts,
            rlimits: record
                .rlimits
                .iter()
                .map(|(name, soft, hard)| Rlimit { name: name.clone(), soft: *soft, hard: *hard })
                .collect(),
            shm_size: record.shm_size,
            id_mode: self.engine.id_mode(),
            ..self.root(&rootfs, &staging)?
        };
        let end = execute(&spec, rootfs.view()?, streams, started);
        drop(agents);
        end
    }

    /// Its files: what it had changed is a layer of its own, so that a shell leaves it as it was.
    /// Where the step ran in a copy the shell goes on in it.
    fn root(&self, rootfs: &Rootfs<'_>, staging: &Staging) -> Result<Spec, StepError> {
        let record = self.record;
        if !record.overlay {
            return Ok(Spec::new(self.path(&record.upper), staging.folder("work")?));
        }
        let mut lower = rootfs.overlay_directories()?;
        lower.extend(record.lower.iter().map(|path| self.path(path)));
        lower.push(self.path(&record.upper));
        Ok(Spec { lower, ..Spec::new(staging.folder("upper")?, staging.folder("work")?) })
    }

    fn path(&self, path: &Kept) -> PathBuf {
        match path {
            Kept::Here(rest) => self.folder.join(rest),
            Kept::Store(rest) => self.engine.store().root().join(rest),
            Kept::Machine(path) => path.clone(),
        }
    }

    fn mounts(&self, staging: &Staging) -> Result<Vec<Mount>, StepError> {
        let mounts = self.record.mounts.iter().map(|mount| {
            Ok(match mount {
                KeptMount::Bind { source, target, read_only } => Mount::Bind {
                    source: self.path(source),
                    target: target.clone(),
                    read_only: *read_only,
                    recursive: false,
                },
                KeptMount::Tmpfs { target, size, mode } => {
                    Mount::Tmpfs { target: target.clone(), size: *size, mode: *mode }
                }
                KeptMount::File { target, content, mode, read_only } => Mount::File {
                    target: target.clone(),
                    content: content.clone(),
                    mode: *mode,
                    uid: 0,
                    gid: 0,
                    read_only: *read_only,
                },
                KeptMount::Overlay { lower, upper, target, part, read_only } => Mount::Overlay {
                    lower: lower.iter().map(|path| self.path(path)).collect(),
                    upper: match upper {
                        Some(upper) => Some((self.path(upper), staging.folder("work")?)),
                        None => None,
                    },
                    target: target.clone(),
                    source_subpath: part.clone(),
                    read_only: *read_only,
                },
            })
        });
        mounts.collect()
    }

    /// Adds the secrets and agents that were given again. The agents end with the value.
    fn give(
        &self,
        mounts: &mut Vec<Mount>,
        env: &mut Vec<(String, String)>,
        staging: &Staging,
    ) -> Result<Vec<ForwardedAgent>, StepError> {
        let secrets = Secrets::new(&self.run.secrets);
        let mut agents = Vec::new();
        for asked in &self.record.asked {
            if asked.secret {
                let Some(value) = secrets.get(&asked.id)? else {
                    if asked.required {
                        return Err(StepError::NoSecret { id: asked.id.clone() });
                    }
                    continue;
                };
                if let Some(name) = &asked.env {
                    let text = String::from_utf8_lossy(&value).into_owned();
                    with_variables(env, &[(name.clone(), text)]);
                }
                if let Some(target) = &asked.target {
                    mounts.push(Mount::File {
                        target: target.clone(),
                        content: value.to_vec(),
                        mode: asked.mode,
                        uid: asked.uid,
                        gid: asked.gid,
                        read_only: true,
                    });
                }
                continue;
            }
            let Some(agent) = self.run.ssh.iter().find(|agent| agent.id == asked.id) else {
                if asked.required {
                    return Err(StepError::NoSshAgent { id: asked.id.clone() });
                }
                continue;
            };
            let single_id = self.engine.id_mode() == IdMode::Single;
            let owner = (asked.uid, asked.gid);
            let owner = (owner != (0, 0) && !single_id).then_some(owner);
            let folder = staging.folder("ssh")?;
            let forwarded = ForwardedAgent::start(&agent.socket, &folder, asked.mode, owner)?;
            if let Some(target) = &asked.target {
                mounts.push(Mount::Bind {
                    source: forwarded.socket().to_owned(),
                    target: target.clone(),
                    read_only: false,
                    recursive: false,
                });
            }
            agents.push(forwarded);
        }
        Ok(agents)
    }
}
