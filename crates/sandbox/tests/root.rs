//! Steps as real root.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Fixture, ok, run, wait_until};
use dfbuild_sandbox::{
    Error, Exit, Mount, Network, OverlayApi, Privileges, Rlimit, Spec, Step, User, probe,
    probe_network, spawn,
};

macro_rules! fixture {
    () => {
        if let Some(reason) = common::cannot_run() {
            println!("SKIPPED: {reason}");
            return;
        } else {
            Fixture::new()
        }
    };
}

#[test]
fn exit_codes_and_signals() {
    let fixture = fixture!();
    let check = |script: &str, expect: Exit| {
        assert_eq!(run(&fixture.shell(script)).unwrap().exit, expect, "{script}");
    };
    ok(&fixture.step(&["true"]));
    check("exit 0", Exit::Code(0));
    check("exit 7", Exit::Code(7));
    check("exit 255", Exit::Code(255));
    // Pid 1 gets no signal from itself that it has no handler for, but SIGKILL from outside.
    check("sh -c 'kill -9 $$'; exit $?", Exit::Code(137));
    let mut child = spawn(&fixture.step(&["sleep", "1000"])).unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(child.cpu(), None);
    assert_eq!(child.wait_timeout(Duration::from_millis(1)).unwrap(), None);
    child.kill();
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
    assert_eq!(child.try_wait().unwrap(), Some(Exit::Signal(9)));
}

#[test]
fn the_time_of_processes_that_were_waited_for_counts() {
    let fixture = fixture!();
    let count = "i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done";
    let cpu = |script: &str| {
        let mut child = spawn(&fixture.shell(script)).unwrap();
        assert_eq!(child.wait().unwrap(), Exit::Code(0));
        child.cpu().unwrap().total()
    };
    let (nothing, waited) = (cpu("true"), cpu(&format!("sh -c '{count}'; true")));
    // Even a kernel that counts in ticks would see this.
    assert!(waited > nothing, "{waited:?} {nothing:?}");
}

