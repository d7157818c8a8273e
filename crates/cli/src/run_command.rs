//! Running commands: in images, in stages, and where a step failed.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs, thread};

use dfbuild::{
    BuiltStage, Engine, Error, FailedStep, Platform, Reference, Run, RunEnd, Signaller,
    SnapshotterChoice, Streams, Volume,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::args::{CommonRunArgs, MountFlag, NetworkArg, PullArg, RunArgs, ShellArgs, VolumeFlag};
use crate::failure::Failure;
use crate::inspect::shorten;
use crate::signals::Interrupted;
use crate::terminal::{Resizer, Terminal};
use crate::{docker_config, engine, forwarding, registry, report};

/// What `docker run` exits with where it fails itself: the codes below are the command's.
pub(crate) const RUN_FAILED: u8 = 125;

/// Runs a command in an image.
pub(crate) fn run(args: &RunArgs, root: PathBuf) -> ExitCode {
    let made = || -> Result<(Engine, Run), Box<dyn std::error::Error>> {
        for notice in args.docker.notices() {
            tell(&notice);
        }
        let engine = with_image(open(root)?, args)?;
        let mut run = Run::image(&args.image).args(&args.command);
        if let Some(entrypoint) = &args.entrypoint {
            run = run.entrypoint(Some(entrypoint).filter(|it| !it.is_empty()));
        }
        let proxies = docker_config::proxies(&|name| env::var(name).ok());
        for (name, value) in proxies.map_err(|notice| tell(&notice)).unwrap_or_default() {
            run = run.env(name, value);
        }
        for (name, value) in variables_of_files(&args.env_file)? {
            run = run.env(name, value);
        }
        for (name, address) in &args.add_host {
            run = run.add_host(name, address);
        }
        if let Some(name) = &args.hostname {
            run = run.hostname(name);
        }
        if let Some(bytes) = args.shm_size {
            run = run.shm_size(bytes);
        }
        if let Some(platform) = &args.platform {
            run = run.platform(platform.clone());
        }
        for flag in &args.mount {
            run = match flag {
                MountFlag::Bind(flag) => with_volume(run, flag)?,
                MountFlag::Tmpfs(tmpfs) => run.tmpfs(tmpfs.clone()),
            };
        }
        run = args.tmpfs.iter().cloned().fold(run, Run::tmpfs);
        run = args.ulimit.iter().cloned().fold(run, Run::ulimit);
        run = run.read_only(args.read_only).privileged(args.privileged);
        let run = with_common(&engine, run, &args.common, args.tty)?;
        Ok((engine, run))
    };
    match made() {
        Ok((engine, run)) => start(&engine, &run, args.interactive, args.tty),
        Err(error) => failed(&*error),
    }
}

/// The engine, with the image in its store if it can be had.
fn with_image(engine: Engine, args: &RunArgs) -> Result<Engine, Box<dyn std::error::Error>> {
    let reference: Reference = args.image.parse()?;
    let wanted = match args.pull {
        PullArg::Always => true,
        PullArg::Never => false,
        PullArg::Missing => {
            let found = engine.inspect(&args.image, args.platform.as_ref());
            if let Err(Error::Image { hint, reason, .. }) = &found
                && !args.registries.offline
            {
                let image = &args.image;
                tell(&match hint {
                    Some(hint) => {
                        format!("{image} is not in the store ({hint}); asking its registry")
                    }
                    // It is there, and is none for this machine or for the platform.
                    None => format!("{image}: {reason}; asking its registry"),
                });
            }
            matches!(found, Err(Error::Image { .. }))
        }
    };
    if !wanted || args.registries.offline {
        // Its layers may have been left in a registry.
        return registry::reach(engine, &args.registries);
    }
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    registry::pull_for_run(engine, &reference, &platform, &args.registries)
}

/// Opens a shell.
pub(crate) fn shell(args: &ShellArgs, root: PathBuf) -> ExitCode {
    // A script that pipes its commands in needs no terminal.
    let tty = io::stdin().is_terminal() && io::stdout().is_terminal();
    let made = || -> Result<(Engine, Run), Box<dyn std::error::Error>> {
        let engine = registry::reach(open(root)?, &args.registries)?;
        let mut run = if let Some(name) = &args.place {
            image_or_stage(&engine, name, args)?
        } else {
            if let Some(step) = engine.failed_step()? {
                about(&step, args);
            }
            Run::failed_step()
        };
        let environment = |name: &str| env::var(name).ok();
        let mut notices = Vec::new();
        for flag in &args.secret {
            run = run.secret(forwarding::secret(flag, &environment, &mut notices)?);
        }
        for flag in &args.ssh {
            run = run.ssh(forwarding::agent(flag, &environment)?);
        }
        for notice in &notices {
            tell(notice);
        }
        let run = run.shell().args(&args.command);
        let run = with_common(&engine, run, &args.common, tty)?;
        Ok((engine, run))
    };
    match made() {
        Ok((engine, run)) => start(&engine, &run, true, tty),
        Err(error) => failed(&*error),
    }
}

/// Says what failed, and what it had that a shell does not get by itself.
fn about(step: &FailedStep, args: &ShellArgs) {
    const MOST: usize = 70;
    tell(&format!("line {} failed: {}: {}", step.line, shorten(&step.text, MOST), step.reason));
    let missing = |id: &&String| !args.secret.iter().any(|flag| flag.id == **id);
    for id in step.secrets.iter().filter(missing) {
        tell(&format!("secret {id} is not mounted: give it again with --secret id={id},src=FILE"));
    }
    let missing = |id: &&String| !args.ssh.iter().any(|flag| flag.id == **id);
    for id in step.agents.iter().filter(missing) {
        tell(&format!("ssh agent {id} is not mounted: give it again with --ssh {id}"));
    }
}

/// Opens a shell where a build just failed.
pub(crate) fn shell_on_error(engine: &Engine, run: Run) {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        tell("--on-error=shell opens no shell: this is no terminal");
        return;
    }
    tell("a shell where it failed; what is changed there is not kept");
    let run = with_terminal(run.shell());
    let _ = start(engine, &run, true, true);
}

