//! The projects in `fixtures/` on a real Debian, with real packages: as root and as ordinary users, to a
//! registry and back. Takes minutes and needs debootstrap, skopeo, umoci, docker-registry and the
//! package registries; all else is quick.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dfbuild_testkit::{Bed, Fixture, Skipped, Who, as_each_user, run_or_skip};
use serde_json::json;

as_each_user!(node);

/// Each takes a minute, so it is built by those for whom it is hardest: owners, set-user-id programs
/// and accounts by root and where there is only one id.
#[test]
fn maintenance_as_caller() {
    check("maintenance_as_caller", Who::Caller, maintenance);
}

#[test]
fn maintenance_as_single_id() {
    check("maintenance_as_single_id", Who::SingleId, maintenance);
}

#[test]
fn frontend_as_mapped() {
    check("frontend_as_mapped", Who::Mapped, frontend);
}

fn check(test: &str, who: Who, body: fn(&Bed) -> Result<(), Skipped>) {
    run_or_skip(&format!("e2e_fixtures::{test}"), || {
        body(&Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), who)?)
    });
}

fn fixture<'a>(bed: &'a Bed, name: &str) -> Result<Fixture<'a>, Skipped> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(name);
    Fixture::new(bed, &folder, Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// Builds an image twice, the second time without running anything, and takes it to a registry and
/// back. Returns its files.
fn builds_once_and_goes_round(fixture: &Fixture<'_>, name: &str) -> Result<PathBuf, Skipped> {
    let built = fixture.build(&["-t", name]);
    assert_eq!(built.cached(), 0, "{}", built.stderr);
    let again = fixture.build(&["-t", name]);
    assert_eq!(again.ran(), 0, "{}", again.stderr);
    fixture.goes_round(name, &[])
}

fn node(bed: &Bed) -> Result<(), Skipped> {
    let fixture = fixture(bed, "node")?;
    let files = builds_once_and_goes_round(&fixture, "parcels")?;
    let config = &bed.image("parcels").config["config"];
    let volumes = ["/var/lib/api/data", "/var/lib/api/uploads", "/var/log/api"];
    let volumes: serde_json::Map<_, _> =
        volumes.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    assert_eq!(config["Volumes"], json!(volumes));
    assert_eq!(config["ExposedPorts"], json!({ "8080/tcp": {}, "9229/tcp": {} }));
    let command = "node server.js 2>&1 | tee -a /var/log/api/api.log";
    assert_eq!(config["Cmd"], json!(["/bin/sh", "-c", command]));
    assert_eq!(config["User"], "node");
    // npm was needed for the modules only.
    assert!(files.join("srv/api/node_modules/express/package.json").exists());
    assert!(!files.join("srv/api/node_modules/prettier").exists());
    assert!(!files.join("usr/bin/npm").exists());
    // A change of the code leaves the modules alone.
    bed.write("lib/app.js", fs::read_to_string(bed.context().join("lib/app.js")).unwrap() + "\n");
    let changed = fixture.build(&["-t", "parcels"]);
    assert_eq!(changed.ran_steps(), ["COPY --chown=node:node lib ./lib"]);
    // The stage that nothing needs runs when it is asked for.
    let tested = fixture.build(&["--target", "test"]);
    assert!(tested.stderr.contains("# pass 1"), "{}", tested.stderr);
    let version = fixture.in_files(&files, "cd /srv/api && node -p 'require(\"express\").name'")?;
    assert_eq!(version.stdout.trim(), "createApplication");
    Ok(())
}

fn maintenance(bed: &Bed) -> Result<(), Skipped> {
    let fixture = fixture(bed, "maintenance")?;
    let files = builds_once_and_goes_round(&fixture, "maintenance")?;
    let read = |name: &str| fs::read_to_string(files.join(name)).unwrap();
    let passwd = read("etc/passwd");
    assert!(passwd.contains("\nops:x:2001:2001:Operations,,,:/home/ops:/bin/bash\n"), "{passwd}");
    assert!(passwd.contains("\nbackup-agent:x:2002:2002:"), "{passwd}");
    assert!(read("etc/group").contains("\nlogin:x:2000:ops\n"));
    assert!(read("etc/ssh/sshd_config").contains("\nPermitRootLogin no\n"));
    let mode = |name: &str| files.join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("home/ops/.ssh/authorized_keys"), 0o600);
    assert_eq!(mode("srv/backup"), 0o2750);
    assert_eq!(mode("usr/bin/sudo"), 0o4755);
    assert!(!files.join("etc/ssh/ssh_host_ed25519_key").exists());
    let config = &bed.image("maintenance").config["config"];
    assert_eq!(config["Volumes"], json!({ "/srv/backup": {}, "/home": {} }));
    if !bed.who().is_root() {
        // sshd insists on files of root, which an ordinary user cannot write.
        return Ok(());
    }
    let settings = fixture.in_files(&files, "ssh-keygen -A >&2 && sshd -T")?;
    for line in ["permitrootlogin no", "passwordauthentication no", "allowgroups login"] {
        assert!(settings.stdout.lines().any(|found| found == line), "{}", settings.stdout);
    }
    assert_eq!(fixture.in_files(&files, "id -nG ops")?.stdout.trim(), "ops sudo users login");
    Ok(())
}

fn frontend(bed: &Bed) -> Result<(), Skipped> {
    let fixture = fixture(bed, "frontend")?;
    let files = builds_once_and_goes_round(&fixture, "almanac")?;
    let site = files.join("var/www/almanac");
    let page = fs::read_to_string(site.join("february.html")).unwrap();
    assert!(page.contains("<h1>February 2026</h1>") && page.contains("<li>28</ol>"), "{page}");
    let script = fs::read_to_string(site.join("assets/site.js")).unwrap();
    assert!(!script.contains("import"), "{script}");
    // Only what came out of the stages, nothing that it took.
    for name in ["usr/bin/php", "usr/bin/composer", "usr/bin/esbuild", "app", "out"] {
        assert!(!files.join(name).exists(), "{name}");
    }
    // Each stage is a cache of its own.
    bed.write("assets/days.css", ".days { columns: 1 }\n");
    let changed = fixture.build(&["-t", "almanac"]);
    let ran = changed.ran_steps();
    assert!(ran.iter().all(|step| !step.contains("composer")), "{ran:?}");
    assert!(ran.iter().any(|step| step.starts_with("RUN esbuild")), "{ran:?}");
    let year = fixture.build(&["-t", "almanac", "--build-arg", "YEAR=2028"]);
    assert!(year.ran_steps().iter().all(|step| !step.contains("apt-get")), "{}", year.stderr);
    assert!(fixture.in_files(&files, "nginx -t")?.stderr.contains("test is successful"));
    Ok(())
}
