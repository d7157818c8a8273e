//! The promise: a base that is pinned or local needs no network at all.

use std::process::Command;

use dfbuild_testkit::{FaultProxy, Outcome, Skipped, program, run};

use super::{build_elsewhere, build_elsewhere_command, check, elsewhere, image, registry};

/// The same command where there is no network, not even this machine's own.
fn without_network(command: &Command) -> Result<Outcome, Skipped> {
    if !rustix::process::geteuid().is_root() {
        return Err(Skipped::because("only root can make an empty network namespace"));
    }
    let mut unshare = Command::new(program("unshare")?);
    unshare.arg("--net").arg(command.get_program()).args(command.get_args()).env_clear();
    unshare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        unshare.current_dir(folder);
    }
    Ok(unshare.output().expect("unshare can be started").into())
}

#[test]
fn pinned_and_local_bases_need_no_network() {
    check("offline::pinned_and_local_bases_need_no_network", |bed| {
        let registry = registry()?;
        let proxy = FaultProxy::start(registry.address(), |_, _, ask| ask());
        let name = format!("{}/app", proxy.server().address());
        let tagged = format!("{name}:1");
        image(bed, &[&tagged]);
        let digest = bed.run(&["push", "-q", &tagged]).succeeds().stdout;
        let digest = digest.trim();
        let _ = elsewhere(bed, &["pull", &tagged]).succeeds();
        let _ = build_elsewhere(bed, "FROM scratch\nCOPY file /\n", &["-t", "mine"]).succeeds();
        let asked = proxy.server().requests().len();

        let froms = [
            format!("FROM {tagged}\nRUN cat /made\n"),
            format!("FROM {name}@{digest}\nRUN cat /made\n"),
            format!("FROM {tagged}@{digest}\nRUN cat /made\n"),
            "FROM mine\nCOPY file /again\n".to_owned(),
            format!("FROM mine\nCOPY --from={name}@{digest} /made /\n"),
        ];
        for from in &froms {
            for flag in ["--offline", "--no-cache"] {
                let _ = build_elsewhere(bed, from, &[flag]).succeeds();
            }
        }
        // Not even --pull has anything to ask for where the digest says what it is.
        let _ = build_elsewhere(bed, &froms[1], &["--pull"]).succeeds();
        assert_eq!(proxy.server().requests().len(), asked);
        for from in &froms {
            let command = build_elsewhere_command(bed, from, &["--no-cache"]);
            let _ = without_network(&command)?.succeeds();
        }
        Ok(())
    });
}

/// People pin what the registry shows them, which is the digest of the index.
#[test]
fn base_pinned_by_its_index() {
    check("offline::base_pinned_by_its_index", |bed| {
        let registry = registry()?;
        image(bed, &["app"]);
        let layout = bed.join("out/layout");
        let source = format!("oci:{}:app:latest", bed.store().display());
        run(
            "skopeo",
            &["copy", "-q", "--insecure-policy", &source, &format!("oci:{}:app", layout.display())],
        )?;
        let pushed = super::interop::push_index(bed, &registry, "multi:1", &layout)?;
        let pinned = format!("{}@{pushed}", registry.image("multi"));
        let from = format!("FROM {pinned}\nRUN cat /made\n");
        let _ = build_elsewhere(bed, &from, &[]).succeeds();
        drop(registry);
        for flag in ["--offline", "--pull", "--no-cache"] {
            let _ = build_elsewhere(bed, &from, &[flag]).succeeds();
        }
        Ok(())
    });
}

#[test]
fn what_is_missing_is_named() {
    check("offline::what_is_missing_is_named", |bed| {
        let missing = build_elsewhere(bed, "FROM debian:12\n", &["--offline"]).exits_with(1);
        let last = missing.stderr.lines().last().unwrap();
        let expect = "find image debian:12: no local image debian:12, and this is offline";
        assert!(last.ends_with(expect), "{last}");
        assert!(missing.stderr.contains("`dfbuild pull debian:12`"), "{}", missing.stderr);
        let digest = format!("registry.example/app@sha256:{}", "1".repeat(64));
        let missing = build_elsewhere(bed, &format!("FROM {digest}\n"), &["--offline"]);
        let missing = missing.exits_with(1);
        assert!(missing.stderr.contains(&format!("no local image {digest}")), "{}", missing.stderr);
        let url = "http://127.0.0.1:1/file";
        let add = format!("FROM scratch\nADD {url} /\n");
        let missing = build_elsewhere(bed, &add, &["--offline"]).exits_with(1);
        assert!(missing.stderr.contains(url), "{}", missing.stderr);
        assert!(missing.stderr.contains("offline"), "{}", missing.stderr);
        for flag in ["--pull", "--push"] {
            let contradiction =
                build_elsewhere(bed, "FROM scratch\n", &["--offline", flag, "-t", "a"]);
            let contradiction = contradiction.exits_with(2);
            let expect = format!("error: the argument '--offline' cannot be used with '{flag}'");
            assert!(contradiction.stderr.contains(&expect), "{}", contradiction.stderr);
        }
        Ok(())
    });
}
