//! Handing images to a Docker or a podman of this machine: `build --load`.

use std::env;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dfbuild::{Engine, Reference};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::summary::short_name;

/// Hands the image with these names over. Says to whom.
pub(crate) fn load(engine: &Engine, tags: &[Reference]) -> Result<String, Failure> {
    let bars = Progress::bars();
    let loaded = hand_over(engine, tags, &bars);
    bars.close();
    loaded
}

fn hand_over(engine: &Engine, tags: &[Reference], bars: &Progress) -> Result<String, Failure> {
    let names: Vec<String> = tags.iter().map(short_name).collect();
    let environment = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let host = environment("DOCKER_HOST");
    let sockets = match &host {
        Some(host) => host.strip_prefix("unix://").map(PathBuf::from).into_iter().collect(),
        None => usual_sockets(environment("XDG_RUNTIME_DIR").as_deref()),
    };
    let answers = |socket: &&PathBuf| UnixStream::connect(socket).is_ok();
    if let Some(socket) = sockets.iter().find(answers) {
        let loaded = engine.load_into_daemon(socket, &names, bars);
        loaded.map_err(|error| Failure::outside_build(&error))?;
        return Ok(format!("loaded into the daemon at {}", socket.display()));
    }
    for program in programs(host.as_deref()) {
        if let Some(done) = by_program(engine, program, &names, bars) {
            return done;
        }
    }
    let looked: Vec<String> = match host {
        Some(host) => vec![host],
        None => sockets.iter().map(|socket| socket.display().to_string()).collect(),
    };
    Err(Failure {
        message: format!(
            "failed to load the image: no Docker or podman answers at {}",
            looked.join(", ")
        ),
        hints: vec![
            "the image is in the store of dfbuild anyway; without --load that is all that happens"
                .to_owned(),
            "start the daemon, or set DOCKER_HOST=unix:///path/of/its/socket; others are reached \
             through the program docker, which has to be installed"
                .to_owned(),
        ],
        ..Failure::default()
    })
}

/// The programs that may reach a daemon which no socket of this machine leads to. Whoever names a daemon
/// means no other one: podman would keep the image to itself.
fn programs(host: Option<&str>) -> &'static [&'static str] {
    match host {
        None => &["docker", "podman"],
        Some(host) if host.starts_with("unix://") => &[],
        Some(_) => &["docker"],
    }
}

fn usual_sockets(runtime: Option<&str>) -> Vec<PathBuf> {
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(runtime) = runtime {
        sockets.push(Path::new(runtime).join("docker.sock"));
        sockets.push(Path::new(runtime).join("podman/podman.sock"));
    }
    sockets.push(PathBuf::from("/run/podman/podman.sock"));
    sockets
}

/// `docker load` reaches daemons of other machines too; `podman load` needs none. `None` if there is
/// no such program, or if it reaches nobody.
fn by_program(
    engine: &Engine,
    program: &str,
    names: &[String],
    bars: &Progress,
) -> Option<Result<String, Failure>> {
    let asked = Command::new(program).arg("info").stdin(Stdio::null()).output().ok()?;
    if !asked.status.success() {
        return None;
    }
    let failed = |text: String| Failure {
        message: format!("failed to load the image with {program} load: {text}"),
        ..Failure::default()
    };
    let mut command = Command::new(program);
    command.arg("load").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Some(Err(failed(error.to_string()))),
    };
    let mut input = child.stdin.take()?;
    let sent = engine.save_to(names, None, &mut input, bars);
    let _ = input.flush();
    drop(input);
    let output = match child.wait_with_output() {
        Ok(output) => output,
        Err(error) => return Some(Err(failed(error.to_string()))),
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Some(Err(failed(text.trim().to_owned())));
    }
    Some(match sent {
        Ok(()) => Ok(format!("loaded with {program} load")),
        Err(error) => Err(Failure::outside_build(&error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_named_is_the_only_one() {
        assert_eq!(programs(None), ["docker", "podman"]);
        assert_eq!(programs(Some("tcp://docker:2376")), ["docker"]);
        assert_eq!(programs(Some("ssh://host")), ["docker"]);
        assert_eq!(programs(Some("unix:///run/none.sock")), [""; 0]);
    }
}
