//! No feature of the library pulls in what it does not need.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn cargo(args: &[&str]) -> String {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = command.args(args).arg("--offline").current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All that the library stands on with these features, without what only tests need.
fn tree(features: &[&str]) -> BTreeSet<String> {
    let features = features.join(",");
    let text = cargo(&[
        "tree",
        "--package=dfbuild",
        "--edges=no-dev",
        "--prefix=none",
        "--format={p}",
        "--no-default-features",
        "--features",
        &features,
    ]);
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// HTTP, TLS, and what only they need.
const REGISTRY: [&str; 8] = [
    "http",
    "httpdate",
    "ring",
    "rustls",
    "rustls-webpki",
    "ureq",
    "webpki-root-certs",
    "webpki-roots",
];

/// Namespaces and the filter of system calls.
const SANDBOX: [&str; 1] = ["seccompiler"];

fn has<'a>(tree: &BTreeSet<String>, names: &[&'a str]) -> Vec<&'a str> {
    names.iter().copied().filter(|name| tree.contains(*name)).collect()
}

#[test]
fn features_bring_what_they_need_and_nothing_else() {
    let (none, registry, sandbox) = (tree(&[]), tree(&["registry"]), tree(&["sandbox"]));
    let all = tree(&["registry", "sandbox"]);
    let nothing: [&str; 0] = [];
    for lean in [&none, &sandbox] {
        assert_eq!(has(lean, &REGISTRY), nothing);
    }
    for lean in [&none, &registry] {
        assert_eq!(has(lean, &SANDBOX), nothing);
    }
    for name in ["ureq", "rustls", "webpki-root-certs"] {
        assert!(registry.contains(name), "{name} has another name by now: this test is blind");
    }
    assert!(sandbox.contains("seccompiler"), "it has another name by now: this test is blind");
    let both: BTreeSet<String> = registry.union(&sandbox).cloned().collect();
    assert_eq!(all, both);
    // Nobody's runtime, and nothing of the command's.
    assert_eq!(has(&all, &["tokio", "clap", "indicatif", "dfbuild-testkit"]), nothing);
}
