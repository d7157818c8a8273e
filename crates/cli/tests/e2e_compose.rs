//! The images of compose files.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use dfbuild_testkit::{Bed, Outcome, Who, as_each_user, run_or_skip};

as_each_user!(a_stack, what_cannot_be_built);

/// Flags and files as docker's users have them, and what is told of them.
#[test]
fn what_is_told() {
    run_or_skip("e2e_compose::what_is_told", || {
        let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
        told(&bed);
        Ok(())
    });
}

/// Runs `dfbuild compose` in the folder of the context.
fn compose(bed: &Bed, args: &[&str]) -> Outcome {
    let mut command = bed.command();
    command.args(["compose", "--progress=plain"]).args(args).current_dir(bed.context());
    command.output().unwrap().into()
}

/// What is in a file of an image.
fn content(bed: &Bed, image: &str, path: &str) -> String {
    bed.write("reader/Dockerfile", format!("FROM {image}\n"));
    let folder = bed.context().join("reader");
    let _ = bed.run(&["build", "-o", "out/tree", folder.to_str().unwrap()]).succeeds();
    bed.exported(path)
}

const STACK: &str = "
name: shop
x-build: &build
  args: {VERSION: '${VERSION:-none}'}
services:
  db: {image: 'postgres:12'}
  cache: {image: redis}
  base:
    build: {context: base, labels: {tier: base}}
  api:
    build: {context: ./api, <<: *build}
    image: ${REGISTRY:-shop}/api:${TAG}
    depends_on: [db]
  web:
    build:
      context: web
      dockerfile: Dockerfile.prod
      additional_contexts: {api: 'service:api'}
      tags: [shop/web:extra]
  worker:
    build: {context: web, dockerfile: Dockerfile.prod, target: build}
  tool:
    profiles: [tools]
    build:
      context: .
      dockerfile_inline: |
        FROM shop-base
        RUN cat /common > /tool
";

/// Two databases that are somebody else's, a base that others begin with, an API, a front end
/// that copies from it, a worker that is a stage of the front end.
fn a_stack(bed: &Bed) {
    bed.base();
    bed.write("compose.yaml", STACK);
    bed.write(".env", "TAG=7\nVERSION='1 2'\n");
    bed.write("base/Dockerfile", "FROM base\nRUN echo common > /common\n");
    bed.write("api/Dockerfile", "FROM shop-base\nARG VERSION\nRUN echo \"v $VERSION\" > /api\n");
    bed.write(
        "web/Dockerfile.prod",
        "FROM shop-base AS build\nCOPY src /src\nRUN cat /src > /built\n\
         FROM shop-base\nCOPY --from=build /built /built\nCOPY --from=api /api /api\n",
    );
    bed.write("web/src", "source\n");
    let built = compose(bed, &[]).succeeds();
    assert!(!built.stderr.contains("inline"), "{}", built.stderr);
    // The stage that two services have runs once.
    let ran = built.ran_steps();
    let shared = ran.iter().filter(|step| step.contains("RUN cat /src > /built"));
    assert_eq!(shared.count(), 1, "{}", built.stderr);
    for (image, path, expect) in [
        ("shop-web", "api", "v 1 2\n"),
        ("shop-web", "built", "source\n"),
        ("shop-web", "common", "common\n"),
        ("shop-worker", "built", "source\n"),
        ("shop/api:7", "api", "v 1 2\n"),
    ] {
        assert_eq!(content(bed, image, path), expect, "{path} of {image}");
    }
    assert_eq!(bed.image("shop/web:extra").digest, bed.image("shop-web").digest);

    let again = compose(bed, &["--require-cache"]).succeeds();
    assert!(again.ran_steps().is_empty(), "{}", again.stderr);

    // One service with what it is made from, and nothing else.
    bed.write("base/Dockerfile", "FROM base\nRUN echo changed > /common\n");
    let missed = compose(bed, &["--require-cache", "api"]).exits_with(1);
    let missed = missed.says(&["RUN echo changed > /common"]);
    assert!(missed.ran_steps().is_empty(), "{}", missed.stderr);
    let one = compose(bed, &["build", "api"]).succeeds();
    assert_eq!(one.ran_steps().len(), 2, "{}", one.stderr);
    let _ = compose(bed, &["--profile", "tools", "tool"]).succeeds();
    assert_eq!(content(bed, "shop-tool", "tool"), "changed\n");

    let printed = compose(bed, &["--print", "api"]).succeeds();
    assert_eq!(printed.stdout, "dfbuild build --tag=shop/api:7 '--build-arg=VERSION=1 2' -- api\n");
    let printed = compose(bed, &["--print", "tool"]).succeeds();
    let inline =
        "--tag=shop-tool --file=- -- . <<'EOF'\nFROM shop-base\nRUN cat /common > /tool\nEOF\n";
    assert_eq!(printed.stdout, format!("dfbuild build {inline}"));
}

