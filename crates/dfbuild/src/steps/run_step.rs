use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use dfbuild_cache::{ClockTimes, LayerRecord};
use dfbuild_dockerfile::ast::{Network as NetworkFlag, Security};
use dfbuild_layer::Index;
use dfbuild_plan::RunStep;
use dfbuild_sandbox::{Exit, IdMode, Network, Privileges, Spec};
use dfbuild_store::Staging;

use crate::error::StepError;
use crate::event::{StepInfo, Stream, Usage};
use crate::images::layer_ref::is_clock_time;
use crate::images::rootfs::Rootfs;
use crate::redact::Redaction;
use crate::run::failed::{Remains, keep};
use crate::run::files::{file, hosts};
use crate::run::prepare::{pretend_for_apt, rlimits};
use crate::sandbox::Ended;
use crate::schedule::session::Session;
use crate::schedule::sources::Mounted;
use crate::snapshots::Changes;
use crate::steps::mounts::Mounts;
use crate::steps::shebang;
use crate::steps::stubs::Stubs;
use crate::steps::users::Users;

/// What a command calls its machine, as in BuildKit.
const HOST_NAME: &str = "buildkitsandbox";

/// Runs a command over the files of `rootfs` and keeps what it changed.
pub(crate) fn run_command(
    session: &Session<'_>,
    run: &RunStep,
    rootfs: &Rootfs<'_>,
    sources: &[Mounted<'_>],
    staging: &Staging,
    (info, usage): (&StepInfo, &Cell<Usage>),
) -> Result<LayerRecord, StepError> {
    let engine = session.engine;
    let view = rootfs.view()?;
    let account = Users::read(rootfs)?.account(&run.user)?;
    let mut stubs = Stubs::new(view);
    let mut mounts = Mounts::of(info.id);
    for directory in ["/proc", "/sys", "/dev", run.cwd.as_str()] {
        stubs.need_lasting(directory)?;
    }
    for (target, content) in [
        ("/etc/hosts", hosts(&host_name(session), &session.build.add_hosts)),
        ("/etc/resolv.conf", names(session)),
    ] {
        let target = stubs.need(target, false)?.below(Path::new("/"));
        mounts.mounts.push(file(target, content, 0o644));
    }
    let mut sources = sources.iter().copied();
    let mut flags: Vec<_> = run
        .mounts
        .iter()
        .map(|mount| (mount, mount.from.as_ref().and_then(|_| sources.next())))
        .collect();
    // A mount within another one comes after it, in whatever order they are written, as in BuildKit.
    flags.sort_by(|(one, _), (other, _)| one.target.cmp(&other.target));
    for (mount, source) in flags {
        mounts.add(session, mount, source, &mut stubs, staging)?;
    }
    if let Some((name, script)) = &run.script {
        let target = PathBuf::from("/dev/pipes").join(name);
        mounts.mounts.push(file(target, script.clone().into_bytes(), 0o755));
    }
    let variables = environment(run, &mounts, &account.home);
    let mut env: Vec<OsString> =
        variables.iter().map(|(name, value)| format!("{name}={value}").into()).collect();
    if engine.id_mode() == IdMode::Single {
        pretend_for_apt(&mut env, &mut mounts.mounts);
    }
    let mut workspace = session.snapshotter().prepare(rootfs, staging)?;
    // What is made for the command is made by it.
    let started = seconds_now();
    workspace.place(&stubs)?;
    let spec = Spec {
        args: run.args.iter().map(OsString::from).collect(),
        env,
        cwd: PathBuf::from(&run.cwd),
        user: account.user,
        hostname: host_name(session),
        network: network(session, run),
        privileges: privileges(session, run)?,
        mounts: std::mem::take(&mut mounts.mounts),
        rlimits: rlimits(&session.build.ulimits),
        shm_size: session.build.shm_size.unwrap_or(64 << 20),
        id_mode: engine.id_mode(),
        ..workspace.spec()?
    };
    if let Err(mut error) = execute(session, &spec, run, (info, usage)) {
        if let StepError::ExitCode { code: 126 | 127, script, .. } = &mut error {
            *script = shebang::hint(view, &spec);
        }
        if let Some(reason) = own_failure(&error) {
            let upper = workspace.abandon()?;
            let remains = Remains {
                spec: &spec,
                upper,
                layers: rootfs.diff_ids(),
                env: variables,
                asked: std::mem::take(&mut mounts.asked),
                info,
                reason,
            };
            if let Err(source) = keep(engine, staging, &remains) {
                let (failed, source) = (Box::new(error), Box::new(source));
                return Err(StepError::NotKept { failed, source });
            }
        }
        return Err(error);
    }
    let Changes { index, diff_id, tar_size, leaks } = workspace.commit(&session.leaks())?;
    session.report_leaks(&leaks, info)?;
    let clock = clock_times(rootfs, &index, started)?;
    engine.keep(index.into(), diff_id, tar_size, clock)
}

/// How a command failed by itself; `None` if what was to run it failed.
fn own_failure(error: &StepError) -> Option<String> {
    match error {
        StepError::ExitCode { code, .. } => Some(format!("exit code: {code}")),
        StepError::Signal { signal, .. } => Some(format!("killed by signal {signal}")),
        _ => None,
    }
}

/// Whatever is not older than the command, and what kept such a time from below.
fn clock_times(rootfs: &Rootfs<'_>, index: &Index, started: i64) -> Result<ClockTimes, StepError> {
    let since = ClockTimes::Since(started);
    let mut paths = rootfs.kept_clock_times(index)?;
    if paths.is_empty() {
        return Ok(since);
    }
    let own = index.entries().iter().filter(|entry| is_clock_time(entry, &since));
    paths.extend(own.map(|entry| entry.path.clone()));
    paths.sort_unstable();
    paths.dedup();
    Ok(ClockTimes::Paths(paths))
}

/// Runs the command to its end, passing on what it writes, without the secrets in it.
fn execute(
    session: &Session<'_>,
    spec: &Spec,
    run: &RunStep,
    (info, usage): (&StepInfo, &Cell<Usage>),
) -> Result<(), StepError> {
    let command = run.args.join(" ");
    let redaction = Redaction::of(session.secrets());
    let streams = [Mutex::new(redaction.stream()), Mutex::new(redaction.stream())];
    let redacting = |stream| {
        let number = usize::from(matches!(stream, Stream::Stderr));
        streams[number].lock().unwrap_or_else(PoisonError::into_inner)
    };
    let show = |stream, bytes: &[u8]| {
        if !bytes.is_empty() {
            session.progress.output(info.id, stream, bytes);
        }
    };
    let output = |stream, bytes: &[u8]| show(stream, &redacting(stream).next(bytes));
    let is_cancelled = || session.ending().is_near();
    let ended = session.engine.sandbox().run(spec, &output, &is_cancelled);
    if let Ok(Ended { cpu, .. }) = ended {
        usage.set(Usage { command: cpu, ..usage.get() });
    }
    for stream in [Stream::Stdout, Stream::Stderr] {
        show(stream, &redacting(stream).finish());
    }
    match ended.map(|ended| ended.exit) {
        // It was killed, or could not even begin, because nobody wants it any more.
        Ok(Exit::Signal(_)) | Err(_) if is_cancelled() => Err(StepError::Cancelled),
        Ok(Exit::Code(0)) => Ok(()),
        Ok(Exit::Code(code)) => {
            Err(StepError::ExitCode { command, code, missing_secrets: Vec::new(), script: None })
        }
        Ok(Exit::Signal(signal)) => Err(StepError::Signal { command, signal }),
        Err(error) => {
            let Some(code) = error.exit_code() else { return Err(error.into()) };
            session.progress.output(info.id, Stream::Stderr, format!("{error}\n").as_bytes());
            Err(StepError::ExitCode { command, code, missing_secrets: Vec::new(), script: None })
        }
    }
}

/// The variables of the command, each once. Proxy arguments and secrets win over the image's; `HOME`
/// is the user's unless something sets it.
fn environment(run: &RunStep, mounts: &Mounts, home: &str) -> Vec<(String, String)> {
    let mut env = run.env.clone();
    for (name, value) in run.proxy_env.iter().chain(&mounts.env) {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    if env.iter().all(|(name, _)| name != "HOME") {
        env.push(("HOME".to_owned(), home.to_owned()));
    }
    env
}

fn host_name(session: &Session<'_>) -> String {
    let given = session.build.build_args.get("BUILDKIT_SANDBOX_HOSTNAME");
    given.filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| HOST_NAME.to_owned())
}

fn names(session: &Session<'_>) -> Vec<u8> {
    session.build.resolv_conf.clone().unwrap_or_default()
}

fn network(session: &Session<'_>, run: &RunStep) -> Network {
    match run.network {
        NetworkFlag::None => Network::None,
        NetworkFlag::Default if session.build.network_none => Network::None,
        NetworkFlag::Default | NetworkFlag::Host => Network::Host,
    }
}

fn privileges(session: &Session<'_>, run: &RunStep) -> Result<Privileges, StepError> {
    match run.security {
        Security::Sandbox => Ok(Privileges::Docker),
        Security::Insecure if session.build.allow_insecure => Ok(Privileges::Insecure),
        Security::Insecure => Err(StepError::Unsupported(
            "security.insecure is not allowed; grant it with --allow security.insecure".to_owned(),
        )),
    }
}

fn seconds_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
