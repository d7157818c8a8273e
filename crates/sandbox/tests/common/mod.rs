//! A small root made from a static busybox, and a way to run a shell in it.
#![expect(clippy::unwrap_used, reason = "test support")]
#![allow(dead_code, reason = "each test crate uses a part")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use dfbuild_sandbox::{Child, Error, Exit, Spec, spawn};
use tempfile::TempDir;

/// Applets that tests use.
const APPLETS: [&str; 39] = [
    "sh", "true", "false", "cat", "ls", "id", "echo", "sleep", "mknod", "mkdir", "rm", "rmdir",
    "mv", "touch", "stat", "hostname", "ip", "df", "mount", "dd", "grep", "pwd", "env", "kill",
    "chown", "ln", "mkfifo", "chmod", "su", "wc", "ps", "readlink", "test", "head", "tr", "nproc",
    "umask", "setpriv", "sort",
];

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    steps: std::cell::Cell<u32>,
}

pub(crate) struct Output {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Why these tests cannot run here, if they cannot.
pub(crate) fn cannot_run() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("takes root, who becomes an ordinary user where that is meant");
    }
    busybox().is_none().then_some("needs a static busybox (package busybox-static)")
}

fn busybox() -> Option<&'static str> {
    ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists())
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::in_dir(&std::env::temp_dir())
    }

    pub(crate) fn in_dir(parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).unwrap();
        let fixture = Self { dir, steps: 0.into() };
        fill(&fixture.base());
        fixture
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// A directory with these files and, where the name ends in a slash, directories.
    pub(crate) fn layer(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let layer = self.dir.path().join(name);
        fs::create_dir_all(&layer).unwrap();
        for (file, content) in files {
            let path = layer.join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
        layer
    }

    /// A new step over the base that runs `script` in a shell.
    pub(crate) fn shell(&self, script: &str) -> Spec {
        self.step(&["/bin/sh", "-c", script])
    }

    /// A new step that runs `script` in a root of its own, which is no overlay.
    pub(crate) fn shell_in_place(&self, script: &str) -> Spec {
        let mut spec = self.shell(script);
        spec.lower.clear();
        fill(&spec.upper);
        spec
    }

    pub(crate) fn step(&self, args: &[&str]) -> Spec {
        let number = self.steps.replace(self.steps.get() + 1);
        let upper = self.dir.path().join(format!("upper{number}"));
        let work = self.dir.path().join(format!("work{number}"));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&work).unwrap();
        Spec {
            lower: vec![self.base()],
            args: args.iter().map(Into::into).collect(),
            env: vec!["PATH=/usr/bin:/bin".into(), "GREETING=hello".into()],
            ..Spec::new(upper, work)
        }
    }

    /// Runs a script that has to succeed and returns what it printed.
    pub(crate) fn stdout(&self, script: &str) -> String {
        ok(&self.shell(script))
    }
}

fn fill(root: &Path) {
    for name in ["bin", "etc", "tmp", "proc", "dev", "sys", "root", "mnt"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let busybox = busybox().expect("looked for before");
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n")
        .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nann:x:1000:\n").unwrap();
}

pub(crate) fn run(spec: &Spec) -> Result<Output, Error> {
    finish(spawn(spec)?)
}

pub(crate) fn finish(mut child: Child) -> Result<Output, Error> {
    let mut stderr = child.stderr().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut stdout = String::new();
    child.stdout().unwrap().read_to_string(&mut stdout).unwrap();
    let stderr = reader.join().unwrap();
    Ok(Output { exit: child.wait()?, stdout, stderr })
}

pub(crate) fn ok(spec: &Spec) -> String {
    let output = run(spec).unwrap_or_else(|error| panic!("spawn: {error}"));
    assert_eq!(output.exit, Exit::Code(0), "{:?}\n{}{}", spec.args, output.stdout, output.stderr);
    output.stdout
}

/// Tries again until it holds, for a minute at most.
pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come to hold");
        thread::yield_now();
    }
}
