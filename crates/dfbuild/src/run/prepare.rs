use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dfbuild_image::{ImageConfig, Platform};
use dfbuild_layer::View;
use dfbuild_sandbox::{
    Child, IdMode, Mount, Network, Privileges, Rlimit, Spec, Streams, emulation, spawn_with,
};
use dfbuild_store::Staging;

use crate::engine::Engine;
use crate::error::StepError;
use crate::images::layer_ref::LayerRef;
use crate::images::rootfs::Rootfs;
use crate::options::Ulimit;
use crate::run::files::{DEFAULT_PATH, file, hosts, shell};
use crate::run::{Run, RunEnd, Signaller, Tmpfs, command, end_of};
use crate::snapshots::{Copies, Overlays, Roots, Snapshotter};
use crate::steps::shebang;
use crate::steps::stubs::Stubs;
use crate::steps::users::Users;

/// A command that is about to run over layers.
pub(super) struct Prepared<'a> {
    run: &'a Run,
    engine: &'a Engine,
    rootfs: Rootfs<'a>,
    config: &'a ImageConfig,
    staging: Staging,
}

/// What a command calls its machine, unless it is told.
const HOST_NAME: &str = "dfbuild";

impl<'a> Prepared<'a> {
    pub(super) fn new(
        run: &'a Run,
        engine: &'a Engine,
        layers: Vec<LayerRef>,
        config: &'a ImageConfig,
    ) -> Result<Self, StepError> {
        let platform = config.platform();
        if !emulation::runs(&platform.architecture) {
            return Err(StepError::ForeignPlatform { platform, host: Platform::host() });
        }
        let (rootfs, staging) = (Rootfs::new(engine, layers), engine.store().stage()?);
        Ok(Self { run, engine, rootfs, config, staging })
    }

