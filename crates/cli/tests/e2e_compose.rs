//! The images of compose files.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::process::Command;

use dfbuild_testkit::{Bed, Outcome, Who, as_each_user, run_or_skip};

as_each_user!(a_stack, what_cannot_be_built);

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

    let again = compose(bed, &[]).succeeds();
    assert!(again.ran_steps().is_empty(), "{}", again.stderr);

    // One service with what it is made from, and nothing else.
    bed.write("base/Dockerfile", "FROM base\nRUN echo changed > /common\n");
    let one = compose(bed, &["build", "api"]).succeeds();
    assert_eq!(one.ran_steps().len(), 2, "{}", one.stderr);
    let _ = compose(bed, &["--profile", "tools", "tool"]).succeeds();
    assert_eq!(content(bed, "shop-tool", "tool"), "changed\n");

    let printed = compose(bed, &["--print", "api"]).succeeds();
    assert_eq!(printed.stdout, "dfbuild build --tag=shop/api:7 '--build-arg=VERSION=1 2' -- api\n");
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
        "service b could not be built",
        "b: b/Dockerfile:3",
        ">>> RUN echo told; exit 3",
        "did not complete successfully: exit code: 3",
    ]);
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
