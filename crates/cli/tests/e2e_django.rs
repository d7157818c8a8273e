//! The Django fixture on a real Debian, with real packages: as root and as ordinary users. Takes
//! minutes and needs debootstrap, skopeo, umoci and the package registries; all else is quick.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use dfbuild_testkit::{
    Bed, Bundle, Differ, Outcome, PackageSetup, Skipped, Who, debian, differences, program, run,
    run_or_skip,
};

#[test]
fn as_the_caller() {
    run_or_skip("e2e_django::as_the_caller", || django(Who::Caller));
}

#[test]
fn as_a_mapped_user() {
    run_or_skip("e2e_django::as_a_mapped_user", || django(Who::Mapped));
}

#[test]
fn as_a_user_with_a_single_id() {
    run_or_skip("e2e_django::as_a_user_with_a_single_id", || django(Who::SingleId));
}

fn django(who: Who) -> Result<(), Skipped> {
    program("skopeo")?;
    program("umoci")?;
    let debian = debian(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), who)?;
    let builds = Builds::new(bed, &debian);
    builds.everything_runs();
    builds.nothing_runs_again();
    builds.only_a_change_runs();
    builds.accepted_by_others()?;
    builds.programs_run()
}

struct Builds {
    bed: Bed,
    packages: PackageSetup,
}

impl Builds {
    fn new(bed: Bed, debian: &Path) -> Self {
        copy_folder(
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/django")),
            &bed.context(),
        );
        bed.own(&bed.context());
        let packages = PackageSetup::collect(&bed);
        let builds = Self { bed, packages };
        builds.make_debian(debian);
        builds
    }

    /// The base image as a layout of its own, made from an archive as Debian's images are.
    fn make_debian(&self, archive: &Path) {
        let folder = self.bed.join("debian");
        fs::create_dir(&folder).unwrap();
        fs::copy(archive, folder.join("debian.tar")).unwrap();
        fs::write(folder.join("Dockerfile"), "FROM scratch\nADD debian.tar /\nCMD [\"bash\"]\n")
            .unwrap();
        self.bed.own(&folder);
        let archive = self.bed.join("out/debian.tar");
        let output = format!("type=oci,dest={}", archive.display());
        let root = self.bed.join("out/other-store");
        let args = ["--root", root.to_str().unwrap(), "build", "-q", "-t", "debian", "-o", &output];
        let _ = self.bed.run(&[&args[..], &[folder.to_str().unwrap()]].concat()).succeeds();
        let layout = self.bed.join("debian-layout");
        fs::create_dir(&layout).unwrap();
        run("tar", &["-xf", archive.to_str().unwrap(), "-C", layout.to_str().unwrap()]).unwrap();
    }

    fn base(&self) -> Outcome {
        let dockerfile = self.bed.context().join("Dockerfile.base");
        let debian = format!("debian=oci-layout://{}", self.bed.join("debian-layout").display());
        let args = ["-f", dockerfile.to_str().unwrap(), "-t", "base", "--build-context", &debian];
        self.build(&args)
    }

    fn app(&self) -> Outcome {
        self.build(&["-t", "app"])
    }

    fn build(&self, args: &[&str]) -> Outcome {
        let flags = self.packages.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.bed.build(&[&flags, args].concat()).succeeds()
    }

    fn everything_runs(&self) {
        let base = self.base();
        assert_eq!(base.cached(), 0, "{}", base.stderr);
        let app = self.app();
        assert!(app.stderr.contains("Successfully installed"), "{}", app.stderr);
        let config = &self.bed.image("app").config;
        assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["./docker-entrypoint.sh"]));
        assert_eq!(config["config"]["WorkingDir"], "/srv/app");
        let env = config["config"]["Env"].to_string();
        assert!(env.contains("PATH=/opt/venv/bin:/usr/local/sbin:"), "{env}");
        let base = self.bed.image("base");
        assert_eq!(base.config["author"], "The Platform Team <platform@example.com>");
        assert_eq!(self.bed.image("app").layers[..base.layers.len()], base.layers);
    }

    fn nothing_runs_again(&self) {
        for again in [self.base(), self.app()] {
            assert_eq!(again.ran(), 0, "{}", again.stderr);
            assert_eq!(again.ran_steps(), [] as [&str; 0]);
        }
        for name in ["guestbook/views.py", "requirements.txt", "deploy/nginx.conf", "guestbook"] {
            self.bed.touch(name, 1_000_000_000);
        }
        for touched in [self.base(), self.app()] {
            assert_eq!(touched.ran(), 0, "{}", touched.stderr);
        }
    }

    fn only_a_change_runs(&self) {
        let path = self.bed.context().join("guestbook/views.py");
        let text = fs::read_to_string(path).unwrap();
        self.bed.write("guestbook/views.py", text + "\n# A change.\n");
        let changed = self.app();
        let ran = changed.ran_steps();
        assert_eq!(ran.len(), 2, "{}", changed.stderr);
        assert_eq!(ran[0], "COPY . .");
        assert!(ran[1].starts_with("RUN python manage.py check"), "{}", changed.stderr);
        assert_eq!(self.base().ran(), 0);
    }

    fn accepted_by_others(&self) -> Result<(), Skipped> {
        let store = self.bed.store();
        for name in ["base", "app"] {
            let image = format!("oci:{}:{name}:latest", store.display());
            run("skopeo", &["inspect", &image])?;
            let archive = format!("docker-archive:{}:{name}:latest", self.bed.join(name).display());
            run("skopeo", &["copy", "--insecure-policy", "-q", &image, &archive])?;
        }
        let bundle = Bundle::unpack(&store, "app:latest", &self.bed.join("bundle"))?;
        let tree = self.bed.join("out/tree");
        let cached = self.build(&["-o", &format!("type=local,dest={}", tree.display())]);
        assert_eq!(cached.ran(), 0, "{}", cached.stderr);
        let may = if self.bed.who().is_root() { Differ::Nothing } else { Differ::Owners };
        let found = differences(&bundle.rootfs(), &tree, may);
        assert_eq!(found, [] as [String; 0], "{} in all", found.len());
        // What the machine gave for the way to its packages is not in the image.
        for name in [
            "etc/pip.conf",
            "run/secrets",
            "etc/apt/sources.list.d/machine.sources",
            "etc/apt/sources.list.d/machine.list",
            "etc/apt/apt.conf.d/99machine",
        ] {
            assert!(!tree.join(name).exists(), "{name}");
        }
        Ok(())
    }

    /// What RUN installed works without us.
    fn programs_run(&self) -> Result<(), Skipped> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skipped::because("chroot needs root; all before it held"));
        }
        let tree = self.bed.join("out/tree");
        let chroot = |command: &str| {
            let mut chroot = Command::new(program("chroot")?);
            chroot.arg(&tree).args(["/bin/sh", "-c", command]).env_clear();
            let output = chroot.env("PATH", "/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin").output();
            Ok(Outcome::from(output.expect("chroot can be started")).succeeds())
        };
        let django = chroot("cd /srv/app && ./docker-entrypoint.sh python -m django --version")?;
        assert_eq!(django.stdout.trim(), "4.2.16");
        assert!(chroot("nginx -v")?.stderr.contains("nginx/"));
        assert!(!chroot("supervisord --version")?.stdout.is_empty());
        assert!(chroot("cd /srv/app && cat static/guestbook.css")?.stdout.contains("body"));
        Ok(())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