fn told(bed: &Bed) {
    bed.base();
    bed.write("compose.yml", "");
    let _ = compose(bed, &[]).exits_with(1).says(&["there are no services in compose.yml"]);
    bed.write("compose.yml", "service: {a: {build: .}}\n");
    let _ = compose(bed, &[]).exits_with(1).says(&[
        "notice: compose.yml:1:1: service does not count, compose knows no such key; did you mean `services`?",
        "there are no services in compose.yml",
    ]);
    let write = |file: &str, check: &str| {
        bed.write("compose.yml", format!("name: p\nservices:\n  a: {{build: .}}\n{file}"));
        bed.write("Dockerfile", format!("{check}FROM base AS Build\nMAINTAINER x\n"));
    };
    write("  b:\n    image: x:${TAG}\n    biuld: .\n", "");
    let odd = [
        "notice: compose.yml:5:12: the variable TAG is not set, defaulting to a blank string",
        "notice: compose.yml:6:5: services.b.biuld does not count, compose knows no such key; did you mean `build`?",
    ];
    let flags =
        ["--parallel", "2", "--memory=1g", "--ansi", "never", "--provenance=false", "build"];
    let built = compose(bed, &[&flags[..], &["--with-dependencies"]].concat()).succeeds();
    let _ = built.says(&odd).says(&[
        "notice: --memory does not count here",
        "notice: --with-dependencies does not count here",
        " a: 2 warnings found",
        " - MaintainerDeprecated: ",
    ]);
    // For programs they are events; quiet are those that docker compose has not.
    let raw = compose(bed, &["--progress=rawjson", "--memory=1g"]).succeeds();
    assert!(raw.stderr.lines().all(|line| line.starts_with('{')), "{}", raw.stderr);
    for told in odd.map(|line| line.strip_prefix("notice: ").unwrap()) {
        let event = raw.stderr.lines().find(|line| line.contains(&told[..20]));
        assert!(event.unwrap().contains(r#""event":"notice""#), "{}", raw.stderr);
    }
    let quiet = compose(bed, &["-q", "--memory=1g"]).succeeds();
    assert_eq!(quiet.stderr.lines().collect::<Vec<_>>(), odd);
    let checked = compose(bed, &["--check"]).exits_with(1);
    let _ = checked.says(&[" a: 2 warnings found"]);

    // The images of all services in one archive.
    write("  b: {build: {context: ., tags: [q]}}\n", "");
    bed.write("bin/docker", "#!/bin/sh\n[ \"$1\" = info ] || tar xO manifest.json >loaded\n");
    let path = bed.context().join("bin");
    fs::set_permissions(path.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut loads = bed.command();
    loads.args(["compose", "--load"]).current_dir(bed.context());
    loads.env("DOCKER_HOST", "tcp://127.0.0.1:9");
    loads.env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap()));
    let _ = Outcome::from(loads.output().unwrap()).succeeds().says(&["loaded with docker load"]);
    let manifest = fs::read_to_string(bed.context().join("loaded")).unwrap();
    for name in ["p-a:latest", "p-b:latest", "q:latest"] {
        assert!(manifest.contains(name), "{name} in {manifest}");
    }

    write("", "# check=error=true\n");
    let _ = compose(bed, &[]).exits_with(1).says(&[
        "service a: failed to build: failed to solve: lint violation found for rules: ",
        "StageNameCasing",
    ]);
    // What the base sets is known before anything runs.
    bed.write("compose.yml", "name: p\nservices: {a: {build: .}}\n");
    let undefined = "FROM base AS build\nLABEL a=$CI_SHA b=$PATH\nRUN true\n";
    bed.write("Dockerfile", undefined);
    let list = [" a: 1 warning found", " - UndefinedVar: Usage of undefined variable '$CI_SHA'"];
    let _ = compose(bed, &[]).succeeds().says(&list);
    let verified = bed.run(&["verify", bed.context().to_str().unwrap()]).exits_with(1);
    let _ = verified.says(&list[1..]);
    bed.write("Dockerfile", format!("# check=error=true\n{undefined}"));
    let refused = compose(bed, &[]).exits_with(1);
    let why =
        "ERROR: service a: failed to build: failed to solve: lint violation found for rules: ";
    assert_eq!(refused.says(&[why]).ran_steps(), [] as [&str; 0]);
    write("", "# check=error=true\n");
    for (line, code) in
        [("up --build", 2), ("run a sh", 1), ("images", 1), ("config --services", 2)]
    {
        let words: Vec<&str> = line.split(' ').collect();
        let failed = compose(bed, &words);
        let expect =
            format!("`dfbuild compose` builds, and starts nothing: `docker compose {}`", words[0]);
        let _ = failed.exits_with(code).says(&[&expect]);
    }
    let nobody = compose(bed, &["aa"]).exits_with(1);
    let _ = nobody.says(&["there is no service `aa`: there are a; did you mean `a`?"]);
    write("  c: {build: ., image: 'Bad:1'}\n", "");
    let refused = compose(bed, &["--progress=rawjson"]).exits_with(2);
    let reason =
        "service c: invalid reference `Bad:1`: repository name must be lowercase: write `bad:1`";
    assert!(refused.stderr.lines().last().unwrap().contains(reason), "{}", refused.stderr);
    let _ = compose(bed, &[]).exits_with(2).says(&[&format!("ERROR: {reason}")]);
    write("  c: {build: {additional_contexts: {x: service:aa}}}\n", "");
    let _ = compose(bed, &[]).exits_with(1).says(&[
        "read compose.yml:4:40: c has the image of the service `aa` for a context, which is not there; did you mean `a`?",
    ]);
}

fn what_cannot_be_built(bed: &Bed) {
    let fails = |expect: &[&str]| drop(compose(bed, &[]).exits_with(1).says(expect));
    fails(&["there is no compose.yaml, compose.yml", "-f FILE names one"]);
    let write =
        |services: &str| bed.write("compose.yml", format!("name: p\nservices:\n{services}"));
    write("  a: {image: x}\n");
    fails(&["there is no service with a `build` section"]);
    write("  a: {build: {args: 5}}\n");
    fails(&["compose.yml:3:21: services.a.build.args must be a mapping, or a list of NAME=VALUE"]);
    write("  a: {build: {context: ., network: [x]}}\n");
    fails(&["services.a.build.network must be a word"]);
    write("  a: {build: none}\n");
    fails(&["service a: failed to build: use none as build context: there is no such folder"]);
    write("  a: {build: a}\n  b: {build: b}\n");
    bed.write("a/Dockerfile", "FROM p-b\n");
    bed.write("b/Dockerfile", "FROM p-a\n");
    fails(&["services need each other's images: a needs b needs a"]);
    // One that fails ends the others, and is shown with its own Dockerfile.
    bed.base();
    bed.write("a/Dockerfile", "FROM base\nRUN sleep 600\n");
    bed.write("b/Dockerfile", "FROM base\n\nRUN echo told; exit 3\n");
    fails(&[
        "service b could not be built; ",
        "b: b/Dockerfile:3",
        ">>> RUN echo told; exit 3",
        "did not complete successfully: exit code: 3",
    ]);
    let guilty = bed.run(&["logs", "last"]).succeeds();
    assert!(guilty.stdout.contains("told\n") && guilty.stdout.contains("=== failed"), "{guilty:?}");
    bed.write("b/Dockerfile", "FORM base\n");
    fails(&["failed to build: b: b/Dockerfile:1: unknown instruction: FORM"]);
    let known = compose(bed, &["nobody"]).exits_with(1);
    let _ = known.says(&["there is no service `nobody`: there are a, b"]);
    let up = compose(bed, &["up"]).exits_with(1);
    let _ = up.says(&["builds, and starts nothing: `docker compose up` is for that"]);
}

/// `fixtures/stack`, on small images in the places of its bases.
#[test]
fn five_services() {
    run_or_skip("e2e_compose::five_services", || {
        let bed = Bed::new(Path::new(env!("CARGO_BIN_EXE_dfbuild")), Who::Caller)?;
        bed.base();
        for name in [
            "postgres:16",
            "redis:7",
            "python:3.12-slim",
            "node:22-slim",
            "nginx:1.27",
            "debian:12",
        ] {
            let _ = bed.run(&["tag", "base", name]).succeeds();
        }
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stack/.");
        let copied = Command::new("cp").arg("-r").arg(fixture).arg(bed.context()).status();
        assert!(copied.unwrap().success());
        bed.own(&bed.context());

        let first = compose(&bed, &[]).succeeds();
        let tags = first.stderr.lines().filter(|line| line.starts_with("tags  stack/")).count();
        assert_eq!(tags, 5, "{}", first.stderr);
        assert!(content(&bed, "stack/maintenance", "usr/local/bin/api-client").contains("API_URL"));
        assert!(content(&bed, "stack/web", "usr/share/nginx/html/app.js").contains("loading"));
        assert_eq!(content(&bed, "stack/api", "srv/api/VERSION"), "dev\n");

        let again = compose(&bed, &[]).succeeds();
        assert!(again.ran_steps().is_empty(), "{}", again.stderr);
        Ok(())
    });
}
