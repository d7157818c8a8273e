//! What the library says where a feature is needed that it was built without:
//! `cargo test -p dfbuild --no-default-features --test without_features`
#![cfg(not(any(feature = "registry", feature = "sandbox")))]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use dfbuild::remote::ClientOptions;
use dfbuild::testing::{FakeSandbox, MemoryRegistry};
use dfbuild::{Build, BuildContext, Built, Cancel, Engine, Error, Event, SandboxError};

fn build(engine: &Engine, text: &str) -> Result<Built, Error> {
    let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag("r.example/app");
    build.run(engine, &|_: &Event| {}, &Cancel::new())
}

#[test]
fn commands_are_refused_and_everything_else_is_built() {
    let store = tempfile::tempdir().unwrap();
    let engine = Engine::open(store.path()).unwrap();
    let built = build(&engine, "FROM scratch\nCOPY <<EOF /file\nhello\nEOF\nWORKDIR /w\n").unwrap();
    assert_eq!(built.layers, 2);
    let error = build(&engine, "FROM scratch\nRUN true\n").unwrap_err();
    let Error::Sandbox { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason, SandboxError::Disabled.to_string());
}

#[test]
fn pulls_are_refused() {
    let store = tempfile::tempdir().unwrap();
    let engine = Engine::open(store.path()).unwrap().with_network(ClientOptions::default());
    let error = build(&engine, "FROM r.example/base\n").unwrap_err();
    let Error::Image { reason, .. } = error else { panic!("{error}") };
    assert!(reason.contains("built without the feature `registry`"), "{reason}");
}

#[test]
fn a_sandbox_and_a_registry_of_the_embedders_work() {
    let store = tempfile::tempdir().unwrap();
    let registry = MemoryRegistry::new();
    let engine = Engine::open(store.path()).unwrap();
    let engine = engine.with_sandbox(FakeSandbox::new(|_| 0)).with_registry(registry.clone());
    build(&engine, "FROM scratch\nRUN true\n").unwrap();
    let name = "r.example/app".parse().unwrap();
    engine.push(&name, None, &|_: &Event| {}, &Cancel::new()).unwrap();
    assert_eq!(registry.names(), ["r.example/app:latest"]);
}