#[test]
fn programs_are_found_as_runc_finds_them() {
    let fixture = fixture!();
    let layer = fixture.layer(
        "programs",
        &[("usr/bin/busybox", "not executable"), ("bad", "?"), ("script", "#!/none\n")],
    );
    let executable = |name: &str| {
        rustix::fs::chmod(layer.join(name), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    };
    executable("script");
    let check = |program: &str, expect: Option<i32>| {
        let mut spec = fixture.step(&[program, "true"]);
        spec.lower.push(layer.clone());
        match (run(&spec), expect) {
            (Ok(output), None) => assert_eq!(output.exit, Exit::Code(0), "{program}"),
            (Err(error @ Error::Exec { .. }), code) => {
                assert_eq!(error.exit_code(), code, "{error}");
            }
            (other, _) => panic!("{program}: {:?}", other.map(|output| output.exit)),
        }
    };
    check("busybox", None);
    check("/bin/busybox", None);
    check("nothing", Some(127));
    check("/nothing", Some(127));
    check("/script", Some(127));
    check("/bad", Some(126));
    check("/etc", Some(126));
    let mut spec = fixture.step(&["true"]);
    spec.env.clear();
    assert_eq!(run(&spec).err().unwrap().exit_code(), Some(127));
}

#[test]
fn streams() {
    let fixture = fixture!();
    let output =
        run(&fixture.shell("echo out; echo err >&2; cat; ls /proc/self/fd | wc -l")).unwrap();
    // `cat` sees an empty input; `ls` has three streams and the directory itself.
    assert_eq!(output.stdout, "out\n4\n");
    assert_eq!(output.stderr, "err\n");

    // Output arrives while the command runs.
    let mut child = spawn(&fixture.shell("echo first; sleep 1000")).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    assert_eq!(child.try_wait().unwrap(), None);
}

#[test]
fn environment_directory_and_user() {
    let fixture = fixture!();
    let mut spec = fixture.shell(
        "env | grep -v PWD | grep -v SHLVL | sort; pwd; umask; id -u; id -g; id -G; ulimit -n; ulimit -Hn",
    );
    spec.cwd = PathBuf::from("/mnt");
    spec.user = User { uid: 1000, gid: 1001, groups: vec![7, 8] };
    spec.rlimits = vec![Rlimit { name: "nofile".into(), soft: 100, hard: 200 }];
    let expect = "GREETING=hello\nPATH=/usr/bin:/bin\n/mnt\n0022\n1000\n1001\n1001 7 8\n100\n200\n";
    assert_eq!(ok(&spec), expect);

    spec = fixture.shell("true");
    spec.cwd = PathBuf::from("/none");
    assert!(matches!(run(&spec), Err(Error::Directory { .. })));
}

#[test]
fn privileges() {
    let fixture = fixture!();
    let status = |spec: &Spec| {
        let text = ok(spec);
        move |key: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(key)).unwrap();
            line[key.len()..].trim_start_matches(':').trim().to_owned()
        }
    };
    let args = ["cat", "/proc/self/status"];
    let root = status(&fixture.step(&args));
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(root(set), "00000000a80425fb", "{set}");
    }
    assert_eq!(root("CapInh"), "0000000000000000");
    assert_eq!(root("CapAmb"), "0000000000000000");
    assert_eq!(root("NoNewPrivs"), "0");
    assert_eq!(root("Seccomp"), "2");
    assert_eq!(root("SigBlk"), "0000000000000000");
    assert_eq!(root("SigIgn"), "0000000000000000");

    let mut spec = fixture.step(&args);
    spec.user = User { uid: 1000, gid: 1000, groups: vec![] };
    let user = status(&spec);
    assert_eq!(user("CapEff"), "0000000000000000");
    assert_eq!(user("CapPrm"), "0000000000000000");
    assert_eq!(user("CapBnd"), "00000000a80425fb");
    assert_eq!(user("NoNewPrivs"), "0");

    let mut spec = fixture.step(&args);
    spec.privileges = Privileges::Insecure;
    let insecure = status(&spec);
    assert_ne!(insecure("CapEff"), "00000000a80425fb");
    assert_eq!(insecure("Seccomp"), "0");
}

#[test]
fn system_call_filter() {
    let fixture = fixture!();
    let fails = |script: &str| {
        let output = run(&fixture.shell(script)).unwrap();
        assert_ne!(output.exit, Exit::Code(0), "{script}");
    };
    fails("mount -t tmpfs none /mnt");
    fails("hostname other");
    fails("busybox unshare -U true");
    fails("busybox swapoff /none");
    ok(&fixture
        .shell("ps >/dev/null; (sleep 0) & wait; mkfifo /tmp/f; chown 7:8 /tmp/f; su ann -c true"));
}

#[test]
fn namespaces() {
    let fixture = fixture!();
    let mut spec =
        fixture.shell("echo $$; hostname; ls /sys/class/net; ip addr show lo | grep -c UP");
    spec.hostname = "builder".into();
    spec.network = Network::None;
    assert_eq!(ok(&spec), "1\nbuilder\nlo\n1\n");

    let host: Vec<_> =
        fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let listed = fixture.stdout("ls /sys/class/net | cat");
    assert_eq!(listed.lines().count(), host.len());
    // The command and nobody else is there.
    assert_eq!(fixture.stdout("echo /proc/[0-9]*"), "/proc/1\n");
}

