//! Contexts from elsewhere than a folder: archives, Dockerfiles alone, web servers, repositories.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use dfbuild_testkit::{
    Bed, GitServer, HttpServer, Outcome, Reply, Skipped, SshServer, as_each_user, fails, program,
};

as_each_user!(
    archives_on_standard_input,
    a_dockerfile_on_standard_input,
    hostile_archives,
    files_of_web_servers,
    git_repositories,
    git_repositories_by_ssh,
    hostile_repositories,
    named_contexts,
);

/// Builds what comes on standard input, and exports it to `out/tree`.
fn build_from(bed: &Bed, input: &[u8], args: &[&str]) -> Outcome {
    let tree = bed.join("out/tree");
    let _ = fs::remove_dir_all(&tree);
    let output = format!("type=local,dest={}", tree.display());
    let mut command = bed.command();
    command.args(["build", "--progress=plain", "-o", &output]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // What is refused need not be read to its end.
        let _ = stdin.write_all(&input);
    });
    let outcome = child.wait_with_output().unwrap().into();
    writer.join().unwrap();
    outcome
}

/// Builds a context that is named, and exports it.
fn build(bed: &Bed, args: &[&str]) -> Outcome {
    build_from(bed, b"", args)
}

/// The folder `from` of the bed as an archive.
fn archive(bed: &Bed, from: &str, flags: &[&str]) -> Result<Vec<u8>, Skipped> {
    let mut command = Command::new(program("tar")?);
    command.args(["--create", "--sort=name", "--owner=7", "--group=8", "--mtime=@1000"]);
    let output = command.args(flags).arg("-C").arg(bed.join(from)).arg(".").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn archives_on_standard_input(bed: &Bed) -> Result<(), Skipped> {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nCOPY file data /data/\n\
         RUN --mount=target=/context ls -ln /data > /list && cp /context/data/deep /bound\n",
    );
    bed.write("other/Dockerfile", "FROM scratch\nCOPY file /other\n");
    bed.write("file", "content\n");
    bed.write("data/deep", "deep\n");
    // Rules are for folders alone.
    bed.write(".dockerignore", "file\n");
    let plain = archive(bed, "context", &[])?;
    let first = build_from(bed, &plain, &["-"]).succeeds();
    assert_eq!(
        (bed.exported("data/file"), bed.exported("data/deep")),
        ("content\n".into(), "deep\n".into())
    );
    assert_eq!(bed.exported("bound"), "deep\n");
    // Owners are those of the archive; with one id all files look alike.
    if !bed.has_one_id() {
        let list = bed.exported("list");
        assert!(
            list.lines().filter(|line| line.contains(" 7 ") && line.contains(" 8 ")).count() == 2,
            "{list}"
        );
    }
    for (flag, tool) in [("-z", "gzip"), ("-j", "bzip2"), ("-J", "xz"), ("--zstd", "zstd")] {
        program(tool)?;
        let again = build_from(bed, &archive(bed, "context", &[flag])?, &["-"]).succeeds();
        assert_eq!(
            (again.ran(), again.image_id()),
            (0, first.image_id()),
            "{tool}: {}",
            again.stderr
        );
    }
    let _ = build_from(bed, &plain, &["-f", "other/Dockerfile", "-"]).succeeds();
    assert_eq!(bed.exported("other"), "content\n");
    // An absolute Dockerfile is one of this machine.
    let local = bed.join("out/Local");
    fs::write(&local, "FROM scratch\nCOPY data/deep /local\n").unwrap();
    let _ = build_from(bed, &plain, &["-f", local.to_str().unwrap(), "-"]).succeeds();
    assert_eq!(bed.exported("local"), "deep\n");
    fails(build_from(bed, &plain, &["-f", "none", "-"]), &["read Dockerfile none"]);
    // A place of the Dockerfile in the archive can be shown.
    bed.write("Dockerfile", "FROM base\nCOPY nothing /\n");
    let bad = archive(bed, "context", &[])?;
    fails(build_from(bed, &bad, &["-"]), &["\"/nothing\": not found", ">>> COPY nothing /"]);
    Ok(())
}

