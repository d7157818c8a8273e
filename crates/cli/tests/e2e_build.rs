//! Whole builds, as root and as ordinary users: what comes out, and what is cached.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::process::Command;

use dfbuild_testkit::{Bed, Outcome, as_each_user, as_each_user_with_copies};

as_each_user!(
    a_base_and_an_image_from_it,
    images_are_listed,
    only_what_changed_runs,
    arguments_and_environment,
    no_cache_runs_everything,
    a_target_needs_no_other_stage,
    heredocs,
    ignore_files,
    users_and_groups,
    no_network,
    stages_run_at_the_same_time,
    outputs,
);

as_each_user_with_copies!(
    a_base_and_an_image_from_it,
    only_what_changed_runs,
    arguments_and_environment,
    no_cache_runs_everything,
    heredocs,
    users_and_groups,
    no_network,
    stages_run_at_the_same_time,
);

/// A file of the image that `-o type=local` wrote to `out/tree`.
fn exported(bed: &Bed, name: &str) -> String {
    let path = bed.join("out/tree").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Builds and exports to `out/tree`.
fn export(bed: &Bed, args: &[&str]) -> Outcome {
    let tree = bed.join("out/tree");
    let _ = fs::remove_dir_all(&tree);
    let output = format!("type=local,dest={}", tree.display());
    bed.build(&[&["-o", &output], args].concat()).succeeds()
}

fn a_base_and_an_image_from_it(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile.base", "FROM base\nRUN echo one > /one\n");
    bed.write("Dockerfile", "FROM middle\nCOPY file /\nRUN cat /one /file > /both\n");
    bed.write("file", "two\n");
    let file = bed.context().join("Dockerfile.base");
    let middle = bed.build(&["-f", file.to_str().unwrap(), "-t", "middle"]).succeeds();
    assert_eq!(middle.ran_steps().last(), Some(&"RUN echo one > /one"));
    let _ = export(bed, &["-t", "app"]);
    assert_eq!(exported(bed, "both"), "one\ntwo\n");
    let (middle, app) = (bed.image("middle"), bed.image("app"));
    assert_eq!(app.layers[..middle.layers.len()], middle.layers);
    assert_eq!(app.layers.len(), middle.layers.len() + 2);
}

fn images_are_listed(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", "FROM base\nCOPY file /\n");
    bed.write("file", vec![b'x'; 100_000]);
    let built = bed.build(&["-t", "me/app:1.0", "-t", "app"]).succeeds();
    let id = &built.image_id()["sha256:".len()..][..12];
    let list = bed.run(&["images"]).succeeds().stdout;
    let mut lines = list.lines();
    let header = lines.next().unwrap();
    let columns: Vec<&str> = header.split("   ").map(str::trim).filter(|c| !c.is_empty()).collect();
    assert_eq!(columns, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    let rows: Vec<Vec<&str>> = lines
        .map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect())
        .collect();
    let row =
        |name: &str| rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{list}"));
    assert_eq!(row("me/app")[1..3], ["1.0", id]);
    assert_eq!(row("app")[1..3], ["latest", id]);
    assert_eq!(row("base")[1], "latest");
    assert_eq!(rows.len(), 3, "{list}");
    // All columns begin where their headings do.
    for line in list.lines().skip(1) {
        let at = header.find("IMAGE ID").unwrap();
        assert!(line[..at].ends_with(' ') && !line[at..].starts_with(' '), "{list}");
    }
    let quiet = bed.run(&["images", "-q"]).succeeds().stdout;
    assert!(quiet.lines().any(|line| line == id), "{quiet}");
}

fn only_what_changed_runs(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nWORKDIR /app\nCOPY requirements ./\nRUN cat requirements > installed\n\
         COPY . .\nRUN cat code/main > built\nCMD [\"cat\", \"built\"]\n",
    );
    for (name, text) in [("requirements", "r\n"), ("code/main", "1\n"), ("code/other", "o\n")] {
        bed.write(name, text);
    }
    let first = bed.build(&["-t", "app"]).succeeds();
    assert!(first.ran() >= 5, "{}", first.stderr);
    let again = bed.build(&["-t", "app"]).succeeds();
    assert_eq!(again.ran(), 0, "{}", again.stderr);
    assert_eq!(again.ran_steps(), [] as [&str; 0], "{}", again.stderr);
    assert!(again.cached_steps().contains(&"COPY . ."), "{}", again.stderr);
    assert!(again.cached_steps().contains(&"RUN cat code/main > built"), "{}", again.stderr);
    assert_eq!(again.image_id(), first.image_id());

    // The content counts, not the time.
    bed.touch("code/main", 1_000_000_000);
    bed.touch("code", 1_000_000_000);
    let touched = bed.build(&["-t", "app"]).succeeds();
    assert_eq!(touched.ran(), 0, "{}", touched.stderr);
    assert_eq!(touched.image_id(), first.image_id());

    bed.write("code/main", "2\n");
    let changed = export(bed, &["-t", "app"]);
    assert_eq!(
        changed.ran_steps(),
        ["COPY . .", "RUN cat code/main > built"],
        "{}",
        changed.stderr
    );
    assert_eq!(exported(bed, "app/built"), "2\n");
    assert_ne!(changed.image_id(), first.image_id());

    // Back to what was there before, and to what came out then.
    bed.write("code/main", "1\n");
    let back = bed.build(&["-t", "app"]).succeeds();
    assert_eq!(back.ran(), 0, "{}", back.stderr);
    assert_eq!(back.image_id(), first.image_id());
}

fn arguments_and_environment(bed: &Bed) {
    bed.base();
    let dockerfile = "ARG TAG=latest\nFROM base:$TAG\nRUN echo before > /before\nARG GREETING=hello\n\
                      RUN echo $GREETING > /greeting\nENV NAME=world\nRUN echo $NAME > /name\n";
    bed.write("Dockerfile", dockerfile);
    let _ = export(bed, &[]);
    assert_eq!(exported(bed, "greeting"), "hello\n");
    assert_eq!(exported(bed, "name"), "world\n");

    let other = export(bed, &["--build-arg", "GREETING=hi"]);
    assert_eq!(exported(bed, "greeting"), "hi\n");
    assert!(other.cached_steps().contains(&"RUN echo before > /before"), "{}", other.stderr);
    let expect = ["RUN echo $GREETING > /greeting", "RUN echo $NAME > /name"];
    assert_eq!(other.ran_steps(), expect, "{}", other.stderr);

    bed.write("Dockerfile", dockerfile.replace("NAME=world", "NAME=you"));
    let changed = export(bed, &[]);
    assert_eq!(exported(bed, "name"), "you\n");
    assert!(changed.cached_steps().contains(&expect[0]), "{}", changed.stderr);
    assert_eq!(changed.ran_steps(), [expect[1]], "{}", changed.stderr);

    let _ = bed.build(&["--build-arg", "TAG=missing"]).exits_with(1);
}

fn no_cache_runs_everything(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", "FROM base\nCOPY file /\nRUN cat /file > /copy\n");
    bed.write("file", "f\n");
    let _ = bed.build(&[]).succeeds();
    let again = bed.build(&["--no-cache"]).succeeds();
    assert_eq!(again.ran_steps(), ["COPY file /", "RUN cat /file > /copy"], "{}", again.stderr);
}

fn a_target_needs_no_other_stage(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base AS tools\nRUN echo tool > /tool\nFROM base AS broken\nRUN false\n\
         FROM base AS final\nCOPY --from=tools /tool /bin/tool\nRUN cat /bin/tool > /out\n\
         FROM base AS last\nRUN false\n",
    );
    let built = export(bed, &["--target", "final"]);
    assert_eq!(exported(bed, "out"), "tool\n");
    assert!(!built.stderr.contains("RUN false"), "{}", built.stderr);
    let _ = bed.build(&[]).exits_with(1);
    let _ = bed.build(&["--target", "nowhere"]).exits_with(1);
}