#[test]
fn devices() {
    let fixture = fixture!();
    let script = "echo x >/dev/null && head -c 2 /dev/zero | wc -c && head -c 2 /dev/urandom | wc -c \
        && ! echo x 2>/dev/null >/dev/full && test -c /dev/ptmx && test -c /dev/tty && test -p /dev/stdin \
        && readlink /dev/fd && df -k /dev/shm | grep -c ' 128 ' && echo x >/dev/shm/x && touch /dev/mqueue/q \
        && stat -c %a /dev/shm /dev/null && ! chmod 777 /dev/null 2>/dev/null && test -d /dev/pts && rm /dev/mqueue/q";
    let mut spec = fixture.shell(script);
    spec.shm_size = 128 << 10;
    assert_eq!(ok(&spec), "2\n2\n/proc/self/fd\n1\n1777\n666\n");
    assert_eq!(fs::metadata("/dev/null").unwrap().mode() & 0o777, 0o666);
    // Nothing of it is in the layer.
    assert!(fs::read_dir(&spec.upper).unwrap().next().is_none());

    // A node can be made but gives no access to the machine's device.
    let script = "mknod /tmp/zero c 1 5 && ! head -c 1 /tmp/zero 2>/dev/null && ! mknod /dev/sda b 8 0 || ! head -c 1 /dev/sda";
    assert_eq!(fixture.stdout(script), "");
}

#[test]
fn masks() {
    let fixture = fixture!();
    let script = "wc -c </proc/timer_list; ls /sys/firmware /proc/scsi 2>/dev/null | grep -v : ; \
        echo 1 >/proc/sys/vm/drop_caches && echo written; echo b >/proc/sysrq-trigger && echo written; \
        mkdir /sys/fs/x && echo made; touch /sys/kernel/x && echo made; true";
    assert_eq!(fixture.stdout(script), "0\n");
    let mut spec = fixture
        .shell("test -r /proc/timer_list && wc -c </proc/version && ls /sys/firmware | wc -l");
    spec.privileges = Privileges::Insecure;
    ok(&spec);
}

