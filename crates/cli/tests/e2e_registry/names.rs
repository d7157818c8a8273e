//! Names of images, and where they lead.

use std::fs;

use dfbuild_testkit::{DebianRegistry, FaultProxy, Outcome, RegistrySetup, Tunnel};

use super::{build_elsewhere, build_elsewhere_command, check, elsewhere, elsewhere_command, image};
use super::{docker_config, registry};

#[test]
fn mirror_of_docker_hub() {
    check("names::mirror_of_docker_hub", |bed| {
        let registry = registry()?;
        let local = registry.image("library/ubuntu:16.04");
        image(bed, &[&local]);
        let pushed = bed.run(&["push", &local]).succeeds();
        let mirror = FaultProxy::start(registry.address(), |_, _, ask| ask());
        let url = format!("http://{}", mirror.server().address());
        let args = ["-t", "app", "--registry-mirror", &url];
        let _ = build_elsewhere(bed, "FROM ubuntu:16.04\nRUN cat /made\n", &args).succeeds();
        assert_eq!(mirror.server().count("GET", "/v2/library/ubuntu/manifests/16.04"), 1);
        let _ = elsewhere(bed, &["images", "ubuntu:16.04"]).succeeds();
        let pulled = ["pull", "docker.io/library/ubuntu:16.04", "--registry-mirror", &url];
        assert_eq!(elsewhere(bed, &pulled).succeeds().stdout, pushed.stdout);
        Ok(())
    });
}

/// What Docker documents for a runner for each platform; an index is made of the digests afterwards.
#[test]
fn pushed_by_digest() {
    check("names::pushed_by_digest", |bed| {
        let registry = registry()?;
        let name = registry.image("by/digest");
        bed.base();
        bed.write("Dockerfile", "FROM base\nRUN echo made > /made\n");
        let (output, metadata) = (
            format!("type=image,name={name},push-by-digest=true,name-canonical=true,push=true"),
            bed.join("out/metadata.json"),
        );
        let args = ["-o", &output, "--metadata-file", metadata.to_str().unwrap()];
        let built = bed.build(&args).succeeds();
        let metadata: serde_json::Value =
            serde_json::from_slice(&fs::read(&metadata).unwrap()).unwrap();
        let digest = metadata["containerimage.digest"].as_str().unwrap();
        assert!(built.stderr.contains(&format!("pushed {name}@{digest}")), "{}", built.stderr);
        let _ = elsewhere(bed, &["pull", &format!("{name}@{digest}")]).succeeds();
        let _ = elsewhere(bed, &["pull", &name]).exits_with(1);
        let tagged = bed.build(&["-o", &output.replace("digest,push", "digest:1,push")]);
        assert!(tagged.exits_with(1).stderr.contains("has no tag: leave it out"));
        Ok(())
    });
}

/// A registry with a name and a certificate of its own: reached through a proxy, which is the way to
/// any name without changing this machine.
#[test]
fn registry_with_a_certificate_of_its_own() {
    check("names::registry_with_a_certificate_of_its_own", |bed| {
        let registry = DebianRegistry::start(RegistrySetup { password: true, tls: true })?;
        let tunnel = Tunnel::start(registry.address());
        let auths = serde_json::json!({ "auths": { "registry.test": { "auth": "bWU6c2VjcmV0" } } });
        docker_config(bed, &auths);
        let name = "registry.test/team/app:1";
        image(bed, &[name]);
        let ca = bed.join("out/ca.pem");
        fs::copy(registry.path("cert.pem"), &ca).unwrap();
        let ca = ca.to_str().unwrap();
        let push = |args: &[&str]| {
            let mut command = bed.command();
            command.env("HTTPS_PROXY", tunnel.url()).args(["push", name]).args(args);
            Outcome::from(command.output().unwrap())
        };
        let untrusted = push(&[]).exits_with(1);
        let last = untrusted.stderr.lines().last().unwrap();
        assert!(last.contains("no secure connection to `registry.test"), "{last}");
        assert!(untrusted.stderr.contains("pass its CA"), "{}", untrusted.stderr);
        let pushed = push(&["--registry-ca", ca]).succeeds();
        assert_eq!(
            push(&["--insecure-registry", "registry.test"]).succeeds().stdout,
            pushed.stdout
        );

        let mut pull = elsewhere_command(bed, &["pull", name]);
        pull.env("HTTPS_PROXY", tunnel.url()).env("SSL_CERT_FILE", ca);
        let pulled = Outcome::from(pull.output().unwrap()).succeeds();
        assert_eq!(pulled.stdout, pushed.stdout);
        // From here on nobody is asked.
        let before = tunnel.connections();
        let mut build = build_elsewhere_command(bed, &format!("FROM {name}\nRUN cat /made\n"), &[]);
        build.env("HTTPS_PROXY", tunnel.url());
        let _ = Outcome::from(build.output().unwrap()).succeeds();
        assert_eq!(tunnel.connections(), before);
        Ok(())
    });
}