fn open(root: PathBuf) -> Result<Engine, Error> {
    let choice = match env::var("DFBUILD_SNAPSHOTTER").as_deref() {
        Ok("copy") => SnapshotterChoice::Copy,
        Ok("overlay") => SnapshotterChoice::Overlay,
        _ => SnapshotterChoice::Auto,
    };
    engine::open(root, choice)
}

/// An image of that name, else a stage of the last build; where a stage failed, the step that did.
fn image_or_stage(engine: &Engine, name: &str, args: &ShellArgs) -> Result<Run, Error> {
    let stages = engine.last_stages();
    let error = match engine.inspect(name, None) {
        Ok(_) if !args.stage => return Ok(Run::image(name)),
        Err(error @ Error::Image { .. }) => Some(error),
        Err(error) => return Err(error),
        Ok(_) => None,
    };
    if let Some(stage) = stages.iter().find(|it| it.name().eq_ignore_ascii_case(name)) {
        return Ok(Run::stage(stage.clone()));
    }
    let failed = engine.failed_step()?;
    if let Some(step) = &failed
        && step.stage.eq_ignore_ascii_case(name)
    {
        about(step, args);
        return Ok(Run::failed_step());
    }
    // One may have been built for several platforms, and have failed before.
    let mut names: Vec<String> = Vec::new();
    for name in stages.iter().map(BuiltStage::name).chain(failed.map(|step| step.stage)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let known = if names.is_empty() {
        "the last build left no stages".to_owned()
    } else {
        format!("stages of the last build: {}", names.join(", "))
    };
    let hint = match error {
        Some(Error::Image { hint: Some(hint), .. }) => format!("{hint}; {known}"),
        _ => known,
    };
    Err(Error::Image {
        name: name.to_owned(),
        reason: "neither an image nor a stage of the last build has that name".to_owned(),
        hint: Some(hint),
        line: None,
        source: None,
    })
}

fn with_common(engine: &Engine, mut run: Run, args: &CommonRunArgs, tty: bool) -> io::Result<Run> {
    if tty {
        run = with_terminal(run);
    }
    for variable in &args.env {
        // As with docker: one that is not set anywhere stays unset.
        if let Some(value) = variable.value.clone().or_else(|| env::var(&variable.name).ok()) {
            run = run.env(&variable.name, value);
        }
    }
    for flag in &args.volume {
        run = with_volume(run, flag)?;
    }
    if let Some(path) = &args.workdir {
        run = run.workdir(path);
    }
    if let Some(user) = &args.user {
        run = run.user(user);
        if let Some(text) = engine.limits_of_one_id() {
            tell(text);
        }
    }
    if let Ok(content) = fs::read("/etc/resolv.conf") {
        run = run.resolv_conf(content);
    }
    Ok(run.network_none(args.network == NetworkArg::None))
}

fn with_volume(run: Run, flag: &VolumeFlag) -> io::Result<Run> {
    let source = fs::canonicalize(&flag.source).map_err(|error| {
        io::Error::new(error.kind(), format!("mount {}: {error}", flag.source.display()))
    })?;
    let (target, read_only) = (flag.target.clone(), flag.read_only);
    Ok(run.volume(Volume { source, target, read_only }))
}

fn with_terminal(run: Run) -> Run {
    match env::var("TERM") {
        Ok(term) => run.env("TERM", term),
        Err(_) => run.env("TERM", "xterm"),
    }
}

/// Lines of `NAME=VALUE`, or `NAME` for the caller's own; `#` begins a comment.
fn variables_of_files(files: &[PathBuf]) -> io::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).map_err(|error| {
            io::Error::new(error.kind(), format!("read {}: {error}", file.display()))
        })?;
        let lines = text.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once('=') {
                Some((name, value)) => variables.push((name.to_owned(), value.to_owned())),
                None => variables.extend(env::var(line).ok().map(|value| (line.to_owned(), value))),
            }
        }
    }
    Ok(variables)
}