#[test]
fn layers_and_changes() {
    let fixture = fixture!();
    for api in [OverlayApi::Auto, OverlayApi::Descriptors, OverlayApi::Names, OverlayApi::Options] {
        let name = format!("{api:?}");
        let lower = fixture.layer(&name, &[("d/old", "1"), ("gone", "1"), ("low", "1")]);
        let upper = fixture.layer(&format!("{name}-up"), &[("low", "2")]);
        let mut spec = fixture.shell("cat /low; rm /gone; rm -r /d; mkdir /d; echo new >/d/new");
        spec.overlay_api = api;
        spec.lower.extend([lower, upper]);
        assert_eq!(ok(&spec), "2", "{api:?}");
        let gone = fs::symlink_metadata(spec.upper.join("gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        let mut opaque = [0_u8; 8];
        let length =
            rustix::fs::lgetxattr(spec.upper.join("d"), "trusted.overlay.opaque", &mut opaque);
        assert_eq!(&opaque[..length.unwrap()], b"y");
        assert_eq!(fs::read_to_string(spec.upper.join("d/new")).unwrap(), "new\n");
    }
}

#[test]
fn many_layers() {
    let fixture = fixture!();
    let layers: Vec<_> =
        (0..150).map(|n| fixture.layer(&format!("l{n}"), &[("n", &n.to_string())])).collect();
    for api in [OverlayApi::Descriptors, OverlayApi::Names, OverlayApi::Options] {
        let mut spec = fixture.shell("cat /n");
        spec.overlay_api = api;
        spec.lower.extend(layers.clone());
        assert_eq!(ok(&spec), "149");
    }
}

#[test]
fn everything_in_the_upper_directory() {
    let fixture = fixture!();
    let mut spec = fixture.step(&["/bin/busybox", "true"]);
    fs::remove_dir(&spec.upper).unwrap();
    fs::rename(fixture.base(), &spec.upper).unwrap();
    spec.lower = vec![fixture.layer("empty", &[])];
    ok(&spec);
}

#[test]
fn a_plain_directory_as_root() {
    let fixture = fixture!();
    let script = "ls / | tr '\\n' ' '; rm /etc/group; echo new >/etc/new; mkdir /d; ls /d | wc -l; \
        cd ../../..; pwd; mknod /tmp/zero c 1 5; head -c 1 /tmp/zero 2>&1; echo x >/dev/null; \
        test -e /proc/self/exe && cat /mnt; ! touch /sys/x 2>/dev/null";
    let mut spec = fixture.shell_in_place(script);
    fs::remove_dir(spec.upper.join("mnt")).unwrap();
    fs::write(spec.upper.join("mnt"), "covered").unwrap();
    spec.mounts.push(Mount::File {
        target: "/mnt".into(),
        content: b"shown\n".into(),
        mode: 0o644,
        uid: 0,
        gid: 0,
        read_only: true,
    });
    let expect = "bin dev etc mnt proc root sys tmp 0\n/\n\
                  head: /tmp/zero: Permission denied\nshown\n";
    assert_eq!(ok(&spec), expect);
    // The changes are where the files were, and nothing of the mounts is.
    let root = &spec.upper;
    assert!(!root.join("etc/group").exists());
    assert_eq!(fs::read_to_string(root.join("etc/new")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(root.join("mnt")).unwrap(), "covered");
    for empty in ["dev", "proc", "sys", "d"] {
        assert_eq!(fs::read_dir(root.join(empty)).unwrap().count(), 0, "{empty}");
    }
    assert!(fs::read_dir(&spec.work).unwrap().next().is_none());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(root.to_str().unwrap()), "{mounts}");

    let mut missing = fixture.shell_in_place("true");
    missing.upper = "/none/root".into();
    match run(&missing) {
        Err(Error::Setup { step: Step::RootDirectory, path, .. }) => {
            assert_eq!(path, Some(missing.upper));
        }
        other => panic!("{:?}", other.map(|output| output.exit)),
    }
}

#[test]
fn mounts() {
    let fixture = fixture!();
    let source =
        fixture.layer("source", &[("file", "file"), ("dir/file", "dir file"), ("dir/sub/x", "x")]);
    let stubs = fixture.layer(
        "stubs",
        &[
            ("etc/hosts", ""),
            ("cache/", ""),
            ("ro/", ""),
            ("t/", ""),
            ("o/", ""),
            ("s", ""),
            ("all/", ""),
        ],
    );
    let bind = |from: &str, target: &str, read_only| Mount::Bind {
        source: source.join(from),
        target: target.into(),
        read_only,
        recursive: true,
    };
    let layer = fixture.layer("stage", &[("a/b/c", "stage"), ("a/gone", "")]);
    let above = fixture.layer("stage2", &[("a/b/d", "above")]);
    symlink("/a/b", layer.join("link")).unwrap();
    let (upper, work) = (fixture.layer("ou", &[]), fixture.layer("ow", &[]));
    let overlay = |lower: &[&PathBuf], subpath: &str, target: &str, upper| Mount::Overlay {
        lower: lower.iter().map(|path| (*path).clone()).collect(),
        upper,
        target: target.into(),
        source_subpath: subpath.into(),
        read_only: false,
    };
    let socket = source.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for api in [OverlayApi::Auto, OverlayApi::Options] {
        let mut spec = fixture.shell(
            "cat /etc/hosts; echo more >>/etc/hosts; cat /ro/file; ! touch /ro/y 2>/dev/null && ! touch /ro/sub/y 2>/dev/null; \
             echo cached >/cache/made; stat -c %a /t; df -k /t | grep -c ' 64 '; cat /o/c /o/d; ! touch /o/x 2>/dev/null; \
             test -S /s && rm /all/a/gone; ls /all/a; echo y >/all/y; cat /t/in/file",
        );
        spec.overlay_api = api;
        spec.lower.push(stubs.clone());
        spec.mounts = vec![
            bind("file", "/etc/hosts", false),
            bind("dir", "/ro", true),
            bind("dir", "/cache", false),
            Mount::Tmpfs { target: "/t".into(), size: Some(64 << 10), mode: 0o1770 },
            overlay(&[&layer, &above], "/link", "/o", None),
            bind("socket", "/s", false),
            overlay(&[&layer], "", "/all", Some((upper.clone(), work.clone()))),
            bind("file", "/t/in/file", false),
        ];
        fs::write(source.join("file"), "file").unwrap();
        let _ = fs::remove_file(upper.join("a/gone"));
        let _ = fs::remove_dir_all(work.join("work"));
        assert_eq!(ok(&spec), "filedir file1770\n1\nstageaboveb\nfilemore\n", "{api:?}");
        assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "filemore\n");
        assert_eq!(fs::read_to_string(source.join("dir/made")).unwrap(), "cached\n");
        assert!(fs::symlink_metadata(upper.join("a/gone")).unwrap().file_type().is_char_device());
        assert!(fs::read_dir(&spec.upper).unwrap().next().is_none());
        fs::remove_dir_all(upper.join("a")).unwrap();
        fs::remove_dir_all(&work).unwrap();
        fs::create_dir(&work).unwrap();
    }
}

#[test]
fn files_in_memory() {
    let fixture = fixture!();
    let stubs = fixture.layer("stubs", &[("etc/hosts", "")]);
    let file = |target: &str, content: &str, mode, uid, read_only| Mount::File {
        target: target.into(),
        content: content.into(),
        mode,
        uid,
        gid: 7,
        read_only,
    };
    let mut spec = fixture.shell(
        "stat -c '%a %u %g' /etc/hosts /dev/pipes/EOF; cat /etc/hosts; echo lost >/etc/hosts; cat /etc/hosts; \
         /dev/pipes/EOF; ! echo x >/dev/pipes/EOF",
    );
    spec.lower.push(stubs);
    spec.mounts = vec![
        file("/etc/hosts", "localhost\n", 0o644, 0, false),
        file("/dev/pipes/EOF", "#!/bin/sh\necho script\n", 0o755, 5, true),
    ];
    let shown = ok(&spec);
    assert!(shown.starts_with("644 0 7\n755 5 7\nlocalhost\nlost\nscript\n"), "{shown}");
    assert!(fs::read_dir(&spec.upper).unwrap().next().is_none());
}

#[test]
fn mount_targets_stay_inside() {
    let fixture = fixture!();
    let outside = fixture.layer("outside", &[("victim", "safe"), ("secret", "secret")]);
    let layer = fixture.layer("image", &[("victim", "image")]);
    // Both forms of a link that would lead out, to a path that exists on the host only.
    symlink(outside.join("victim"), layer.join("absolute")).unwrap();
    symlink(format!("../../../../../../{}/victim", outside.display()), layer.join("relative"))
        .unwrap();
    symlink("/../../victim", layer.join("inside")).unwrap();
    let spec = |target: &str| {
        let mut spec = fixture.shell("cat /victim");
        spec.lower.push(layer.clone());
        let source = outside.join("secret");
        spec.mounts =
            vec![Mount::Bind { source, target: target.into(), read_only: true, recursive: false }];
        spec
    };
    for target in ["/absolute", "/relative", "/none"] {
        match run(&spec(target)) {
            Err(Error::MountTarget { target: named, .. }) => assert_eq!(named, Path::new(target)),
            other => panic!("{target}: {:?}", other.map(|output| output.exit)),
        }
    }
    assert_eq!(ok(&spec("/inside")), "secret");
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "safe");
}