fn heredocs(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nARG WHO=me\nCOPY <<one <<-\"two\" /etc/app/\nfor $WHO\none\n\tas $WHO\n\ttwo\n\
         RUN <<EOF\nset -e\ncat /etc/app/one /etc/app/two > /both\nEOF\n\
         RUN <<EOF cat > /input\nread\nEOF\n",
    );
    let _ = export(bed, &[]);
    assert_eq!(exported(bed, "both"), "for me\nas $WHO\n");
    assert_eq!(exported(bed, "input"), "read\n");
}

fn ignore_files(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", "FROM base\nCOPY . /all\nRUN ls -A /all > /list\n");
    bed.write("special.Dockerfile", "FROM base\nCOPY . /all\nRUN ls -A /all > /list\n");
    bed.write(
        ".dockerignore",
        "*.Dockerfile\nDockerfile\n.dockerignore\nlogs\n!logs/keep\n**/*.tmp\n",
    );
    bed.write("special.Dockerfile.dockerignore", "*\n!only\n");
    for name in ["only", "logs/drop", "logs/keep", "deep/er/x.tmp", "deep/er/y"] {
        bed.write(name, name);
    }
    let _ = export(bed, &[]);
    let mut names: Vec<String> = exported(bed, "list").lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, ["deep", "logs", "only", "special.Dockerfile.dockerignore"]);
    assert!(bed.join("out/tree/all/logs/keep").exists());
    assert!(!bed.join("out/tree/all/logs/drop").exists());
    assert!(bed.join("out/tree/all/deep/er/y").exists());
    assert!(!bed.join("out/tree/all/deep/er/x.tmp").exists());
    let file = bed.context().join("special.Dockerfile");
    let _ = export(bed, &["-f", file.to_str().unwrap()]);
    assert_eq!(exported(bed, "list"), "only\n");
    // What is ignored is not in the key either.
    bed.write("logs/drop", "changed");
    assert_eq!(bed.build(&[]).succeeds().ran(), 0);
}

