//! Who may do what.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dfbuild_testkit::{DebianRegistry, FaultProxy, HttpServer, RegistrySetup, Reply};
use serde_json::json;

use super::{build_elsewhere, check, docker_config, elsewhere, image, registry};

/// `me:secret` and `me:wrong`
const RIGHT: &str = "bWU6c2VjcmV0";
const WRONG: &str = "bWU6d3Jvbmc=";

#[test]
fn password() {
    check("auth::password", |bed| {
        let registry = DebianRegistry::start(RegistrySetup { password: true, tls: false })?;
        let (name, address) = (registry.image("team/app:1"), registry.address());
        image(bed, &[&name]);
        let anonymous = bed.run(&["push", &name]).exits_with(1);
        let last = anonymous.stderr.lines().last().unwrap();
        assert!(last.starts_with(&format!("ERROR: failed to push {name}: ")), "{last}");
        assert!(last.contains(&format!("`{address}` answered 401 Unauthorized")), "{last}");
        let hint = format!("log in with `docker login {address}`");
        assert!(anonymous.stderr.contains(&hint), "{}", anonymous.stderr);

        let auths = |auth: &str| json!({ "auths": { address: { "auth": auth } } });
        docker_config(bed, &auths(WRONG));
        for refused in [bed.run(&["push", &name]), elsewhere(bed, &["pull", &name])] {
            let refused = refused.exits_with(1);
            let hint = format!("hint: user or password for `{address}` are wrong");
            assert!(refused.stderr.contains(&hint), "{}", refused.stderr);
        }
        let base = build_elsewhere(bed, &format!("FROM {name}\n"), &[]).exits_with(1);
        assert!(base.stderr.contains("answered 401"), "{}", base.stderr);

        docker_config(bed, &auths(RIGHT));
        let pushed = bed.run(&["push", &name]).succeeds();
        let pulled = elsewhere(bed, &["pull", &name]).succeeds();
        assert_eq!(pushed.stdout, pulled.stdout);
        Ok(())
    });
}

#[test]
fn helper_that_knows_the_password() {
    check("auth::helper_that_knows_the_password", |bed| {
        let registry = DebianRegistry::start(RegistrySetup { password: true, tls: false })?;
        let name = registry.image("app:1");
        image(bed, &[&name]);
        let folder = bed.join("home/bin");
        fs::create_dir(&folder).unwrap();
        let helper = folder.join("docker-credential-test");
        let answer = r#"{"ServerURL":"","Username":"me","Secret":"secret"}"#;
        fs::write(&helper, format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n")).unwrap();
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        docker_config(bed, &json!({ "credHelpers": { registry.address(): "test" } }));
        let mut push = bed.command();
        push.env("PATH", format!("{}:/usr/bin:/bin", folder.display())).args(["push", &name]);
        let pushed = dfbuild_testkit::Outcome::from(push.output().unwrap()).succeeds();
        assert!(pushed.stdout.starts_with("sha256:"));
        // The helper is not in the usual PATH: that is said, because a password was wanted.
        let missing = bed.run(&["pull", &name]).exits_with(1);
        assert!(missing.stderr.contains("docker-credential-test"), "{}", missing.stderr);
        Ok(())
    });
}

/// In front of the registry somebody who wants a token, which a token server gives for a password.
#[test]
fn token() {
    check("auth::token", |bed| {
        let tokens = HttpServer::start(|request, _| {
            if request.header("authorization") == format!("Basic {RIGHT}") {
                let token = json!({ "token": "t0k3n", "expires_in": 300 });
                return Reply::new(200).body(token.to_string());
            }
            Reply::error(401, "UNAUTHORIZED", "incorrect username or password")
        });
        let registry = registry()?;
        let realm = format!("http://{}/token", tokens.address());
        let proxy = FaultProxy::start(registry.address(), move |request, _, ask| {
            if request.header("authorization") == "Bearer t0k3n" {
                return ask();
            }
            let challenge = format!(r#"Bearer realm="{realm}",service="test""#);
            Reply::error(401, "UNAUTHORIZED", "authentication required")
                .with("www-authenticate", challenge)
        });
        let address = proxy.server().address().to_string();
        let name = format!("{address}/team/app:1");
        image(bed, &[&name]);
        let anonymous = bed.run(&["push", &name]).exits_with(1);
        assert!(anonymous.stderr.contains("get a token"), "{}", anonymous.stderr);
        assert!(anonymous.stderr.contains("incorrect username"), "{}", anonymous.stderr);

        docker_config(bed, &json!({ "auths": { address: { "auth": RIGHT } } }));
        let pushed = bed.run(&["push", &name]).succeeds();
        let pulled = elsewhere(bed, &["pull", &name]).succeeds();
        assert_eq!(pushed.stdout, pulled.stdout);
        let asked = tokens.requests();
        let scope = |scope: &str| asked.iter().any(|request| request.path.contains(scope));
        assert!(scope("scope=repository%3Ateam%2Fapp%3Apull"), "{asked:?}");
        // The password is for the token server alone.
        let told = proxy.server().requests();
        let told = told.iter().map(|request| request.header("authorization"));
        assert!(told.into_iter().all(|header| !header.starts_with("Basic")));
        Ok(())
    });
}