    /// Runs it to its end.
    pub(super) fn run(
        &self,
        streams: Streams,
        started: &dyn Fn(Signaller),
    ) -> Result<RunEnd, StepError> {
        let (run, engine) = (self.run, self.engine);
        let view = self.rootfs.view()?;
        let config = &self.config.config;
        let args = command(run, self.config, || shell(view));
        if args.is_empty() {
            let what = if run.shell { "no shell" } else { "no command" };
            return Err(StepError::Unsupported(format!("the image has {what}: give one")));
        }
        let user = run.user.as_deref().unwrap_or(&config.user);
        let account = Users::read(&self.rootfs)?.account(user)?;
        let mut stubs = Stubs::new(view);
        let cwd = workdir(run, &config.working_dir);
        for directory in ["/proc", "/sys", "/dev", &cwd] {
            stubs.need_lasting(directory)?;
        }
        let host_name = run.hostname.as_deref().unwrap_or(HOST_NAME);
        let mut mounts = Vec::new();
        let resolv_conf = run.resolv_conf.clone().unwrap_or_default();
        for (target, content) in
            [("/etc/hosts", hosts(host_name, &run.add_hosts)), ("/etc/resolv.conf", resolv_conf)]
        {
            let target = stubs.need(target, false)?.below(Path::new("/"));
            mounts.push(file(target, content, 0o644));
        }
        volumes(run, &mut stubs, &mut mounts)?;
        for Tmpfs { target, size, mode } in &run.tmpfs {
            let target = place(&mut stubs, target, true)?;
            mounts.push(Mount::Tmpfs { target, size: *size, mode: *mode });
        }
        // Docker has a volume there, with what the image has; here it is lost with the rest. What
        // else the image has there, or is mounted, stays.
        for volume in config.volumes.keys() {
            match stubs.need_lasting(volume) {
                Ok(()) | Err(StepError::Clash(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut env = environment(run, &config.env, &account.home, host_name);
        if engine.id_mode() == IdMode::Single {
            pretend_for_apt(&mut env, &mut mounts);
        }
        let snapshotter: Box<dyn Snapshotter> = match engine.roots() {
            Ok(Roots::Copies(_)) => Box::new(Copies::default()),
            Ok(Roots::Overlays) => Box::new(Overlays),
            Err(error) => return Err(StepError::Unsupported(error.to_string())),
        };
        let mut workspace = snapshotter.prepare(&self.rootfs, &self.staging)?;
        workspace.place(&stubs)?;
        let spec = Spec {
            args: args.iter().map(OsString::from).collect(),
            env,
            cwd: PathBuf::from(&cwd),
            user: account.user,
            hostname: host_name.to_owned(),
            network: if run.network_none { Network::None } else { Network::Host },
            privileges: if run.privileged { Privileges::Insecure } else { Privileges::Docker },
            mounts,
            read_only_root: run.read_only,
            rlimits: rlimits(&run.ulimits),
            shm_size: run.shm_size.unwrap_or(64 << 20),
            id_mode: engine.id_mode(),
            ..workspace.spec()?
        };
        execute(&spec, view, streams, started)
    }
}

/// Runs a command to its end.
pub(super) fn execute(
    spec: &Spec,
    view: &View,
    streams: Streams,
    started: &dyn Fn(Signaller),
) -> Result<RunEnd, StepError> {
    let mut child: Child = match spawn_with(spec, streams) {
        Ok(child) => child,
        Err(error) => {
            return match error.exit_code() {
                Some(code) => {
                    let hint = shebang::hint(view, spec);
                    Ok(RunEnd::NotStarted { code, reason: error.to_string(), hint })
                }
                None => Err(error.into()),
            };
        }
    };
    started(Signaller::here(child.killer()));
    Ok(end_of(child.wait()?))
}

/// The working directory. A relative one is below the image's.
pub(super) fn workdir(run: &Run, of_image: &str) -> String {
    let given = run.workdir.as_deref().unwrap_or_default();
    let path = Path::new("/").join(of_image).join(given);
    dfbuild_image::TreePath::from(&*path).to_string()
}

/// Adds what the command sees of this machine.
pub(super) fn volumes(
    run: &Run,
    stubs: &mut Stubs<'_>,
    mounts: &mut Vec<Mount>,
) -> Result<(), StepError> {
    for volume in &run.volumes {
        let found = volume.source.metadata().map_err(StepError::io("mount", &volume.source))?;
        let target = place(stubs, &volume.target, found.is_dir())?;
        mounts.push(Mount::Bind {
            source: volume.source.clone(),
            target,
            read_only: volume.read_only,
            recursive: true,
        });
    }
    Ok(())
}

/// Where something is mounted. What is missing below `/dev` the sandbox makes.
fn place(stubs: &mut Stubs<'_>, target: &str, is_directory: bool) -> Result<PathBuf, StepError> {
    if target.starts_with("/dev/") {
        return Ok(PathBuf::from(target));
    }
    Ok(stubs.need(target, is_directory)?.below(Path::new("/")))
}

/// The variables: the image's, those that every command has, and those that were given.
fn environment(run: &Run, of_image: &[String], home: &str, host_name: &str) -> Vec<OsString> {
    let split = |variable: &String| {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        (name.to_owned(), value.to_owned())
    };
    let mut env: Vec<(String, String)> = of_image.iter().map(split).collect();
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", home), ("HOSTNAME", host_name)] {
        if !env.iter().any(|(known, _)| known == name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    }
    with_variables(&mut env, &run.env);
    env.iter().map(|(name, value)| OsString::from(format!("{name}={value}"))).collect()
}

/// Sets variables, each in the place of one of that name.
pub(super) fn with_variables(env: &mut Vec<(String, String)>, more: &[(String, String)]) {
    for (name, value) in more {
        match env.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => env.push((name.clone(), value.clone())),
        }
    }
}

/// With a single id apt cannot become its own user, and notices that it did not. `APT_CONFIG`
/// names a file that it reads before all others.
pub(crate) fn pretend_for_apt(env: &mut Vec<OsString>, mounts: &mut Vec<Mount>) {
    const PATH: &str = "/dev/dfbuild/apt.conf";
    let is_set = env.iter().any(|variable| variable.as_encoded_bytes().starts_with(b"APT_CONFIG="));
    if !is_set {
        env.push(format!("APT_CONFIG={PATH}").into());
        mounts.push(file(PATH.into(), b"APT::Sandbox::User \"root\";\n".to_vec(), 0o644));
    }
}

/// The limits as the sandbox takes them.
pub(crate) fn rlimits(limits: &[Ulimit]) -> Vec<Rlimit> {
    limits
        .iter()
        .map(|limit| Rlimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_directories() {
        let run = Run::image("x");
        for (given, of_image, expect) in [
            (None, "", "/"),
            (None, "/srv", "/srv"),
            (Some("/tmp"), "/srv", "/tmp"),
            (Some("a"), "/srv", "/srv/a"),
        ] {
            let run = given.map_or(run.clone(), |path: &str| run.clone().workdir(path));
            assert_eq!(workdir(&run, of_image), expect);
        }
    }

    #[test]
    fn variables_that_were_given_win() {
        let run = Run::image("x").env("A", "given").env("TERM", "xterm");
        let env = environment(&run, &["A=image".into(), "HOME=/h".into()], "/root", "host");
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(env, ["A=given", "HOME=/h", &path, "HOSTNAME=host", "TERM=xterm"]);
    }
}