fn users_and_groups(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN id -u > /root-id && mkdir -p /home/ann && chown ann:ann /home/ann\nUSER ann\n\
         WORKDIR /home/ann\nRUN id -u > uid && id -g > gid && id -G > groups\nUSER root\n",
    );
    let _ = export(bed, &[]);
    assert_eq!(exported(bed, "root-id"), "0\n");
    if bed.has_one_id() {
        // There is nobody to change to: everybody is root.
        assert_eq!(exported(bed, "home/ann/uid"), "0\n");
        return;
    }
    assert_eq!(exported(bed, "home/ann/uid"), "1000\n");
    assert_eq!(exported(bed, "home/ann/gid"), "1000\n");
    let groups = exported(bed, "home/ann/groups");
    let mut groups: Vec<&str> = groups.split_whitespace().collect();
    groups.sort_unstable();
    assert_eq!(groups, ["1000", "29", "44"]);
}

fn no_network(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN --network=none cat /proc/net/dev > /isolated\nRUN cat /proc/net/dev > /default\n",
    );
    let interfaces = |name: &str| {
        let text = exported(bed, name);
        let lines = text.lines().skip(2);
        lines.map(|line| line.split(':').next().unwrap().trim().to_owned()).collect::<Vec<_>>()
    };
    let _ = export(bed, &[]);
    assert_eq!(interfaces("isolated"), ["lo"]);
    let host = fs::read_to_string("/proc/net/dev").unwrap();
    assert_eq!(interfaces("default").len(), host.lines().count() - 2);
    let _ = export(bed, &["--network=none"]);
    assert_eq!(interfaces("default"), ["lo"]);
}

/// Each stage waits for the other: a build that runs one after the other never ends.
fn stages_run_at_the_same_time(bed: &Bed) {
    bed.base();
    let mount = "--mount=type=cache,target=/shared,id=meeting";
    bed.write(
        "Dockerfile",
        format!(
            "FROM base AS fifos\nRUN {mount} mkfifo /shared/a /shared/b\n\
             FROM fifos AS left\nRUN {mount} echo left > /shared/a && read word < /shared/b && echo $word > /got\n\
             FROM fifos AS right\nRUN {mount} read word < /shared/a && echo $word > /got && echo right > /shared/b\n\
             FROM base\nCOPY --from=left /got /left\nCOPY --from=right /got /right\n"
        ),
    );
    let _ = export(bed, &["--timeout", "60s"]);
    assert_eq!(exported(bed, "left"), "right\n");
    assert_eq!(exported(bed, "right"), "left\n");
}

fn outputs(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN echo x > /x && ln -s x /y && ln /x /z && chmod 4755 /x\n",
    );
    let path = |name: &str| bed.join("out").join(name).to_str().unwrap().to_owned();
    let built = bed
        .build(&[
            "-t",
            "app",
            "-o",
            &format!("type=oci,dest={}", path("oci.tar")),
            "-o",
            &format!("type=docker,dest={}", path("docker.tar")),
            "-o",
            &format!("type=tar,dest={}", path("root.tar")),
            "--iidfile",
            &path("id"),
            "--metadata-file",
            &path("metadata.json"),
        ])
        .succeeds();
    assert_eq!(fs::read_to_string(path("id")).unwrap(), built.image_id());
    let metadata = fs::read(path("metadata.json")).unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).unwrap();
    let image = bed.image("app");
    assert_eq!(metadata["containerimage.digest"], image.digest.as_str());
    assert_eq!(metadata["containerimage.config.digest"], built.image_id());
    let list = |archive: &str| {
        let output = Command::new("tar").args(["tf", &path(archive)]).output().unwrap();
        assert!(output.status.success(), "{archive}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let oci = list("oci.tar");
    for name in ["oci-layout", "index.json", &image.digest.replace(':', "/")] {
        assert!(oci.lines().any(|line| line.ends_with(name)), "{name} in {oci}");
    }
    assert!(list("docker.tar").lines().any(|line| line == "manifest.json"));
    let root = list("root.tar");
    for name in ["x", "y", "z", "bin/sh"] {
        assert!(root.lines().any(|line| line == name), "{name} in {root}");
    }
    // -t is stored although there are outputs.
    let list = bed.run(&["images", "-q", "app"]).succeeds().stdout;
    assert_eq!(list.trim(), &built.image_id()["sha256:".len()..][..12]);
}