/// Runs a command with this process's streams, or with a terminal, and exits as it did.
fn start(engine: &Engine, run: &Run, interactive: bool, tty: bool) -> ExitCode {
    let ended =
        if tty { with_pty(engine, run, interactive) } else { plain(engine, run, interactive) };
    match ended {
        Ok(RunEnd::NotStarted { code, reason, hint }) => {
            let hints = hint.or_else(|| dfbuild::explain_exit_code(code)).into_iter().collect();
            let message = format!("failed to {reason}");
            let _ = report::failure(&Failure { message, hints, ..Failure::default() });
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Ok(end) => ExitCode::from(u8::try_from(end.exit_code()).unwrap_or(1)),
        Err(error) => failed(&*error),
    }
}

fn plain(
    engine: &Engine,
    run: &Run,
    interactive: bool,
) -> Result<RunEnd, Box<dyn std::error::Error>> {
    let input: OwnedFd = if interactive {
        io::stdin().as_fd().try_clone_to_owned()?
    } else {
        fs::File::open("/dev/null")?.into()
    };
    let streams = Streams {
        input,
        output: io::stdout().as_fd().try_clone_to_owned()?,
        error: io::stderr().as_fd().try_clone_to_owned()?,
        controls_terminal: false,
    };
    let forwarding = Forwarding::new(None)?;
    let end = run.start(engine, streams, &|signaller| forwarding.to(signaller))?;
    forwarding.explain(&end);
    Ok(end)
}

fn with_pty(
    engine: &Engine,
    run: &Run,
    interactive: bool,
) -> Result<RunEnd, Box<dyn std::error::Error>> {
    let (mut terminal, slave) = Terminal::new()?;
    let streams = Streams {
        input: slave.try_clone()?,
        output: slave.try_clone()?,
        error: slave,
        controls_terminal: true,
    };
    let forwarding = Forwarding::new(Some(terminal.resizer()))?;
    terminal.connect(interactive)?;
    let ended = run.start(engine, streams, &|signaller| forwarding.to(signaller));
    terminal.close();
    let end = ended?;
    forwarding.explain(&end);
    Ok(end)
}

/// Passes on the signals of this process to the command. The third of them kills it: as the first
/// process of its namespace it may hear of none.
struct Forwarding(Arc<Mutex<Forwarded>>);

#[derive(Default)]
struct Forwarded {
    to: Option<Signaller>,
    /// Those that came before there was a command.
    early: Vec<i32>,
    count: usize,
}

impl Forwarded {
    const PATIENCE: usize = 3;

    fn pass_on(&mut self, signal: i32) {
        self.count += 1;
        match &self.to {
            Some(signaller) if self.count < Self::PATIENCE => signaller.signal(signal),
            Some(signaller) => signaller.kill(),
            None => self.early.push(signal),
        }
    }
}

impl Forwarding {
    fn new(resizer: Option<Resizer>) -> io::Result<Self> {
        let forwarded: Arc<Mutex<Forwarded>> = Arc::default();
        let shared = Arc::clone(&forwarded);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH])?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if signal == SIGWINCH {
                    resizer.iter().for_each(Resizer::resize);
                } else {
                    shared.lock().unwrap_or_else(PoisonError::into_inner).pass_on(signal);
                }
            }
        })?;
        Ok(Self(forwarded))
    }

    fn to(&self, signaller: Signaller) {
        let mut forwarded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for signal in std::mem::take(&mut forwarded.early) {
            signaller.signal(signal);
        }
        forwarded.to = Some(signaller);
    }

    /// Says what killed a command.
    fn explain(&self, end: &RunEnd) {
        let RunEnd::Signal(signal) = *end else { return };
        let count = self.0.lock().unwrap_or_else(PoisonError::into_inner).count;
        if count >= Forwarded::PATIENCE {
            tell("the command did not end when it was asked to, and was killed");
        } else if let Some(text) = dfbuild::explain_signal(signal) {
            tell(&format!("the command was killed by {text}"));
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return ExitCode::from(interrupted.code);
    }
    let _ = report::any(error);
    ExitCode::from(RUN_FAILED)
}

fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "notice: {text}");
}