#[test]
fn errors_name_what_is_wrong() {
    let fixture = fixture!();
    let mut spec = fixture.shell("true");
    spec.lower.push("/none/layer".into());
    match run(&spec).err().unwrap() {
        Error::Setup { step: Step::OverlayLower, path: Some(path), .. } => {
            assert_eq!(path, Path::new("/none/layer"));
        }
        error => panic!("{error}"),
    }
    let mut spec = fixture.shell("true");
    spec.mounts = vec![Mount::Bind {
        source: "/none".into(),
        target: "/mnt".into(),
        read_only: true,
        recursive: true,
    }];
    let error = run(&spec).err().unwrap().to_string();
    assert_eq!(error, "open mount source /none: No such file or directory (os error 2)");
    let mut spec = fixture.shell("true");
    fs::remove_dir(fixture.base().join("proc")).unwrap();
    spec.args[0] = "\0".into();
    assert!(matches!(run(&spec), Err(Error::Invalid { .. })));
    let error = run(&fixture.shell("true")).err().unwrap().to_string();
    assert_eq!(error, "mount /proc: No such file or directory (os error 2)");
}

#[test]
fn drop_ends_every_process() {
    let fixture = fixture!();
    let source = fixture.layer("pipe", &[]);
    let stubs = fixture.layer("pipe-stub", &[("pipe/", "")]);
    let mut spec = fixture
        .shell("(busybox setsid sh -c 'sleep 1000 & sleep 1000' &) ; echo started; sleep 1000");
    spec.lower.push(stubs);
    spec.mounts =
        vec![Mount::Bind { source, target: "/pipe".into(), read_only: false, recursive: false }];
    let mut child = spawn(&spec).unwrap();
    let mut stdout = BufReader::new(child.stdout().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    drop(child);
    // All processes held the pipe, and all are gone: this ends.
    stdout.read_to_string(&mut line).unwrap();
}

#[test]
fn killer_works_from_another_thread() {
    let fixture = fixture!();
    let mut child = spawn(&fixture.step(&["sleep", "1000"])).unwrap();
    let killer = child.killer();
    let thread = thread::spawn(move || killer.kill());
    assert_eq!(child.wait().unwrap(), Exit::Signal(9));
    thread.join().unwrap();
    // Long after the end it does nothing.
    child.killer().kill();
}

#[test]
fn death_of_the_spawning_thread_is_no_matter() {
    let fixture = fixture!();
    let spec = fixture.shell("echo started; sleep 0.1; exit 3");
    let mut child = thread::spawn(move || spawn(&spec).unwrap()).join().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Code(3));
}

