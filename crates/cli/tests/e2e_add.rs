//! `ADD` of what is elsewhere: files of web servers, git repositories.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use dfbuild_testkit::{Bed, GitServer, HttpServer, Outcome, Reply, Skipped, as_each_user, fails};

as_each_user!(
    files_of_web_servers,
    unchanged_files_are_not_sent_again,
    a_file_that_is_another_a_moment_later,
    files_come_at_the_same_time,
    passwords_from_secrets,
    git_repositories,
    git_repositories_that_move,
);

/// Builds the Dockerfile and exports it to `out/tree`.
fn build(bed: &Bed, dockerfile: &str, args: &[&str]) -> Outcome {
    bed.write("Dockerfile", dockerfile);
    let tree = bed.join("out/tree");
    let _ = fs::remove_dir_all(&tree);
    let output = format!("type=local,dest={}", tree.display());
    bed.build(&[&["-o", &output], args].concat())
}

/// The SHA-256 of `content`.
const CONTENT_SUM: &str = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

fn files_of_web_servers(bed: &Bed) {
    let web = HttpServer::start(|request, _| match request.route() {
        "/moved/name" => Reply::new(302).with("location", "/files/other"),
        "/files/other" | "/files/a%20b" | "/folder/" => Reply::new(200)
            .with("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")
            .with("content-disposition", "attachment; filename=wrong")
            .body("content"),
        "/plain" => Reply::new(200).body("plain"),
        _ => Reply::new(404),
    });
    let host = web.address();
    let _ = build(
        bed,
        &format!(
            "FROM scratch\nADD http://{host}/moved/name http://{host}/files/a%20b /d/\n\
             ADD http://{host}/folder/?x=y#z /d/\nADD http://{host}/plain /file\n\
             ADD --chmod=644 --checksum={CONTENT_SUM} http://{host}/files/other /sum\n\
             ADD --unpack=true http://{host}/plain /unpacked/plain\n"
        ),
        &[],
    )
    .succeeds();
    for name in ["d/name", "d/a b", "d/folder", "sum"] {
        assert_eq!(bed.exported(name), "content", "{name}");
    }
    assert_eq!(bed.exported("unpacked/plain"), "plain");
    let metadata = |name: &str| fs::metadata(bed.join("out/tree").join(name)).unwrap();
    assert_eq!(
        (metadata("d/name").mtime(), metadata("d/name").mode() & 0o777),
        (784_111_777, 0o600)
    );
    assert_eq!((metadata("file").mtime(), metadata("sum").mode() & 0o777), (0, 0o644));
    let add =
        |flags: &str, path: &str| format!("FROM scratch\nADD {flags} http://{host}{path} /x\n");
    let wrong = format!("--checksum=sha256:{}", "0".repeat(64));
    fails(build(bed, &add(&wrong, "/plain"), &[]), &["digest mismatch sha256:", ">>> ADD"]);
    fails(build(bed, &add("", "/none"), &[]), &["404", ">>> ADD"]);
    fails(build(bed, &add("", "/plain"), &["--offline", "--no-cache"]), &["offline"]);
}

