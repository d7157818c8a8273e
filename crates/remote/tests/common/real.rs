//! Debian's `docker-registry` on a free port of this machine.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "this is only part of tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use dfbuild_image::Reference;

/// A running registry with a folder of its own.
pub(crate) struct RealRegistry {
    pub(crate) address: String,
    pub(crate) folder: tempfile::TempDir,
    process: Child,
}

/// How it is set up.
#[derive(Default)]
pub(crate) struct Setup {
    /// Only `me` with the password `secret` gets in.
    pub(crate) password: bool,
    /// It speaks TLS, with a certificate for 127.0.0.1 in `cert.pem` of its folder.
    pub(crate) tls: bool,
}

/// `me:secret`
const HTPASSWD: &str = "me:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl RealRegistry {
    /// `None`, said loudly, if it is not installed.
    pub(crate) fn start(setup: &Setup) -> Option<Self> {
        let program = installed("docker-registry")?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            path("data")
        );
        let mut http = "http: {addr: '127.0.0.1:0', secret: s".to_owned();
        if setup.tls {
            make_certificate(folder.path())?;
            let (cert, key) = (path("cert.pem"), path("key.pem"));
            http.push_str(&format!(", tls: {{certificate: '{cert}', key: '{key}'}}"));
        }
        config.push_str(&http);
        config.push_str("}\n");
        if setup.password {
            std::fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
            let file = path("htpasswd");
            config.push_str(&format!("auth: {{htpasswd: {{realm: r, path: '{file}'}}}}\n"));
        }
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let mut process = Command::new(program)
            .args(["serve", &path("config.yml")])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("the registry ended: {seen}");
            };
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find(['"', ',', ' ']).unwrap_or(rest.len());
                break rest[..end].to_owned();
            }
            seen.push_str(&line);
        };
        // It must not stand still because nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { address, folder, process })
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.address).parse().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn make_certificate(folder: &Path) -> Option<()> {
    let mut command = Command::new(installed("openssl")?);
    command.args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '),
    );
    command.args("-keyout key.pem -out cert.pem -subj /CN=test".split(' '));
    command.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]).current_dir(folder);
    run(&mut command);
    Some(())
}

/// The program, or `None`, said loudly.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|p| p.exists());
    if found.is_none() {
        eprintln!("SKIPPED: `{name}` is not installed");
    }
    found
}

/// Runs a program that has to succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    output
}
