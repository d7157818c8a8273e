//! Tests that need processes of their own: the death of the host, and an ordinary user, who enters a
//! user namespace before there is a thread.
//!
//! Without arguments this runs the tests. It runs itself with arguments for the processes they need.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test with its own main")]

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Fixture, ok, run};
use dfbuild_sandbox::userns::{self, Mapping, Plan, Position};
use dfbuild_sandbox::{
    Error, Exit, IdMode, Mount, Network, Spec, User, probe, probe_network, spawn,
};
use rustix::fs::{CWD, Mode};

const USER: &str = "dfbuild-test";

/// The exit code of a process that could not enter a user namespace.
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["hold", mode, case, dir] => {
            hold(enter(mode).expect("tried before"), case, Path::new(dir));
        }
        ["inside", mode, dir] => match enter(mode) {
            Ok(id_mode) => inside(id_mode, Path::new(dir)),
            Err(error) => {
                println!("SKIPPED: {mode}: {error}; {:?}", error.hint());
                return SKIPPED.into();
            }
        },
        _ => tests(),
    }
    ExitCode::SUCCESS
}

fn tests() {
    if let Some(reason) = common::cannot_run() {
        println!("SKIPPED: {reason}");
        return;
    }
    let run = |name: &str, test: &dyn Fn()| {
        test();
        println!("test {name} ... ok");
    };
    run("host_killed_root", &|| host_killed("root"));
    run("host_with_large_memory", &large_memory);
    if let Err(reason) = add_user() {
        println!("SKIPPED: rootless: {reason}");
        return;
    }
    for mode in ["mapped", "single"] {
        let dir = user_dir();
        let status = as_user(&["inside", mode, dir.path().to_str().unwrap()]).status().unwrap();
        if status.code() == Some(SKIPPED.into()) {
            continue;
        }
        assert!(status.success(), "{mode}: {status}");
        println!("test rootless_{mode} ... ok");
        run(&format!("host_killed_{mode}"), &|| host_killed(mode));
    }
    run("refusals", &refusals);
}

fn add_user() -> Result<(), String> {
    let known =
        |file: &str| fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("{USER}:")));
    let tool = |program: &str, args: &[&str]| match Command::new(program).args(args).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program}: {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    };
    if !known("/etc/passwd") {
        tool("useradd", &["--no-create-home", USER])?;
    }
    if !known("/etc/subuid") || !known("/etc/subgid") {
        tool(
            "usermod",
            &["--add-subuids", "900000-965535", "--add-subgids", "900000-965535", USER],
        )?;
    }
    tool("setpriv", &["true"])
}

/// This program as the ordinary user. The directory it is built in may be closed to that user, and so
/// may be the current one.
fn as_user(args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    let user = [format!("--reuid={USER}"), format!("--regid={USER}")];
    command.args(user).args(["--init-groups", "--inh-caps=-all", "/proc/self/fd/0"]);
    command.args(args).current_dir("/").env_clear().arg0("setpriv");
    command.stdin(fs::File::open("/proc/self/exe").unwrap());
    command
}

fn user_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let status =
        Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(dir.path()).status();
    assert!(status.unwrap().success());
    dir
}

/// Enters the namespace, as far as the mode asks for one.
fn enter(mode: &str) -> Result<IdMode, Error> {
    let mapping = match mode {
        "root" => return Ok(IdMode::Root),
        "mapped" => Mapping::Subordinate,
        _ => Mapping::Single,
    };
    assert_eq!(userns::current().unwrap(), Position::Unprivileged);
    let map = userns::enter(&Plan { mapping, ..Plan::default() })?;
    assert_eq!(userns::current().unwrap(), Position::Root(map.clone()));
    assert_ne!(map.fingerprint(), "root");
    Ok(map.mode())
}

fn host_killed(mode: &str) {
    for case in ["plain", "changes-ids", "set-uid"] {
        let dir = if mode == "root" { tempfile::tempdir().unwrap() } else { user_dir() };
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o666)).unwrap();
        fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).unwrap();
        let args = ["hold", mode, case, dir.path().to_str().unwrap()];
        let mut command = if mode == "root" {
            let mut command = Command::new("/proc/self/exe");
            command.args(args);
            command
        } else {
            as_user(&args)
        };
        let mut host = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = host.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut all = String::new();
            let mut step = fs::File::open(fifo).unwrap();
            let mut line = [0_u8; 6];
            step.read_exact(&mut line).unwrap();
            sender.send(()).unwrap();
            // Ends when no process of the step has the fifo open.
            step.read_to_string(&mut all).unwrap();
            // Ends when neither the host nor the supervisor has it open.
            stdout.read_to_string(&mut all).unwrap();
            sender.send(()).unwrap();
        });
        let minute = Duration::from_secs(60);
        receiver
            .recv_timeout(minute)
            .unwrap_or_else(|_| panic!("{mode} {case}: step did not start"));
        host.kill().unwrap();
        host.wait().unwrap();
        receiver
            .recv_timeout(minute)
            .unwrap_or_else(|_| panic!("{mode} {case}: something lives on"));
        reader.join().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(dir.path().to_str().unwrap()));
        dir.close().unwrap();
    }
}

