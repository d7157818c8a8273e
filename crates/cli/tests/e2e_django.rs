//! The Django fixture on a real Debian, with real packages: as root and as ordinary users. Takes
//! minutes and needs debootstrap, skopeo, umoci, docker-registry and the package registries; all else
//! is quick.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;

use dfbuild_testkit::{Bed, Fixture, Outcome, Skipped, as_each_user, run};

as_each_user!(django);

fn django(bed: &Bed) -> Result<(), Skipped> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/django"));
    let fixture = Fixture::new(bed, folder, Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let builds = Builds { fixture };
    builds.everything_runs();
    builds.nothing_runs_again();
    builds.only_a_change_runs();
    builds.accepted_by_others()?;
    builds.programs_run()
}

struct Builds<'a> {
    fixture: Fixture<'a>,
}

impl Builds<'_> {
    fn bed(&self) -> &Bed {
        self.fixture.bed()
    }

    fn base(&self) -> Outcome {
        let dockerfile = self.bed().context().join("Dockerfile.base");
        self.fixture.build(&["-f", dockerfile.to_str().unwrap(), "-t", "base"])
    }

    fn app(&self) -> Outcome {
        self.fixture.build(&["-t", "app"])
    }

    fn everything_runs(&self) {
        let base = self.base();
        assert_eq!(base.cached(), 0, "{}", base.stderr);
        let app = self.app();
        assert!(app.stderr.contains("Successfully installed"), "{}", app.stderr);
        let config = &self.bed().image("app").config;
        assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["./docker-entrypoint.sh"]));
        assert_eq!(config["config"]["WorkingDir"], "/srv/app");
        let env = config["config"]["Env"].to_string();
        assert!(env.contains("PATH=/opt/venv/bin:/usr/local/sbin:"), "{env}");
        let base = self.bed().image("base");
        assert_eq!(base.config["author"], "The Platform Team <platform@example.com>");
        assert_eq!(self.bed().image("app").layers[..base.layers.len()], base.layers);
    }

    fn nothing_runs_again(&self) {
        for again in [self.base(), self.app()] {
            assert_eq!(again.ran(), 0, "{}", again.stderr);
            assert_eq!(again.ran_steps(), [] as [&str; 0]);
        }
        for name in ["guestbook/views.py", "requirements.txt", "deploy/nginx.conf", "guestbook"] {
            self.bed().touch(name, 1_000_000_000);
        }
        for touched in [self.base(), self.app()] {
            assert_eq!(touched.ran(), 0, "{}", touched.stderr);
        }
    }

    fn only_a_change_runs(&self) {
        let path = self.bed().context().join("guestbook/views.py");
        let text = fs::read_to_string(path).unwrap();
        self.bed().write("guestbook/views.py", text + "\n# A change.\n");
        let changed = self.app();
        let ran = changed.ran_steps();
        assert_eq!(ran.len(), 2, "{}", changed.stderr);
        assert_eq!(ran[0], "COPY . .");
        assert!(ran[1].starts_with("RUN python manage.py check"), "{}", changed.stderr);
        assert_eq!(self.base().ran(), 0);
    }

    fn accepted_by_others(&self) -> Result<(), Skipped> {
        let store = self.bed().store();
        for name in ["base", "app"] {
            let image = format!("oci:{}:{name}:latest", store.display());
            run("skopeo", &["inspect", &image])?;
            let file = self.bed().join(name);
            let archive = format!("docker-archive:{}:{name}:latest", file.display());
            run("skopeo", &["copy", "--insecure-policy", "-q", &image, &archive])?;
            fs::remove_file(file).unwrap();
        }
        Ok(())
    }

    /// To a registry and back, unpacked by others, what RUN installed works without us.
    fn programs_run(&self) -> Result<(), Skipped> {
        let tree = self.fixture.goes_round("app", &[])?;
        let chroot = |command: &str| self.fixture.in_files(&tree, command);
        let django = chroot("cd /srv/app && ./docker-entrypoint.sh python -m django --version")?;
        assert_eq!(django.stdout.trim(), "4.2.16");
        assert!(chroot("nginx -v")?.stderr.contains("nginx/"));
        assert!(!chroot("supervisord --version")?.stdout.is_empty());
        assert!(chroot("cd /srv/app && cat static/guestbook.css")?.stdout.contains("body"));
        Ok(())
    }
}
