//! Checkouts from repositories on this machine.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "this is a test, helpers and all")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Registry, Reply, client};
use dfbuild_remote::Error;
use dfbuild_remote::git::{Checkout, Git};

fn program() -> Option<Git> {
    let found = ["/usr/local/bin/git", "/usr/bin/git"].into_iter().find(|p| Path::new(p).exists());
    let Some(found) = found else {
        eprintln!("SKIPPED: `git` is not installed");
        return None;
    };
    let environment = vec![
        ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
        ("HOME".into(), "/nonexistent".into()),
    ];
    Some(Git { program: found.into(), environment, allow_local: true })
}

fn run(git: &Git, folder: &Path, arguments: &str) -> String {
    let identity =
        ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
    let output = Command::new(&git.program)
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments.split(' '))
        .current_dir(folder)
        .env_clear()
        .envs(git.environment.iter().cloned())
        .envs(identity.map(|name| (name, "x")))
        .env("GIT_COMMITTER_DATE", "1234567890 +0000")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with two commits, a branch at the first and a tag at the second.
fn repository(git: &Git, folder: &Path, name: &str) -> (String, [String; 2]) {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    run(git, &path, "init -q -b main");
    let commits = ["one", "two"].map(|content| {
        fs::write(path.join("file"), content).unwrap();
        run(git, &path, "add file");
        run(git, &path, &format!("commit -q -m {content}"));
        run(git, &path, "rev-parse HEAD")
    });
    run(git, &path, "branch old HEAD~1");
    run(git, &path, "tag -a -m x v2");
    (format!("file://{}", path.display()), commits)
}

#[test]
fn branches_tags_and_commits() {
    let Some(git) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (url, [first, second]) = repository(&git, folder.path(), "repository");
    let (client, _) = client(|_| {});
    for (number, (reference, commit, content)) in [
        (None, &second, "two"),
        (Some("main"), &second, "two"),
        (Some("old"), &first, "one"),
        (Some("v2"), &second, "two"),
        (Some("refs/heads/old"), &first, "one"),
        (Some(first.as_str()), &first, "one"),
        (Some(&first[..8]), &first, "one"),
    ]
    .into_iter()
    .enumerate()
    {
        let to = folder.path().join(format!("out{number}"));
        let reference = reference.map(ToOwned::to_owned);
        let checkout = Checkout { url: url.clone(), reference, ..Checkout::default() };
        let resolved = client.commit_of(&git, &checkout).unwrap();
        let is_short = checkout.reference.as_deref() == Some(&first[..8]);
        assert_eq!(resolved.as_ref(), (!is_short).then_some(commit), "{checkout:?}");
        let checked_out = client.checkout(&git, &checkout, &to).unwrap();
        assert_eq!(&checked_out.commit, commit, "{checkout:?}");
        assert_eq!(checked_out.time, 1_234_567_890);
        assert_eq!(fs::read_to_string(to.join("file")).unwrap(), content);
        assert!(!to.join(".git").exists());
    }
}

#[test]
fn submodules() {
    let Some(git) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (inner, _) = repository(&git, folder.path(), "inner");
    let (url, _) = repository(&git, folder.path(), "outer");
    let outer = folder.path().join("outer");
    run(&git, &outer, &format!("submodule --quiet add {inner} sub"));
    run(&git, &outer, "commit -q -m submodule");
    let (client, _) = client(|_| {});
    let mut checkout = Checkout { url, ..Checkout::default() };
    let to = folder.path().join("with");
    client.checkout(&git, &checkout, &to).unwrap();
    assert_eq!(fs::read_to_string(to.join("sub/file")).unwrap(), "two");
    assert!(!to.join("sub/.git").exists());
    checkout.no_submodules = true;
    checkout.keep_git_dir = true;
    let to = folder.path().join("without");
    client.checkout(&git, &checkout, &to).unwrap();
    assert!(!to.join("sub/file").exists());
    assert!(to.join(".git").exists());
}

#[test]
fn refusals() {
    let Some(git) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = repository(&git, folder.path(), "repository");
    let to = folder.path().join("out");
    let (online, _) = client(|_| {});
    let fails = |git: &Git, url: &str, reference: &str, text: &str| {
        let reference = Some(reference.to_owned());
        let checkout = Checkout { url: url.to_owned(), reference, ..Checkout::default() };
        let error = online.checkout(git, &checkout, &to).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        let error = online.commit_of(git, &checkout).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    };
    fails(&git, &url, "--upload-pack=touch evil", "is no branch");
    fails(&git, "--upload-pack=touch evil", "main", "is not the address");
    fails(&git, "ext::touch evil", "main", "is not the address");
    fails(&git, &url, "none", "none");
    fails(&git, "file:///nonexistent", "main", "nonexistent");
    let strict = Git { allow_local: false, ..git.clone() };
    fails(&strict, &url, "main", "transport 'file' not allowed");

    let (offline, _) = client(|options| options.offline = true);
    let checkout = Checkout { url, ..Checkout::default() };
    let error = offline.checkout(&git, &checkout, &to).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    let error = offline.commit_of(&git, &checkout).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

#[test]
fn a_header_goes_to_its_host_alone() {
    let Some(git) = program() else { return };
    let (web, other) = (Registry::start(), Registry::start());
    for server in [&web, &other] {
        server.fault(|_, _, _| Reply::new(404));
    }
    let (client, _) = client(|_| {});
    let git = git
        .with_authorization(&web.url("/x.git"), "basic c2VjcmV0")
        .with_authorization("https://elsewhere.example/x.git", "basic b3RoZXI=");
    assert!(!format!("{git:?}").contains("c2VjcmV0"));
    for server in [&web, &other] {
        let checkout = Checkout { url: server.url("/x.git"), ..Checkout::default() };
        let error = client.commit_of(&git, &checkout).unwrap_err();
        assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
    }
    assert_eq!(web.requests()[0].header("authorization"), "basic c2VjcmV0");
    assert_eq!(other.requests()[0].header("authorization"), "");
}