fn a_dockerfile_on_standard_input(bed: &Bed) {
    let text = "FROM scratch\nCOPY <<EOF /file\nhello\nEOF\n";
    let _ = build_from(bed, text.as_bytes(), &["-"]).succeeds();
    assert_eq!(bed.exported("file"), "hello\n");
    // With a folder, `-f -`.
    bed.write("data", "data\n");
    let context = bed.context();
    let context = context.to_str().unwrap();
    let _ = build_from(bed, b"FROM scratch\nCOPY data /\n", &["-f", "-", context]).succeeds();
    assert_eq!(bed.exported("data"), "data\n");
    // Without one there is nothing to copy.
    let nothing = build_from(bed, b"FROM scratch\nCOPY data /\n", &["-"]);
    fails(nothing, &["\"/data\": not found", ">>> COPY data /"]);
    fails(build_from(bed, text.as_bytes(), &["-f", "x", "-"]), &["ambiguous Dockerfile source"]);
    fails(build_from(bed, b"", &["-"]), &["the Dockerfile cannot be empty"]);
    let both = build_from(bed, text.as_bytes(), &["-f", "-", "-"]).exits_with(2);
    assert!(both.stderr.contains("cannot both come from standard input"), "{}", both.stderr);
    let mistake = build_from(bed, b"FROM scratch\nCOPI a b\n", &["-"]);
    fails(mistake, &["unknown instruction: COPI", "Dockerfile:2:1"]);
    let check = b"# check=error=true\nFROM scratch\nCMD x\n";
    fails(build_from(bed, check, &["-"]), &["lint violation found for rules: JSONArgsRecommended"]);
}

