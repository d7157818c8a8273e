//! The files of images: copied out, compared, layer by layer; and what builds wrote.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use dfbuild_testkit::{Bed, Outcome, Skipped, as_each_user, fails, run};
use serde_json::Value;

as_each_user!(
    files_are_copied_out,
    images_are_compared,
    layers_tell_what_they_waste,
    logs_are_whole,
    images_are_handed_to_a_daemon,
);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn files_are_copied_out(bed: &Bed) -> Result<(), Skipped> {
    bed.base();
    bed.write("tree/one", "1");
    bed.write("tree/sub/two", "22");
    bed.write(
        "Dockerfile",
        "FROM base\nCOPY tree /srv/tree\nRUN ln -s tree /srv/link && ln /srv/tree/one /srv/tree/same \
         && chmod 640 /srv/tree/one && chown 1000 /srv/tree/one\n",
    );
    let _ = bed.build(&["-t", "app"]).succeeds();
    let out = bed.join("out");
    let cp = |from: &str, to: &Path| bed.run(&["cp", &format!("app:{from}"), text(to)]);
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let _ = cp("/srv/tree/one", &out).succeeds();
    let _ = cp("/srv/tree/one", &out.join("renamed")).succeeds();
    assert_eq!((read("one"), read("renamed")), ("1".to_owned(), "1".to_owned()));
    let copied = fs::metadata(out.join("one")).unwrap();
    let mine = fs::metadata(&out).unwrap();
    assert_eq!((copied.mode() & 0o7777, copied.uid()), (0o640, mine.uid()));
    let _ = bed.run(&["cp", "-a", "app:/srv/tree/one", text(&out.join("owned"))]).succeeds();
    let owner = fs::metadata(out.join("owned")).unwrap().uid();
    assert_eq!(owner != mine.uid(), !bed.has_one_id(), "{owner}");
    fs::remove_file(out.join("owned")).unwrap();
    // A folder under its name, under another one, and what is in it.
    let _ = cp("/srv/tree", &out).succeeds();
    let _ = cp("srv/tree", &out.join("new")).succeeds();
    let _ = cp("/srv/tree/.", &out).succeeds();
    assert_eq!((read("tree/sub/two"), read("new/sub/two"), read("sub/two")), {
        let two = || "22".to_owned();
        (two(), two(), two())
    });
    let inode = |name: &str| fs::metadata(out.join(name)).unwrap().ino();
    assert_eq!(inode("tree/one"), inode("tree/same"));
    // A link is a link, unless it is followed.
    let _ = cp("/srv/link", &out).succeeds();
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("tree"));
    fs::remove_file(out.join("link")).unwrap();
    let _ = bed.run(&["cp", "-L", "app:/srv/link", text(&out)]).succeeds();
    assert_eq!(read("link/sub/two"), "22");
    // As an archive.
    let mut command = bed.command();
    let archive = out.join("tree.tar");
    command.args(["cp", "app:/srv/tree", "-"]).stdout(fs::File::create(&archive).unwrap());
    assert!(command.status().unwrap().success());
    let listed = run("tar", &["-tf", text(&archive)])?;
    let expect = ["tree/", "tree/one", "tree/same", "tree/sub/", "tree/sub/two"];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expect);
    fails(cp("/srv/tre", &out), &["did you mean /srv/tree?", "/srv/tre", "not found"]);
    fails(cp("/srv/tree", &out.join("one")), &["is there and no folder"]);
    fails(cp("/srv/tree", &out.join("no/where")), &["there is no folder"]);
    let _ = bed.run(&["cp", "app", text(&out)]).exits_with(2).says(&["give IMAGE:PATH"]);
    Ok(())
}

fn images_are_compared(bed: &Bed) {
    bed.write("one", "1");
    bed.write("two", "2");
    bed.write("Dockerfile", "FROM scratch\nCOPY one /a\nCOPY one /b\nENV A=1 B=2\nUSER 7\n");
    let _ = bed.build(&["-t", "before"]).succeeds();
    bed.write(
        "Dockerfile",
        "FROM scratch\nCOPY --chmod=755 two /a\nCOPY one /c\nENV A=1 B=3\nCMD [\"/a\"]\n",
    );
    let _ = bed.build(&["-t", "after"]).succeeds();
    let same = bed.run(&["diff", "before", "before"]).succeeds();
    assert_eq!(same.stdout, "the images are the same\n");
    let differ = bed.run(&["diff", "before", "after"]).exits_with(1);
    for line in [
        ", mode 0644 → 0755",
        "D /b (1B)",
        "A /c (1B)",
        "config Cmd: (none) → [\"/a\"]",
        "config Env B: 2 → 3",
        "config User: 7 → (none)",
        "1 added (1B), 1 removed (1B), 1 changed; ",
    ] {
        assert!(differ.stdout.contains(line), "{line} in {}", differ.stdout);
    }
    assert!(differ.stdout.starts_with("C /a: content "), "{}", differ.stdout);
    let differ = json(&bed.run(&["diff", "--format", "json", "before", "after"]).stdout);
    assert_eq!(differ["files"][1]["change"], "removed");
    let config: Vec<&str> = differ["config"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert!(config.contains(&"Env B") && !config.contains(&"Env A"), "{config:?}");
    let _ = bed.run(&["diff", "before", "none"]).exits_with(2).says(&["failed to find image none"]);
}

fn layers_tell_what_they_waste(bed: &Bed) {
    bed.write("large", "x".repeat(50_000));
    bed.write("small", "y");
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM scratch\nCOPY large /data/<large>\nCOPY small /keep\nCOPY small /data/<large>\n",
    );
    let _ = bed.build(&["-t", "app"]).succeeds();
    let table = bed.run(&["layers", "app"]).succeeds().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("LAYER     SIZE"), "{table}");
    assert!(lines[1].contains("1 (50kB)") && lines[1].contains("COPY large"), "{table}");
    assert!(table.contains("2B of files are seen, 50kB are not (0 % efficient)"), "{table}");
    assert!(table.contains("50kB       1        /data/<large>"), "{table}");
    let files = bed.run(&["layers", "--files", "app"]).succeeds().stdout;
    assert!(files.contains("A    50kB /data/<large> (hidden by layer 2)\n"), "{files}");
    assert!(files.contains("C      1B /data/<large>\n"), "{files}");
    let page = bed.join("out/layers.html");
    let layers = bed.run(&["layers", "--format", "json", "--html", text(&page), "app"]).succeeds();
    let layers = json(&layers.stdout);
    assert_eq!(layers[0]["wasted"], 50_000);
    assert_eq!(layers[0]["files"][0]["hidden_by"], 2);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("/data/&lt;large&gt;") && !page.contains("<large>"));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "it needs nothing from elsewhere"
    );
}

