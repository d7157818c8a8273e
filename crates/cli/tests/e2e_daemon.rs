//! `--load` and archives with a real Docker and a real podman, where they are installed.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dfbuild_testkit::{Bed, Outcome, Skipped, Who, eventually, program, run_or_skip};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// A daemon of the test's own, which ends with it.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command, log: &Path, socket: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let output = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn().unwrap();
        let daemon = Self(child);
        eventually("the daemon answers", || UnixStream::connect(socket).is_ok());
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It ends what it has started itself, if it is asked to.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

fn bed() -> Result<Bed, Skipped> {
    if !geteuid().is_root() {
        return Err(Skipped::because("only root can start the daemon"));
    }
    let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
    bed.base();
    bed.write("Dockerfile", "FROM base\nRUN echo made > /made\nCMD [\"cat\", \"/made\"]\n");
    Ok(bed)
}

/// Builds with `--load` and with `-o type=docker`, and returns the id of the image.
fn load(bed: &Bed, socket: &Path) -> String {
    let host = format!("unix://{}", socket.display());
    let mut id = String::new();
    for how in [&["--load"][..], &["-o", "type=docker"]] {
        let mut command = bed.build_command(&["-t", "made:1"]);
        let built: Outcome = command.args(how).env("DOCKER_HOST", &host).output().unwrap().into();
        let built = built.succeeds().says(&["loaded into the daemon at "]);
        built.image_id().clone_into(&mut id);
    }
    id
}

/// Hands an image with zstd layers to the daemon.
fn load_zstd(bed: &Bed, socket: &Path) -> Outcome {
    bed.write("Dockerfile", "FROM base\nRUN echo zstd > /made\nCMD [\"cat\", \"/made\"]\n");
    let mut command = bed.build_command(&["-t", "zstd:1", "-o", "type=docker,compression=zstd"]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let built = command.output().unwrap().into();
    let top = bed.image("zstd:1").layers.pop().unwrap().digest;
    let blob = fs::read(bed.store().join("blobs").join(top.replace(':', "/"))).unwrap();
    assert_eq!(blob[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    built
}

#[test]
fn docker() {
    run_or_skip("e2e_daemon::docker", || {
        let (dockerd, docker) = (program("dockerd")?, program("docker")?);
        let bed = bed()?;
        let folder = bed.join("out");
        let socket = folder.join("docker.sock");
        let mut command = Command::new(dockerd);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")]
        {
            command.arg(flag).arg(folder.join(name));
        }
        command.arg("-H").arg(format!("unix://{}", socket.display()));
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        command.arg("--storage-driver=vfs");
        let daemon = Daemon::start(&mut command, &folder.join("log"), &socket);
        let docker = |args: &[&str]| {
            let mut command = Command::new(&docker);
            command.arg("-H").arg(format!("unix://{}", socket.display())).args(args);
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "docker {args:?}: {text}");
            String::from_utf8(output.stdout).unwrap()
        };
        let id = load(&bed, &socket);
        assert_eq!(docker(&["inspect", "-f", "{{.Id}}", "made:1"]).trim(), id);
        assert_eq!(docker(&["run", "--rm", "--network=none", "made:1"]), "made\n");
        let zstd = load_zstd(&bed, &socket);
        let version = docker(&["version", "-f", "{{.Server.Version}}"]);
        if version.split('.').next().unwrap().parse::<u32>().unwrap() < 23 {
            let refused = zstd.exits_with(1);
            let _ =
                refused.says(&["hint: its layers are zstd, which Docker reads since version 23"]);
        } else {
            let _ = zstd.succeeds();
            assert_eq!(docker(&["run", "--rm", "--network=none", "zstd:1"]), "zstd\n");
        }

        // And back.
        let archive = bed.join("out/saved.tar");
        let path = archive.to_str().unwrap();
        docker(&["tag", "made:1", "made:docker"]);
        docker(&["save", "-o", path, "made:docker"]);
        bed.own(&archive);
        let loaded = bed.run(&["load", "-i", path]).succeeds();
        assert_eq!(loaded.stdout, "Loaded image: made:docker\n");
        assert_eq!(
            bed.run(&["inspect", "-f", "{{.Id}}", "made:docker"]).succeeds().stdout.trim(),
            id
        );
        drop(daemon);
        Ok(())
    });
}

#[test]
fn podman() {
    run_or_skip("e2e_daemon::podman", || {
        let podman = program("podman")?;
        let bed = bed()?;
        let folder = bed.join("out");
        let socket = folder.join("podman.sock");
        let command = || {
            let mut command = Command::new(&podman);
            command.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
            command.args(["--storage-driver", "vfs"]);
            command
        };
        let mut service = command();
        service
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", socket.display()));
        let daemon = Daemon::start(&mut service, &folder.join("log"), &socket);
        let id = load(&bed, &socket);
        let zstd = load_zstd(&bed, &socket);
        let zstd = zstd.succeeds().image_id().to_owned();
        for (name, id) in [("made:1", id), ("zstd:1", zstd)] {
            let images =
                command().args(["images", "--no-trunc", "--quiet", name]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&images.stdout).trim(), id);
        }
        drop(daemon);
        Ok(())
    });
}
