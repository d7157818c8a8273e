//! Debian's `docker-registry` on a free port of this machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{Skipped, program};

/// A running registry with a folder of its own. It ends with the value.
#[derive(Debug)]
pub struct DebianRegistry {
    address: String,
    folder: TempDir,
    process: Child,
}

/// How a [`DebianRegistry`] is set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegistrySetup {
    /// Only `me` with the password `secret` gets in.
    pub password: bool,
    /// It speaks TLS, with a certificate for 127.0.0.1 and `registry.test` in `cert.pem` of its folder.
    pub tls: bool,
}

/// `me:secret`
const HTPASSWD: &str = "me:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl DebianRegistry {
    /// Starts an empty one, and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(setup: RegistrySetup) -> Result<Self, Skipped> {
        let program = program("docker-registry")?;
        let folder =
            TempDir::with_prefix("dfbuild-registry-").expect("there is a temporary folder");
        if setup.tls {
            make_certificate(folder.path())?;
        }
        let config = configuration(folder.path(), setup);
        fs::write(folder.path().join("config.yml"), config).expect("the folder is new");
        fs::write(folder.path().join("htpasswd"), HTPASSWD).expect("the folder is new");
        let mut process = Command::new(program)
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the registry can be started");
        let output = process.stderr.take().expect("its output is a pipe");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let address = loop {
            let Some(line) = lines.next() else { panic!("the registry ended: {seen:#?}") };
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find(['"', ',', ' ']).unwrap_or(rest.len());
                break rest[..end].to_owned();
            }
            seen.push(line);
        };
        // It must not stand still because nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { address, folder, process })
    }

    /// Where it is: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name of an image in it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(folder: &Path, setup: RegistrySetup) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut config = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
        path("data")
    );
    let mut http = "http: {addr: '127.0.0.1:0', secret: s".to_owned();
    if setup.tls {
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        http.push_str(&format!(", tls: {{certificate: '{cert}', key: '{key}'}}"));
    }
    config.push_str(&http);
    config.push_str("}\n");
    if setup.password {
        let file = path("htpasswd");
        config.push_str(&format!("auth: {{htpasswd: {{realm: r, path: '{file}'}}}}\n"));
    }
    config
}

fn make_certificate(folder: &Path) -> Result<(), Skipped> {
    let mut command = Command::new(program("openssl")?);
    command.args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '),
    );
    command.args("-keyout key.pem -out cert.pem -subj /CN=test".split(' '));
    command.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:registry.test"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]).current_dir(folder);
    let output = command.stdin(Stdio::null()).output().expect("openssl can be started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    Ok(())
}