fn unchanged_files_are_not_sent_again(bed: &Bed) {
    let version = Arc::new(Mutex::new("one"));
    let current = Arc::clone(&version);
    let web = HttpServer::start(move |request, _| {
        let version = *current.lock().unwrap();
        let tag = format!("\"{version}\"");
        let known = match request.route() {
            "/tag" => request.header("if-none-match") == tag,
            _ => version == "one" && !request.header("if-modified-since").is_empty(),
        };
        let reply = match request.route() {
            "/tag" => Reply::new(200).with("etag", tag),
            _ => Reply::new(200).with("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        };
        if known { Reply::new(304) } else { reply.body(version) }
    });
    let host = web.address();
    let text = format!("FROM scratch\nADD http://{host}/tag http://{host}/date /\n");
    let first = build(bed, &text, &[]).succeeds();
    let sent = |path: &str| {
        let requests = web.requests();
        let plain = requests.iter().filter(|request| {
            request.path == path
                && request.header("if-none-match").is_empty()
                && request.header("if-modified-since").is_empty()
        });
        plain.count()
    };
    assert_eq!((sent("/tag"), sent("/date")), (1, 1));
    let again = build(bed, &text, &[]).succeeds();
    assert_eq!((again.ran(), again.image_id()), (0, first.image_id()));
    assert_eq!((sent("/tag"), sent("/date")), (1, 1));
    assert_eq!((web.count("GET", "/tag"), web.count("GET", "/date")), (2, 2));
    // What is noted is not the file: who needs its bytes gets them.
    let copied = build(bed, &text.replace(" /\n", " /other/\n"), &[]).succeeds();
    assert_eq!(copied.ran(), 1);
    assert_eq!(
        (bed.exported("other/tag"), bed.exported("other/date")),
        ("one".into(), "one".into())
    );
    *version.lock().unwrap() = "two";
    let changed = build(bed, &text, &[]).succeeds();
    assert_eq!(
        (changed.ran(), bed.exported("tag"), bed.exported("date")),
        (1, "two".into(), "two".into())
    );
    // A file with a checksum that it had is not even asked for.
    *version.lock().unwrap() = "one";
    let sum = "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    let pinned = format!("FROM scratch\nADD --checksum={sum} http://{host}/tag /\n");
    let _ = build(bed, &pinned, &[]).succeeds();
    let asked = web.requests().len();
    let again = build(bed, &pinned, &["--offline"]).succeeds();
    assert_eq!((again.ran(), web.requests().len()), (0, asked));
}

fn a_file_that_is_another_a_moment_later(bed: &Bed) {
    let sent = AtomicUsize::new(0);
    let web = HttpServer::start(move |request, _| {
        let reply = |status| Reply::new(status).with("etag", "\"same\"");
        match request.header("if-none-match") {
            "" if sent.fetch_add(1, Ordering::Relaxed) == 0 => reply(200).body("one"),
            "" => reply(200).body("two"),
            _ => reply(304),
        }
    });
    let add = |to: &str| format!("FROM scratch\nADD http://{}/file {to}\n", web.address());
    let _ = build(bed, &add("/a"), &[]).succeeds();
    // It is said to be the same, and its bytes say otherwise.
    fails(build(bed, &add("/b"), &[]), &["/file changed while it was fetched; build again"]);
    let _ = build(bed, &add("/b"), &[]).succeeds();
    assert_eq!(bed.exported("b"), "two");
}

fn files_come_at_the_same_time(bed: &Bed) {
    // Each waits for the other: one after the other they would never come.
    let meeting = Arc::new((Mutex::new(0), Condvar::new()));
    let web = HttpServer::start(move |_, _| {
        let (count, changed) = &*meeting;
        let mut here = count.lock().unwrap();
        *here += 1;
        changed.notify_all();
        let patience = Duration::from_secs(20);
        let (_here, waited) = changed.wait_timeout_while(here, patience, |here| *here < 2).unwrap();
        Reply::new(if waited.timed_out() { 404 } else { 200 }).body("x")
    });
    let host = web.address();
    let text = format!("FROM scratch\nADD http://{host}/a /a\nADD http://{host}/b /b\n");
    let _ = build(bed, &text, &[]).succeeds();
    assert_eq!((bed.exported("a"), web.requests().len()), ("x".to_owned(), 2));
}

fn passwords_from_secrets(bed: &Bed) -> Result<(), Skipped> {
    let web = HttpServer::start(|request, _| match request.header("authorization") {
        "Bearer hunter2hunter2" => Reply::new(200).body("content"),
        _ => Reply::new(401),
    });
    let host = web.address();
    let text = format!("FROM scratch\nADD http://{host}/file /\n");
    fails(build(bed, &text, &[]), &["401"]);
    let token = bed.join("out/token");
    fs::write(&token, "hunter2hunter2\n").unwrap();
    let secret = format!("id=HTTP_AUTH_TOKEN_{host},src={}", token.display());
    let built = build(bed, &text, &["--secret", &secret]).succeeds();
    assert!(!built.stderr.contains("hunter2"), "{}", built.stderr);
    assert_eq!(bed.exported("file"), "content");

    let server = GitServer::start()?;
    server.commit(&[("file", "git\n")]);
    // `x-access-token:hunter2hunter2`
    server.require("Basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMmh1bnRlcjI=");
    let text = format!("FROM scratch\nADD {} /\n", server.url());
    fails(build(bed, &text, &[]), &[">>> ADD"]);
    let secret = format!("id=GIT_AUTH_TOKEN,src={}", token.display());
    let built = build(bed, &text, &["--secret", &secret]).succeeds();
    assert!(!built.stderr.contains("hunter2"), "{}", built.stderr);
    assert_eq!(bed.exported("file"), "git\n");
    Ok(())
}

fn git_repositories(bed: &Bed) -> Result<(), Skipped> {
    let server = GitServer::start()?;
    let script = server.tree().join("run");
    let first =
        server.commit(&[("file", "first\n"), ("sub/deep", "deep\n"), ("run", "#!/bin/sh\n")]);
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    server.git(&["tag", "v1"]);
    let second = server.commit(&[("file", "second\n")]);
    let url = server.url();
    let text = format!(
        "FROM scratch\nADD {url} /main\nADD {url}#v1 /v1/\nADD {url}?ref=main&subdir=sub /sub\n\
         ADD --keep-git-dir {url}#{first} /kept\nADD --checksum={} {url} /sum\n\
         ADD --chmod=750 --exclude=sub {url} /changed\n",
        &second[..12]
    );
    let built = build(bed, &text, &[]).succeeds();
    for (name, content) in [
        ("main/file", "second\n"),
        ("v1/file", "first\n"),
        ("sub/deep", "deep\n"),
        ("kept/file", "first\n"),
        ("sum/file", "second\n"),
        ("changed/file", "second\n"),
    ] {
        assert_eq!(bed.exported(name), content, "{name}");
    }
    let out = bed.join("out/tree");
    assert!(out.join("kept/.git/HEAD").exists());
    for absent in ["main/.git", "sub/file", "changed/sub"] {
        assert!(!out.join(absent).exists(), "{absent}");
    }
    let stat = |name: &str| {
        let metadata = fs::metadata(out.join(name)).unwrap();
        (metadata.mode() & 0o7777, metadata.mtime())
    };
    // Whatever the clock and the umask were.
    assert_eq!(stat("main/file"), (0o644, 1_234_567_890));
    assert_eq!(stat("main/run"), (0o755, 1_234_567_890));
    assert_eq!(stat("main"), (0o755, 1_234_567_890));
    assert_eq!(stat("changed/file").0, 0o750);
    // The commits decide, and asking for them is enough.
    let asked = server.server().requests().len();
    let again = build(bed, &text, &[]).succeeds();
    assert_eq!((again.ran(), again.image_id()), (0, built.image_id()));
    let requests = server.server().requests();
    let bodies = requests[asked..].iter().map(|request| String::from_utf8_lossy(&request.body));
    let commands: Vec<_> = bodies.filter(|body| body.contains("command=")).collect();
    assert!(!commands.is_empty());
    assert!(commands.iter().all(|body| body.contains("command=ls-refs")), "{commands:?}");
    let wrong = format!("FROM scratch\nADD --checksum={first} {url} /\n");
    fails(build(bed, &wrong, &[]), &["expected checksum to match", &second, ">>> ADD"]);
    let conflict = format!("FROM scratch\nADD {url}?ref=a#b /\n");
    fails(build(bed, &conflict, &[]), &["ref conflicts", "Dockerfile:2"]);
    // That is a path for ADD, whatever a context would be.
    let local = "FROM scratch\nADD github.com/a/b /\n";
    fails(build(bed, local, &[]), &["\"/github.com/a/b\": not found"]);
    let option = format!("FROM scratch\nADD {url}#--upload-pack=touch\\ evil /\n");
    fails(build(bed, &option, &[]), &["is no branch, tag or commit"]);
    Ok(())
}

fn git_repositories_that_move(bed: &Bed) -> Result<(), Skipped> {
    let server = GitServer::start()?;
    let first = server.commit(&[("file", "first\n")]);
    let url = server.url();
    let (moving, pinned) = (
        format!("FROM scratch\nADD {url}#main /\n"),
        format!("FROM scratch\nADD {url}#{first} /\n"),
    );
    let _ = build(bed, &moving, &[]).succeeds();
    let _ = build(bed, &pinned, &[]).succeeds();
    server.commit(&[("file", "second\n")]);
    assert_eq!(build(bed, &moving, &[]).succeeds().ran(), 1);
    assert_eq!(bed.exported("file"), "second\n");
    // Who names a commit needs no network for what is cached.
    let offline = build(bed, &pinned, &["--offline"]).succeeds();
    assert_eq!((offline.ran(), bed.exported("file")), (0, "first\n".to_owned()));
    Ok(())
}
