use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{
    Bed, Bundle, DebianRegistry, Differ, Outcome, PackageSetup, RegistrySetup, Skipped, debian,
    differences, program, run,
};

/// One of the projects in `fixtures/`, copied to a [`Bed`], with a small Debian to build on and the
/// machine's own way to packages.
#[derive(Debug)]
pub struct Fixture<'a> {
    bed: &'a Bed,
    packages: PackageSetup,
    debian: PathBuf,
}

/// What the machine gives for the way to its packages, and no image may have.
const NOT_IN_IMAGES: [&str; 6] = [
    "etc/pip.conf",
    "etc/npmrc",
    "run/secrets",
    "etc/apt/sources.list.d/machine.sources",
    "etc/apt/sources.list.d/machine.list",
    "etc/apt/apt.conf.d/99machine",
];

/// In namespaces of its own, so that nothing has to be cleaned up, and every port is free.
const CHROOT: &str = r#"mount --rbind /dev "$0/dev" && exec chroot "$0" /bin/sh -c "$1""#;

impl<'a> Fixture<'a> {
    /// Copies the fixture at `folder` into the context of the bed. `cache` keeps the Debian.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn new(bed: &'a Bed, folder: &Path, cache: &Path) -> Result<Self, Skipped> {
        for tool in ["skopeo", "umoci", "docker-registry"] {
            program(tool)?;
        }
        let cached = debian(cache)?;
        // Another user may not get to the cache.
        let debian = bed.join("debian");
        copy_folder(&cached, &debian);
        copy_folder(folder, &bed.context());
        bed.own(&bed.context());
        Ok(Self { bed, packages: PackageSetup::collect(bed), debian })
    }

    /// The bed that it is built in.
    pub fn bed(&self) -> &Bed {
        self.bed
    }

    /// Builds it, with `debian` as the name of the Debian.
    ///
    /// # Panics
    /// When that fails.
    pub fn build(&self, args: &[&str]) -> Outcome {
        let mut flags = self.packages.flags();
        flags.push("--build-context".to_owned());
        flags.push(format!("debian=oci-layout://{}", self.debian.display()));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.bed.build(&[&flags, args].concat()).succeeds()
    }

    /// Pushes an image to a registry and pulls it into an empty store: it is the same. Others unpack
    /// what came to the same files as the build itself does. `args` are those of its build. Returns
    /// the folder with the files.
    ///
    /// # Panics
    /// When it is not so.
    pub fn goes_round(&self, name: &str, args: &[&str]) -> Result<PathBuf, Skipped> {
        let registry = DebianRegistry::start(RegistrySetup::default())?;
        let remote = registry.image(&format!("fixtures/{name}:1"));
        let pushed = self.build(&[args, &["-t", &remote, "--push"]].concat());
        assert_eq!(pushed.ran(), 0, "{}", pushed.stderr);
        let digest = self.bed.image(name).digest;

        let other = self.bed.join("out/pulled");
        let root = other.to_str().expect("folders of tests have plain names");
        let pulled = self.bed.run(&["--root", root, "pull", &remote]).succeeds();
        assert_eq!(pulled.stdout.trim(), digest);
        assert_eq!(crate::Image::open(&other, &remote), self.bed.image(name));
        // Each of these has all files of a Debian: no more of them at a time than have to be compared.
        self.bed.drop_folder(&other);

        let copy = self.bed.join(format!("{name}-by-skopeo"));
        let to = format!("oci:{}:latest", copy.display());
        let from = format!("docker://{remote}");
        let args_of_skopeo = ["copy", "-q", "--insecure-policy", "--src-tls-verify=false"];
        run("skopeo", &[&args_of_skopeo[..], &["--preserve-digests", &from, &to]].concat())?;
        let unpacked = self.bed.join(format!("{name}-by-umoci"));
        let bundle = Bundle::unpack(&copy, "latest", &unpacked)?;
        self.bed.drop_folder(&copy);

        let tree = self.bed.join(format!("out/{name}-files"));
        let output = format!("type=local,dest={}", tree.display());
        let cached = self.build(&[args, &["-o", &output]].concat());
        assert_eq!(cached.ran(), 0, "{}", cached.stderr);
        let may = if self.bed.who().is_root() { Differ::Nothing } else { Differ::Owners };
        let found = differences(&bundle.rootfs(), &tree, may);
        assert_eq!(found, [] as [String; 0], "{} in all", found.len());
        self.bed.drop_folder(&unpacked);
        for name in NOT_IN_IMAGES {
            assert!(!tree.join(name).exists(), "{name}");
        }
        Ok(tree)
    }

    /// Runs a command of the shell in unpacked files, with none of us around it.
    ///
    /// # Panics
    /// When it fails.
    pub fn in_files(&self, tree: &Path, command: &str) -> Result<Outcome, Skipped> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skipped::because("chroot needs root; all before it held"));
        }
        let mut command_line = Command::new(program("unshare")?);
        command_line
            .args(["--mount", "--net", "/bin/sh", "-c", CHROOT])
            .arg(tree)
            .arg(command)
            .env_clear();
        let path = "/opt/venv/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";
        let output = command_line.env("PATH", path).output();
        Ok(Outcome::from(output.expect("unshare can be started")).succeeds())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the bed can be written");
    for entry in fs::read_dir(from).expect("the fixture can be read") {
        let entry = entry.expect("the fixture can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("the type is known").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the bed can be written");
        }
    }
}