fn logs_are_whole(bed: &Bed) {
    bed.base();
    assert_eq!(bed.run(&["logs", "--format", "json"]).succeeds().stdout.lines().count(), 1);
    bed.write(
        "Dockerfile",
        "FROM base\nRUN i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done\n\
         RUN --mount=type=secret,id=token cat /run/secrets/token; printf 'no end'; exit 4\n",
    );
    let secret = bed.join("out/secret");
    fs::write(&secret, "hunter2-is-not-a-good-one").unwrap();
    let secret = format!("id=token,src={}", secret.display());
    let _ = bed.build(&["-q", "-t", "app", "--secret", &secret]).exits_with(1);
    let list = bed.run(&["logs"]).succeeds().stdout;
    let newest: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(newest.ends_with(&["2", "failed", "app"]), "{list}");
    for name in [newest[0], "last", "app"] {
        let shown = bed.run(&["logs", name]).succeeds().stdout;
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3004, "{name}");
        assert!(lines[0].starts_with("=== [2/3] RUN i=0;"), "{}", lines[0]);
        assert_eq!((lines[1], lines[3000]), ("line 0", "line 2999"));
        assert!(lines[3001].contains("(line 3): failed after"), "{}", lines[3001]);
        assert_eq!(lines[3002], "***no end");
        assert!(lines[3003].starts_with("=== failed: ") && lines[3003].ends_with("exit code: 4"));
    }
    let failed = bed.run(&["logs", "last", "--failed", "--format", "json"]).succeeds();
    assert_eq!(json(&failed.stdout)["output"], "***no end");
    let tail = bed.run(&["logs", "app:latest", "--tail", "2"]).succeeds().stdout;
    assert!(tail.starts_with("***no end\n=== failed: ") && tail.lines().count() == 2, "{tail}");
    fails(bed.run(&["logs", "nope"]), &["no build is called nope"]);
    // What is cached ran before.
    bed.write("Dockerfile", "FROM base\n");
    let _ = bed.build(&[]).succeeds();
    // Without the ages, which grow meanwhile.
    let ids = |list: &str| -> Vec<String> {
        list.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    };
    assert_eq!(ids(&bed.run(&["logs"]).succeeds().stdout), ids(&list));
}

/// A daemon that takes one image and answers.
fn daemon(bed: &Bed, reply: &'static str) -> (String, thread::JoinHandle<(String, Vec<u8>)>) {
    let socket = bed.join("out/docker.sock");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    bed.own(&bed.join("out"));
    let answering = thread::spawn(move || {
        loop {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            // Somebody only looked whether there is a daemon.
            if head.is_empty() {
                continue;
            }
            let mut body = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let size = u64::from_str_radix(line.trim(), 16).unwrap();
                reader.by_ref().take(size).read_to_end(&mut body).unwrap();
                reader.read_line(&mut line).unwrap();
                if size == 0 {
                    break;
                }
            }
            let length = reply.len();
            write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{reply}").unwrap();
            return (head, body);
        }
    });
    (format!("unix://{}", socket.display()), answering)
}

fn images_are_handed_to_a_daemon(bed: &Bed) -> Result<(), Skipped> {
    bed.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let build = |host: &str| -> Outcome {
        let mut command = bed.build_command(&["--load", "-t", "app:1"]);
        command.env("DOCKER_HOST", host).stdin(Stdio::null());
        // A `docker load` or `podman load` of this machine would do as well.
        command.env("PATH", "/nonexistent");
        command.output().unwrap().into()
    };
    let (host, answering) = daemon(bed, "{\"stream\":\"Loaded image: app:1\\n\"}");
    let _ = build(&host).succeeds().says(&["loaded into the daemon at"]);
    let (head, body) = answering.join().unwrap();
    assert!(head.starts_with("POST /images/load"), "{head}");
    let archive = bed.join("out/received.tar");
    fs::write(&archive, body).unwrap();
    let listed = run("tar", &["-tf", text(&archive)])?;
    assert!(listed.contains("manifest.json") && listed.contains("index.json"), "{listed}");
    let (host, answering) = daemon(bed, "{\"error\":\"no space left on device\"}");
    fails(build(&host), &["failed to load into the daemon at", "no space left on device"]);
    answering.join().unwrap();
    // Nobody is there, but the image was built.
    let nobody = format!("unix://{}", bed.join("out/nobody.sock").display());
    fails(build(&nobody), &["no Docker or podman answers at", "in the store of dfbuild anyway"]);
    assert!(bed.run(&["images", "-q", "app:1"]).succeeds().stdout.len() > 10);
    let unnamed = bed.build(&["--load"]).exits_with(2);
    let _ = unnamed.says(&["--load needs a name"]);
    Ok(())
}