/// A header and content of a member, as no tool would write it.
fn member(name: &str, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(329, b"0000001\0");
    put(337, b"0000003\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn hostile_archives(bed: &Bed) {
    const DOCKERFILE: &[u8] = b"FROM scratch\nCOPY . /\n";
    let with = |members: &[Vec<u8>]| {
        [member("Dockerfile", b'0', "", DOCKERFILE), members.concat(), vec![0; 1024]].concat()
    };
    // Whatever a member says, it stays inside.
    let up = with(&[
        member("../../../outside", b'0', "", b"up"),
        member("/absolute", b'0', "", b"absolute"),
        member("hard", b'1', "/absolute", b""),
        member("a/../../dots", b'0', "", b"dots"),
    ]);
    let _ = build_from(bed, &up, &["-"]).succeeds();
    for (name, text) in [("outside", "up"), ("absolute", "absolute"), ("hard", "absolute")] {
        assert_eq!(bed.exported(name), text);
    }
    assert!(!bed.path().parent().unwrap().join("outside").exists());
    // Links lead nowhere, neither for members nor for the Dockerfile.
    let secret = bed.join("out/secret");
    fs::write(&secret, "secret").unwrap();
    let folder = secret.parent().unwrap().to_str().unwrap();
    let through = with(&[member("link", b'2', folder, b""), member("link/new", b'0', "", b"x")]);
    fails(build_from(bed, &through, &["-"]), &["no such file"]);
    assert!(!secret.with_file_name("new").exists());
    let linked =
        [member("Dockerfile", b'2', secret.to_str().unwrap(), b""), vec![0; 1024]].concat();
    fails(build_from(bed, &linked, &["-"]), &["read Dockerfile Dockerfile"]);
    let copied = "FROM scratch\nCOPY link/secret /\n";
    let copied = [
        member("Dockerfile", b'0', "", copied.as_bytes()),
        member("link", b'2', folder, b""),
        vec![0; 1024],
    ]
    .concat();
    fails(build_from(bed, &copied, &["-"]), &["not found"]);
    let hard = with(&[member("hard", b'1', secret.to_str().unwrap(), b"")]);
    fails(build_from(bed, &hard, &["-"]), &["no such file"]);
    // A device takes no privilege: nobody makes it before somebody needs it.
    let device = with(&[member("device", b'3', "", b"")]);
    let built = {
        let mut command = bed.command();
        command.args(["build", "-q", "-t", "device", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&device).unwrap();
        Outcome::from(child.wait_with_output().unwrap()).succeeds()
    };
    assert!(built.stdout.starts_with("sha256:"), "{}", built.stdout);
    // One that is cut off, and one that is none inside.
    fails(build_from(bed, &up[..1100], &["-"]), &["load build context", "archive"]);
    fails(build_from(bed, b"\x1f\x8b\x08garbage", &["-"]), &["load build context"]);
    let staged: Vec<_> = fs::read_dir(bed.store().join("staging")).unwrap().collect();
    assert!(staged.is_empty(), "{staged:?}");
}

fn files_of_web_servers(bed: &Bed) -> Result<(), Skipped> {
    bed.write("Dockerfile", "FROM scratch\nCOPY file /\n");
    bed.write("file", "content\n");
    let packed = archive(bed, "context", &["-z"])?;
    let alone = "FROM scratch\nCOPY context /Dockerfile\n";
    let web = HttpServer::start(move |request, _| match request.route() {
        "/app.tar.gz" => Reply::new(200).body(packed.clone()),
        "/tag" if request.header("if-none-match") == "\"1\"" => Reply::new(304),
        "/tag" => Reply::new(200).with("etag", "\"1\"").body(packed.clone()),
        "/Dockerfile" => Reply::new(200).body(alone),
        "/large" => Reply::new(200).body(vec![b'#'; (16 << 20) + 1]),
        "/moved" => Reply::new(302).with("location", "/app.tar.gz"),
        _ => Reply::new(404),
    });
    let url = |path: &str| format!("http://{}{path}", web.address());
    for path in ["/app.tar.gz", "/moved?token=hunter2hunter2"] {
        let built = build(bed, &[&url(path)]).succeeds();
        assert_eq!(bed.exported("file"), "content\n");
        assert!(built.stderr.contains("loading build context http://"), "{}", built.stderr);
        assert!(!built.stderr.contains("hunter2"), "{}", built.stderr);
    }
    // What has not changed is not fetched again, unless what is left of it is damaged.
    for requests in [1, 2] {
        let _ = build(bed, &[&url("/tag")]).succeeds();
        assert_eq!(web.count("GET", "/tag"), requests);
    }
    for blob in fs::read_dir(bed.store().join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if bytes.starts_with(b"\x1f\x8b") {
            bytes[20] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    }
    let _ = build(bed, &["--no-cache", &url("/tag")]).succeeds();
    assert_eq!((web.count("GET", "/tag"), bed.exported("file").as_str()), (4, "content\n"));
    let _ = build(bed, &[&url("/Dockerfile")]).succeeds();
    assert_eq!(bed.exported("Dockerfile"), alone);
    fails(build(bed, &[&url("/none")]), &["load build context http://", "404"]);
    fails(build(bed, &[&url("/large")]), &["neither an archive nor short enough"]);
    fails(build(bed, &["--offline", &url("/app.tar.gz")]), &["load build context", "offline"]);
    Ok(())
}

fn git_repositories(bed: &Bed) -> Result<(), Skipped> {
    let server = GitServer::start()?;
    let first = server.commit(&[
        ("Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("file", "first\n"),
        ("sub/Dockerfile", "FROM scratch\nCOPY file /sub\n"),
        ("sub/file", "in sub\n"),
        (".dockerignore", "file\n"),
    ]);
    server.git(&["tag", "-a", "-m", "x", "v1"]);
    let second = server.commit(&[("file", "second\n")]);
    let url = server.url();
    let main = build(bed, &[&url]).succeeds();
    assert_eq!(bed.exported("file"), "second\n");
    assert!(!bed.join("out/tree/.git").exists());
    let again = build(bed, &[&format!("{url}#main")]).succeeds();
    assert_eq!((again.ran(), again.image_id()), (0, main.image_id()));
    for reference in [
        "#v1",
        "?tag=v1",
        "?ref=v1",
        "?ref=v1&mtime=commit",
        "?ref=v1&mtime=checkout",
        &format!("#{first}"),
        &format!("#{}", &first[..10]),
    ] {
        let _ = build(bed, &[&format!("{url}{reference}")]).succeeds();
        assert_eq!(bed.exported("file"), "first\n", "{reference}");
    }
    for reference in ["#main:sub", "?branch=main&subdir=sub", "#:sub"] {
        let _ = build(bed, &[&format!("{url}{reference}")]).succeeds();
        assert_eq!(bed.exported("sub"), "in sub\n", "{reference}");
    }
    let _ = build(bed, &["-f", "sub/Dockerfile", &format!("{url}?checksum={second}")]).succeeds();
    assert_eq!(bed.exported("sub"), "second\n");
    let keep = "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1";
    let _ = build(bed, &["--build-arg", keep, &url]).succeeds();
    assert!(bed.join("out/tree/.git/HEAD").exists());
    let other = format!("{url}?branch=main&checksum={first}");
    fails(build(bed, &[&other]), &["expected checksum to match", &first, &second]);
    fails(
        build(bed, &[&format!("{url}#none")]),
        &["load build context", "no branch or tag `none`"],
    );
    fails(build(bed, &[&format!("{url}#:none")]), &["invalid subdir none"]);
    fails(build(bed, &[&format!("{url}?foo=1")]), &["unexpected query"]);
    fails(build(bed, &[&format!("{url}?mtime=now")]), &["invalid mtime value"]);
    Ok(())
}

/// With the keys and hosts in the user's own folder, also where a user namespace makes ssh take itself
/// for root.
fn git_repositories_by_ssh(bed: &Bed) -> Result<(), Skipped> {
    let (git, ssh) = (GitServer::start()?, SshServer::start()?);
    let _ = git.commit(&[
        ("Dockerfile", "FROM scratch\nARG FROM\nADD --keep-git-dir $FROM /added/\nCOPY . /\n"),
        ("file", "by ssh\n"),
        ("sub/Dockerfile", "FROM scratch\nCOPY file /sub\n"),
        ("sub/file", "in sub\n"),
    ]);
    let folder = bed.join("home/.ssh");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("known_hosts"), ssh.known_host()).unwrap();
    fs::copy(ssh.key(), folder.join("id_ed25519")).unwrap();
    // Real root's ssh looks in the home of its account, which is not the test's.
    let own = format!(
        "Host forge\n HostName 127.0.0.1\n Port {}\n User {}\n IdentitiesOnly yes\n \
         IdentityFile {folder}/id_ed25519\n UserKnownHostsFile {folder}/known_hosts\n",
        ssh.address().port(),
        ssh.user(),
        folder = folder.display()
    );
    fs::write(folder.join("config"), own).unwrap();
    bed.own(&bed.join("home"));
    let as_root = format!("ssh -o BatchMode=yes -F {}/config", folder.display());
    let built = |name: &str, args: &[&str]| {
        let mut command = bed.command();
        if bed.who().is_root() {
            command.env("GIT_SSH_COMMAND", &as_root);
        }
        let tree = bed.join("out").join(name);
        let output = format!("type=local,dest={}", tree.display());
        let outcome: Outcome = command
            .args(["build", "--progress=plain", "-o", &output])
            .args(args)
            .output()
            .unwrap()
            .into();
        (outcome, tree)
    };
    let repository = git.repository();
    let path = repository.display();
    // Both forms that git knows.
    let (short, long) = (format!("{}@forge:{path}", ssh.user()), format!("ssh://forge{path}"));
    for (name, url) in [("short", &short), ("long", &long)] {
        let (outcome, tree) = built(name, &["--build-arg", &format!("FROM={url}"), url]);
        let _ = outcome.succeeds();
        assert_eq!(fs::read_to_string(tree.join("file")).unwrap(), "by ssh\n");
        assert!(tree.join("added/.git/HEAD").exists());
        let (outcome, tree) = built(&format!("{name}-sub"), &[&format!("{url}#main:sub")]);
        let _ = outcome.succeeds();
        assert_eq!(fs::read_to_string(tree.join("sub")).unwrap(), "in sub\n");
    }
    // Nobody is asked whether a host that nobody knows may be trusted.
    fs::write(folder.join("known_hosts"), "").unwrap();
    let (outcome, _) = built("unknown", &[&long]);
    fails(outcome, &["load build context", "Host key verification failed"]);
    Ok(())
}

fn hostile_repositories(bed: &Bed) -> Result<(), Skipped> {
    let server = GitServer::start()?;
    std::os::unix::fs::symlink(bed.path(), {
        let _ = server.commit(&[("Dockerfile", "FROM scratch\nCOPY out/secret /\n")]);
        server.tree().join("out")
    })
    .unwrap();
    let _ = server.commit(&[]);
    fs::write(bed.join("out/secret"), "secret").unwrap();
    let url = server.url();
    fails(build(bed, &[&url]), &["\"/out/secret\": not found"]);
    fails(build(bed, &[&format!("{url}#:out")]), &["invalid subdir out"]);
    fails(build(bed, &[&format!("{url}#:../../../..")]), &["\"/out/secret\": not found"]);
    // None of these runs a program or reads a file.
    let evil = bed.join("evil");
    let touch = format!("--upload-pack=touch {}", evil.display());
    fails(build(bed, &[&format!("{url}#{touch}")]), &["is no branch, tag or commit"]);
    fails(build(bed, &[&format!("{url}?ref={touch}")]), &["is no branch, tag or commit"]);
    fails(
        build(
            bed,
            &[
                "--build-context",
                &format!("x=ssh://-oProxyCommand=touch%20{}/x", evil.display()),
                "-f",
                "-",
                &url,
            ],
        ),
        &["load build context"],
    );
    fails(build(bed, &[&format!("ext::touch {}", evil.display())]), &["there is no such folder"]);
    assert!(!evil.exists());
    Ok(())
}

fn named_contexts(bed: &Bed) -> Result<(), Skipped> {
    let server = GitServer::start()?;
    server.commit(&[("dir/file", "git\n"), ("file", "top\n")]);
    bed.write("file", "archive\n");
    let packed = archive(bed, "context", &["-z"])?;
    let web = HttpServer::start(move |request, _| match request.route() {
        "/app.tgz" => Reply::new(200).body(packed.clone()),
        "/plain.txt" => Reply::new(200).body("plain\n"),
        _ => Reply::new(404),
    });
    let image = bed.join("out/image");
    bed.write("Dockerfile.base", "FROM scratch\nCOPY file /image\n");
    let dockerfile = bed.context().join("Dockerfile.base");
    let output = format!("type=oci,dest={}.tar", image.display());
    let _ =
        bed.build(&["-f", dockerfile.to_str().unwrap(), "-t", "stored", "-o", &output]).succeeds();
    fs::create_dir(&image).unwrap();
    let mut tar = Command::new(program("tar")?);
    let unpacked = tar.arg("-xf").arg(image.with_extension("tar")).arg("-C").arg(&image).status();
    assert!(unpacked.unwrap().success());
    bed.own(&image);
    bed.write(
        "Dockerfile",
        "FROM git AS from-git\nFROM scratch\n\
         COPY --from=from-git /file /git\nCOPY --from=git file /git2\n\
         COPY --from=tgz file /tgz\nCOPY --from=plain plain.txt /\n\
         COPY --from=layout image /layout\nCOPY --from=stored image /stored\n\
         COPY --from=folder other /folder\n",
    );
    let folder = bed.join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("other"), "folder\n").unwrap();
    bed.own(&folder);
    let http = |path: &str| format!("http://{}{path}", web.address());
    let contexts = [
        format!("git={}#main:dir", server.url()),
        format!("tgz={}", http("/app.tgz")),
        format!("plain={}", http("/plain.txt")),
        format!("layout=oci-layout://{}", image.display()),
        "stored=docker-image://stored".to_owned(),
        format!("folder={}", folder.display()),
    ];
    let context = bed.context();
    let mut args: Vec<&str> = contexts.iter().flat_map(|it| ["--build-context", it]).collect();
    args.push(context.to_str().unwrap());
    let first = build(bed, &args).succeeds();
    for (name, text) in [
        ("git", "git\n"),
        ("git2", "git\n"),
        ("tgz", "archive\n"),
        ("plain.txt", "plain\n"),
        ("layout", "archive\n"),
        ("stored", "archive\n"),
        ("folder", "folder\n"),
    ] {
        assert_eq!(bed.exported(name), text);
    }
    assert_eq!(build(bed, &args).succeeds().image_id(), first.image_id());
    assert!(Path::new(&image).join("index.json").exists());
    Ok(())
}