/// The host that gets killed.
fn hold(id_mode: IdMode, case: &str, dir: &Path) {
    let fixture = Fixture::in_dir(dir);
    let set_uid = fixture.base().join("bin/busybox-set-uid");
    fs::copy(fixture.base().join("bin/busybox"), &set_uid).unwrap();
    fs::set_permissions(&set_uid, fs::Permissions::from_mode(0o4755)).unwrap();
    let stubs = fixture.layer("stubs", &[("fifo", "")]);
    let script = match case {
        "plain" => "exec 3>/fifo; echo ready >&3; sleep 1000 & exec sleep 1000",
        "changes-ids" => {
            "exec 3>/fifo; exec su ann -c 'echo ready >&3; sleep 1000 & exec sleep 1000'"
        }
        _ => {
            "exec 3>/fifo; exec busybox-set-uid sh -c 'echo ready >&3; sleep 1000 & exec sleep 1000'"
        }
    };
    let mut spec = fixture.shell(script);
    spec.id_mode = id_mode;
    if case == "set-uid" {
        spec.user = User { uid: 1000, gid: 1000, groups: vec![] };
    }
    spec.lower.push(stubs);
    let source = dir.join("fifo");
    spec.mounts =
        vec![Mount::Bind { source, target: "/fifo".into(), read_only: false, recursive: false }];
    let mut child = spawn(&spec).unwrap();
    panic!("the step ended: {:?}", child.wait());
}

fn large_memory() {
    let memory = vec![1_u8; 1 << 30];
    let fixture = Fixture::new();
    ok(&fixture.shell("true"));
    assert_eq!(memory[memory.len() / 2], 1);
}

/// What an ordinary user does after entering the namespace.
fn inside(id_mode: IdMode, dir: &Path) {
    probe(dir).unwrap();
    probe_network(dir).unwrap();
    let fixture = Fixture::in_dir(dir);
    let shell = |script: &str| Spec { id_mode, ..fixture.shell(script) };

    let status = ok(&shell("cat /proc/self/status"));
    assert!(status.contains("CapEff:\t00000000a80425fb"), "{status}");
    assert!(status.contains("CapBnd:\t00000000a80425fb"), "{status}");
    assert!(status.contains("NoNewPrivs:\t0"), "{status}");
    let script = "echo x >/dev/null && head -c 2 /dev/zero | wc -c && test -c /dev/ptmx && echo x >/dev/shm/x \
        && id -u && echo $$ && test -d /sys/class/net && ! touch /sys/x 2>/dev/null && wc -c </proc/timer_list";
    assert_eq!(ok(&shell(script)), "2\n0\n1\n0\n");
    let isolated =
        Spec { network: Network::None, ..shell("ls /sys/class/net; ip addr show lo | grep -c UP") };
    assert_eq!(ok(&isolated), "lo\n1\n");

    // Changes: white-outs and opaque directories of the unprivileged kind.
    let lower = fixture.layer("lower", &[("gone", ""), ("d/x", "")]);
    let mut spec = shell("rm /gone; rm -r /d; mkdir /d; mkfifo /pipe");
    spec.lower.push(lower);
    ok(&spec);
    let kind = |name: &str| fs::symlink_metadata(spec.upper.join(name)).unwrap().file_type();
    assert!(kind("gone").is_char_device());
    assert!(kind("pipe").is_fifo());
    let mut opaque = [0_u8; 8];
    let length = rustix::fs::lgetxattr(spec.upper.join("d"), "user.overlay.opaque", &mut opaque);
    assert_eq!(&opaque[..length.unwrap()], b"y");

    // The same without an overlay: in place.
    let mut in_place = fixture.shell_in_place("rm /etc/group; mkfifo /pipe; touch /f; chown 7 /f");
    in_place.id_mode = id_mode;
    ok(&in_place);
    assert!(!in_place.upper.join("etc/group").exists());
    assert!(fs::symlink_metadata(in_place.upper.join("pipe")).unwrap().file_type().is_fifo());
    let owner = fs::metadata(in_place.upper.join("f")).unwrap().uid();
    assert_eq!(owner, if id_mode == IdMode::Single { 0 } else { 7 });

    // Owners and users.
    let spec = shell("touch /f && chown 1000:1000 /f && chown -h 7 /f; su ann -c 'id -u'");
    let output = run(&spec).unwrap();
    assert_eq!(output.exit, Exit::Code(0), "{}", output.stderr);
    let owner = fs::metadata(spec.upper.join("f")).unwrap().uid();
    let mut as_ann = shell("id -u; touch /tmp/x 2>/dev/null && rm /tmp/x; exit 0");
    as_ann.user = User { uid: 1000, gid: 1000, groups: vec![5] };
    let nodes = run(&shell("mknod /node b 8 0")).unwrap();
    if id_mode == IdMode::Single {
        assert_eq!((output.stdout.as_str(), owner), ("0\n", 0));
        assert_eq!(ok(&as_ann), "0\n");
        assert_eq!(nodes.exit, Exit::Code(0));
    } else {
        assert_eq!((output.stdout.as_str(), owner), ("1000\n", 7));
        assert_eq!(ok(&as_ann), "1000\n");
        assert_ne!(nodes.exit, Exit::Code(0));
        let mut unmapped = shell("true");
        unmapped.user.uid = 4_000_000_000;
        assert!(matches!(run(&unmapped), Err(Error::User { uid: 4_000_000_000, .. })));
    }

    // From many threads, once the namespace has been entered.
    let specs: Vec<_> = (0..10).map(|n| shell(&format!("exit {n}"))).collect();
    thread::scope(|scope| {
        let steps: Vec<_> =
            specs.iter().map(|spec| scope.spawn(|| spawn(spec).unwrap().wait().unwrap())).collect();
        for (code, step) in (0..).zip(steps) {
            assert_eq!(step.join().unwrap(), Exit::Code(code));
        }
    });
}

fn refusals() {
    let (sender, receiver) = mpsc::channel::<()>();
    let thread = thread::spawn(move || receiver.recv());
    let error = userns::enter(&Plan::default()).unwrap_err();
    assert!(matches!(error, Error::Threaded { threads: 2 }), "{error}");
    drop(sender);
    thread.join().unwrap().unwrap_err();
}