#[test]
fn forty_allocating_threads() {
    let fixture = fixture!();
    let stop = AtomicBool::new(false);
    let specs: Vec<_> = (0..40).map(|n| fixture.shell(&format!("exit {n}"))).collect();
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut kept = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    kept.push(vec![1_u8; 100 + kept.len()]);
                    if kept.len() > 100 {
                        kept.clear();
                    }
                    thread::yield_now();
                }
            });
        }
        let steps: Vec<_> =
            specs.iter().map(|spec| scope.spawn(|| spawn(spec).unwrap().wait().unwrap())).collect();
        for (code, step) in (0..).zip(steps) {
            assert_eq!(step.join().unwrap(), Exit::Code(code));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn no_mounts_nor_descriptors_remain() {
    let fixture = fixture!();
    let here = fixture.dir.path().to_str().unwrap();
    ok(&fixture.shell("true"));
    run(&fixture.step(&["/none"])).err().unwrap();
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(here));
    // Other tests of this process have descriptors too; those of this one are gone.
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let leak_free = || {
        let before = count();
        for _ in 0..5 {
            ok(&fixture.shell("true"));
            run(&fixture.step(&["/none"])).err().unwrap();
        }
        count() <= before
    };
    wait_until(leak_free);
}

#[test]
fn probing() {
    let fixture = fixture!();
    let support = probe(fixture.dir.path()).unwrap();
    assert_ne!(support.overlay.unwrap(), OverlayApi::Auto);
    probe_network(fixture.dir.path()).unwrap();
    assert_eq!(fs::read_dir(fixture.dir.path()).unwrap().count(), 1, "only the base is left");
    assert!(probe(Path::new("/none")).is_err());
    // A file system that holds no directories.
    assert!(probe(Path::new("/proc")).is_err());
    // One that holds directories but no upper directory: an overlay.
    let spec = fixture.step(&["true"]);
    let merged = fixture.layer("merged", &[]);
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        fixture.base().display(),
        spec.upper.display(),
        spec.work.display()
    );
    let options = std::ffi::CString::new(options).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("overlay", &merged, "overlay", flags, Some(options.as_c_str())).unwrap();
    let support = probe(&merged);
    let network = probe_network(&merged);
    rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    let support = support.unwrap();
    assert!(matches!(support.overlay, Err(Error::Setup { .. })), "{support:?}");
    network.unwrap();
}
