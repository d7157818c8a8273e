//! How this machine gets packages: looked up when a test runs, and handed to builds as secrets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Bed;

/// Where builds find the certificates of the secret `ca`.
const CA_IN_BUILD: &str = "/run/secrets/ca";

/// The machine's source lists, certificates and settings of pip and npm, as files.
#[derive(Debug)]
pub struct PackageSetup {
    secrets: Vec<(&'static str, PathBuf)>,
}

impl PackageSetup {
    /// Collects them in a folder of the bed.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn collect(bed: &Bed) -> Self {
        let folder = bed.join("secrets");
        fs::create_dir(&folder).expect("the folder is new");
        let files = [
            ("apt-sources", apt_lists("sources")),
            ("apt-list", apt_lists("list")),
            ("apt-conf", apt_conf()),
            ("pip", pip_conf()),
            ("npm", npm_conf()),
            ("ca", certificates()),
        ];
        let secrets = files.map(|(name, text)| {
            let path = folder.join(name);
            fs::write(&path, text).expect("the folder is the test's own");
            (name, path)
        });
        bed.own(&folder);
        Self { secrets: secrets.into() }
    }

    /// The flags of a build.
    pub fn flags(&self) -> Vec<String> {
        let flag = |(id, path): &(&str, PathBuf)| {
            ["--secret".to_owned(), format!("id={id},src={}", path.display())]
        };
        self.secrets.iter().flat_map(flag).collect()
    }
}

/// The source lists in one of apt's two formats.
pub(crate) fn apt_lists(extension: &str) -> String {
    let folder = Path::new("/etc/apt/sources.list.d");
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    if extension == "list" {
        paths.push("/etc/apt/sources.list".into());
    }
    paths.sort();
    let texts: Vec<String> =
        paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    texts.join("\n")
}

/// Proxies, certificates and checks of dates: all that is under `Acquire`.
fn apt_conf() -> String {
    let output = Command::new("apt-config").arg("dump").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("Acquire::"));
    let ca = format!("Acquire::https::CAInfo \"{CA_IN_BUILD}\";");
    lines
        .filter(|line| !line.contains("::CAInfo"))
        .chain([ca.as_str()])
        .collect::<Vec<_>>()
        .join("\n")
}

/// The settings of pip, from its files and its variables, without the paths of this machine.
fn pip_conf() -> String {
    let output = Command::new("python3").args(["-m", "pip", "config", "list"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut conf = format!("[global]\ncert = {CA_IN_BUILD}\n");
    for line in text.unwrap_or_default().lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = value.trim_matches('\'');
        let setting = name.strip_prefix("global.").or_else(|| name.strip_prefix(":env:."));
        if let Some(setting) =
            setting.filter(|setting| *setting != "cert" && !value.starts_with('/'))
        {
            conf += &format!("{setting} = {value}\n");
        }
    }
    conf
}

/// Where npm gets its packages; its own choice if the machine has no npm.
fn npm_conf() -> String {
    let mut conf =
        format!("cafile={CA_IN_BUILD}\naudit=false\nfund=false\nupdate-notifier=false\n");
    let output = Command::new("npm").args(["config", "get", "registry"]).output();
    if let Some(output) = output.ok().filter(|output| output.status.success()) {
        conf += &format!("registry={}\n", String::from_utf8_lossy(&output.stdout).trim());
    }
    conf
}

fn certificates() -> String {
    let given = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    let mut paths = given.into_iter().chain([usual]);
    paths.find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default()
}
