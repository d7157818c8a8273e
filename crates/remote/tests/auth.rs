//! Registries that want to know who is asking.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Registry, Reply, Request, client};
use dfbuild_image::MediaType;
use dfbuild_remote::{Client, Credential, Credentials, Error, Pushed};
use dfbuild_testkit::noise;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// The same credential for everybody, counting how often it is asked for.
#[derive(Debug)]
struct Known(Credential, AtomicUsize);

impl Credentials for Known {
    fn get(&self, _registry: &str) -> Result<Option<Credential>, Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(Some(self.0.clone()))
    }
}

fn known(credential: Credential) -> Arc<Known> {
    Arc::new(Known(credential, AtomicUsize::new(0)))
}

fn me() -> Credential {
    Credential::Basic { user: "me".to_owned(), password: "secret".to_owned() }
}

/// `me:secret`
const BASIC: &str = "Basic bWU6c2VjcmV0";

fn registry_with_manifest() -> Registry {
    let registry = Registry::start();
    registry.put_manifest("m", "1", OCI, b"{}");
    registry
}

fn anonymous_and_known() -> (Client, Client) {
    let (anonymous, _) = client(|_| {});
    let (knowing, _) = client(|options| options.credentials = known(me()));
    (anonymous, knowing)
}

#[test]
fn basic() {
    let registry = registry_with_manifest();
    registry.fault(|request, _, reply| match request.header("authorization") {
        BASIC => reply,
        _ => Reply::error(401, "UNAUTHORIZED", "authentication required")
            .with("www-authenticate", r#"Basic realm="Registry Realm""#),
    });
    let (anonymous, knowing) = anonymous_and_known();
    let reference = registry.reference("m:1");
    let error = anonymous.manifest(&reference).unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert!(error.to_string().contains("authentication required"), "{error}");
    assert!(error.hint().unwrap().contains(&format!("docker login {}", registry.address)));
    assert_eq!(knowing.manifest(&reference).unwrap().bytes, b"{}");
    // Once it is known that they are wanted, credentials are sent at once.
    let before = registry.requests().len();
    knowing.manifest(&reference).unwrap();
    assert_eq!(registry.requests().len(), before + 1);
}

#[test]
fn wrong_password() {
    let registry = registry_with_manifest();
    registry.fault(|_, _, _| Reply::new(401).with("www-authenticate", "Basic realm=x"));
    let (_, knowing) = anonymous_and_known();
    let error = knowing.manifest(&registry.reference("m:1")).unwrap_err();
    assert!(error.hint().unwrap().contains("do not allow"), "{error}");
    assert_eq!(registry.requests().len(), 2);
}

/// A token server that gives `token-N` for the N-th request, with the scopes in it.
fn token_server(lifetime: u64) -> Registry {
    let tokens = Registry::start();
    let given = AtomicUsize::new(0);
    tokens.fault(move |_, _, _| {
        let number = given.fetch_add(1, Ordering::SeqCst);
        let body = format!(r#"{{"token":"token-{number}","expires_in":{lifetime}}}"#);
        Reply::new(200).body(body)
    });
    tokens
}

/// Wants a token from `tokens`, and takes those that `valid` does.
fn wants_token(
    registry: &Registry,
    tokens: &Registry,
    valid: impl Fn(&str) -> bool + Send + Sync + 'static,
) {
    let realm = tokens.url("/token");
    registry.fault(move |request, _, reply| {
        match request.header("authorization").strip_prefix("Bearer ") {
            Some(token) if valid(token) => reply,
            _ => Reply::error(401, "UNAUTHORIZED", "authentication required").with(
                "www-authenticate",
                format!(r#"Bearer realm="{realm}",service="r.example",scope="repository:m:pull""#),
            ),
        }
    });
}

#[test]
fn anonymous_token() {
    let (registry, tokens) = (registry_with_manifest(), token_server(300));
    wants_token(&registry, &tokens, |token| token == "token-0");
    let (anonymous, clock) = client(|_| {});
    let reference = registry.reference("m:1");
    anonymous.manifest(&reference).unwrap();
    anonymous.manifest(&reference).unwrap();
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?service=r.example&scope=repository%3Am%3Apull");
    assert_eq!(asked[0].header("authorization"), "");
    // A token is not used beyond its time.
    clock.pass(Duration::from_secs(296));
    anonymous.manifest(&reference).unwrap_err();
    assert!(tokens.requests().len() > 1);
}

#[test]
fn password_goes_to_the_token_server_alone() {
    let (registry, tokens) = (registry_with_manifest(), token_server(0));
    wants_token(&registry, &tokens, |token| token.starts_with("token-"));
    let (_, knowing) = anonymous_and_known();
    knowing.manifest(&registry.reference("m:1")).unwrap();
    assert_eq!(tokens.requests()[0].header("authorization"), BASIC);
    assert!(registry.requests().iter().all(|r| r.header("authorization") != BASIC));
}

#[test]
fn token_that_is_refused_is_replaced() {
    let (registry, tokens) = (registry_with_manifest(), token_server(3000));
    let (client, _) = client(|_| {});
    wants_token(&registry, &tokens, |token| token == "token-0");
    client.manifest(&registry.reference("m:1")).unwrap();
    wants_token(&registry, &tokens, |token| token == "token-1");
    client.manifest(&registry.reference("m:1")).unwrap();
    assert_eq!(tokens.requests().len(), 2);
}

#[test]
fn identity_token_is_exchanged() {
    let (registry, tokens) = (registry_with_manifest(), Registry::start());
    tokens.fault(|_, _, _| Reply::new(200).body(r#"{"access_token":"at"}"#));
    wants_token(&registry, &tokens, |token| token == "at");
    let (client, _) =
        client(|options| options.credentials = known(Credential::Identity("id+t".to_owned())));
    client.manifest(&registry.reference("m:1")).unwrap();
    let asked: Request = tokens.requests().remove(0);
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/token"));
    let form = String::from_utf8(asked.body).unwrap();
    for part in [
        "grant_type=refresh_token",
        "service=r.example",
        "refresh_token=id%2Bt",
        "scope=repository%3Am%3Apull",
    ] {
        assert!(form.contains(part), "{form}");
    }
}

#[test]
fn registry_token_is_sent_as_it_is() {
    let (registry, tokens) = (registry_with_manifest(), token_server(60));
    wants_token(&registry, &tokens, |token| token == "rt");
    let (client, _) =
        client(|options| options.credentials = known(Credential::Bearer("rt".to_owned())));
    client.manifest(&registry.reference("m:1")).unwrap();
    assert!(tokens.requests().is_empty());
}

#[test]
fn token_server_that_refuses() {
    let (registry, tokens) = (registry_with_manifest(), Registry::start());
    tokens.fault(|_, _, _| Reply::new(401).body(r#"{"details":"incorrect username or password"}"#));
    wants_token(&registry, &tokens, |_| false);
    let (_, knowing) = anonymous_and_known();
    let error = knowing.manifest(&registry.reference("m:1")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("get a token") && text.contains("incorrect username"), "{text}");
}

#[test]
fn token_server_in_trouble() {
    let (registry, tokens) = (registry_with_manifest(), Registry::start());
    tokens.fault(|_, before, _| match before {
        0 => Reply::new(503),
        _ => Reply::new(200).body(r#"{"token":"t"}"#),
    });
    wants_token(&registry, &tokens, |token| token == "t");
    let (client, clock) = client(|_| {});
    client.manifest(&registry.reference("m:1")).unwrap();
    assert_eq!(clock.slept().len(), 1);
}

#[test]
fn mount_asks_for_both_repositories() {
    let (registry, tokens) = (Registry::start(), token_server(300));
    let bytes = noise(100);
    let blob = registry.put_blob("from", &bytes);
    wants_token(&registry, &tokens, |_| true);
    let (client, _) = client(|options| options.credentials = known(me()));
    let never = || panic!("nothing is sent");
    let from = registry.reference("from");
    let to = registry.reference("to");
    let pushed = client.push_blob(&to, &blob, &never, Some(&from), &|_| {}).unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    let paths: Vec<String> = tokens.requests().into_iter().map(|request| request.path).collect();
    assert!(
        paths.iter().any(|path| path.contains("scope=repository%3Ato%3Apull%2Cpush")
            && path.contains("scope=repository%3Afrom%3Apull")),
        "{paths:?}"
    );
}

#[test]
fn mount_without_rights_is_an_upload() {
    let registry = Registry::start();
    let blob = registry.put_blob("from", b"abc");
    registry.fault(|request, _, reply| match request.path.as_str() {
        path if path.contains("mount=") => Reply::error(403, "DENIED", "no access to from"),
        _ => reply,
    });
    let (client, _) = client(|_| {});
    let open = || Ok(Box::new(&b"abc"[..]) as Box<dyn std::io::Read>);
    let from = registry.reference("from");
    let pushed =
        client.push_blob(&registry.reference("to"), &blob, &open, Some(&from), &|_| {}).unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
}

#[test]
fn redirect_takes_no_credentials_along() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let blob = registry.put_blob("m", b"abc");
    storage.put_blob("m", b"abc");
    let target = storage.address;
    registry.fault(move |request, _, reply| match request.header("authorization") {
        BASIC if request.is("GET", "/blobs/") => {
            Reply::new(307).with("location", format!("http://{target}{}", request.path))
        }
        BASIC => reply,
        _ => Reply::new(401).with("www-authenticate", "Basic realm=x"),
    });
    let (client, _) = client(|options| options.credentials = known(me()));
    let mut bytes = Vec::new();
    client.blob(&registry.reference("m"), &blob, &mut bytes, &|_| {}).unwrap();
    assert_eq!(bytes, b"abc");
    assert_eq!(storage.requests()[0].header("authorization"), "");
}

#[test]
fn storage_that_challenges_learns_nothing() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let blob = registry.put_blob("m", b"abc");
    let target = storage.address;
    registry.fault(move |request, _, _| {
        Reply::new(307).with("location", format!("http://{target}{}", request.path))
    });
    storage.fault(|_, _, _| Reply::new(401).with("www-authenticate", "Basic realm=x"));
    let credentials = known(me());
    let asked = Arc::clone(&credentials);
    let (client, _) = client(|options| options.credentials = credentials);
    let mut bytes = Vec::new();
    client.blob(&registry.reference("m"), &blob, &mut bytes, &|_| {}).unwrap_err();
    assert_eq!(asked.1.load(Ordering::SeqCst), 0);
}

#[test]
fn credentials_are_asked_for_once() {
    let registry = registry_with_manifest();
    registry.fault(|request, _, reply| match request.header("authorization") {
        BASIC => reply,
        _ => Reply::new(401).with("www-authenticate", "Basic realm=x"),
    });
    let credentials = known(me());
    let asked = Arc::clone(&credentials);
    let (client, _) = client(|options| options.credentials = credentials);
    for _ in 0..3 {
        client.manifest(&registry.reference("m:1")).unwrap();
        client.push_manifest(&registry.reference("m:2"), &MediaType::ImageManifest, b"{}").unwrap();
    }
    assert_eq!(asked.1.load(Ordering::SeqCst), 1);
}

#[test]
fn missing_helper_matters_only_where_credentials_are_wanted() {
    #[derive(Debug)]
    struct Broken;
    impl Credentials for Broken {
        fn get(&self, registry: &str) -> Result<Option<Credential>, Error> {
            let reason = "there is no program `docker-credential-desktop`".to_owned();
            Err(Error::Credentials { registry: registry.to_owned(), reason })
        }
    }
    let (registry, tokens) = (registry_with_manifest(), token_server(300));
    wants_token(&registry, &tokens, |token| token == "token-0");
    let (client, _) = client(|options| options.credentials = Arc::new(Broken));
    client.manifest(&registry.reference("m:1")).unwrap();
    wants_token(&registry, &tokens, |_| false);
    let error = client.manifest(&registry.reference("m:1")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("docker-credential-desktop") && text.contains("answered 401"), "{text}");
}
