//! What `dfbuild explain` says of each kind of change, line by line, and the flags that go with it.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod table;

use std::fs;

use dfbuild_testkit::{Bed, HttpServer, Reply, as_each_user};
use table::every_edit_has_its_line;

as_each_user!(
    every_edit_has_its_line,
    bases_and_their_triggers,
    checksums_and_moved_instructions,
    another_copy_of_the_context,
    what_ran_last,
    only_what_is_cached,
    steps_that_have_to_run,
);

fn explain(bed: &Bed, args: &[&str]) -> String {
    let mut command = bed.command();
    command.arg("explain").args(args).arg(bed.context());
    let outcome: dfbuild_testkit::Outcome = command.output().unwrap().into();
    outcome.succeeds().stdout
}

fn bases_and_their_triggers(bed: &Bed) {
    bed.base();
    let image = |name: &str, text: &str| {
        bed.write("other", text);
        let file = bed.context().join("other");
        let _ = bed.build(&["-f", file.to_str().unwrap(), "-t", name]).succeeds();
        fs::remove_file(&file).unwrap();
    };
    let has = |lines: &[&str]| {
        let text = explain(bed, &[]);
        for expect in lines {
            let mut found = text.lines();
            assert!(found.any(|line| line.starts_with(expect)), "no `{expect}` in:\n{text}");
        }
    };
    image("os:1", "FROM base\nRUN echo 1 > /os\nONBUILD RUN echo one > /trigger\n");
    bed.write("Dockerfile", "FROM os:1\nRUN echo app > /app\n");
    let _ = bed.build(&[]).succeeds();
    has(&["0 of 2 steps would run"]);
    // The same layers under the same name: only a label is new.
    image("os:1", "FROM base\nRUN echo 1 > /os\nONBUILD RUN echo one > /trigger\nLABEL a=b\n");
    has(&["0 of 2 steps would run"]);
    // A tag that moved.
    image("os:1", "FROM base\nRUN echo 2 > /os\nONBUILD RUN echo one > /trigger\n");
    has(&[
        "MISS RUN echo one > /trigger: base os:1: sha256:",
        "MAYBE RUN echo app > /app: line 1 runs before it",
        "base os:1 (line 1) re-runs 2 steps, ",
    ]);
    // Another trigger on the same layers.
    image("os:1", "FROM base\nRUN echo 1 > /os\nONBUILD RUN echo two > /trigger\n");
    has(&["MISS RUN echo two > /trigger: command: echo one > /trigger → echo two > /trigger"]);
    // Another image.
    image("os:2", "FROM base\nRUN echo 3 > /os\nONBUILD RUN echo one > /trigger\n");
    bed.write("Dockerfile", "FROM os:2\nRUN echo app > /app\n");
    has(&["MISS RUN echo one > /trigger: base os:1 → os:2: sha256:"]);
    // Another platform.
    bed.write("Dockerfile", "FROM base\nRUN echo app > /app\n");
    let _ = bed.build(&[]).succeeds();
    let text = explain(bed, &["--platform", "linux/s390x"]);
    let expect = format!("platform: {} → linux/s390x", dfbuild_platform());
    assert!(text.contains(&expect), "no `{expect}` in: {text}");
}

/// What `dfbuild` calls this machine.
fn dfbuild_platform() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

fn checksums_and_moved_instructions(bed: &Bed) {
    bed.base();
    let web = HttpServer::start(|_, _| Reply::new(200).with("etag", "\"1\"").body("content"));
    let url = format!("http://{}/f", web.address());
    // printf content | sha256sum
    let sum = "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    let with =
        format!("FROM base\nADD --checksum={sum} {url} /f\nRUN echo a > /a\nRUN echo b > /b\n");
    bed.write("Dockerfile", &with);
    let _ = bed.build(&[]).succeeds();
    bed.write("Dockerfile", with.replace(&format!("--checksum={sum} "), ""));
    let text = explain(bed, &[]);
    let expect = format!("MISS ADD {url} /f: --checksum: {} → none\n", &sum[..59]);
    assert!(text.contains(&expect.replace(" → none", "… → none")), "{text}");
    // A step that is gone, and one that is new, before others.
    bed.write("Dockerfile", with.replace("RUN echo a > /a\n", ""));
    let text = explain(bed, &[]);
    assert!(text.contains("MISS RUN echo b > /b: it comes after `ADD "), "{text}");
    assert!(text.contains("and came after `RUN echo a > /a`"), "{text}");
    bed.write("Dockerfile", with.replace("RUN echo b", "RUN echo c > /c\nRUN echo b"));
    let text = explain(bed, &[]);
    assert!(text.contains("MAYBE RUN echo b > /b: line 4 runs before it"), "{text}");
}

/// A step that ran for another folder is known in this one as well, also when its text changes.
fn another_copy_of_the_context(bed: &Bed) {
    bed.base();
    let text = "FROM base\nRUN echo one > /one\n";
    bed.write("Dockerfile", text);
    let _ = bed.build(&[]).succeeds();
    let copy = bed.join("copy");
    fs::create_dir(&copy).unwrap();
    let dockerfile = copy.join("Dockerfile");
    let run = |command: &str| {
        bed.own(&copy);
        let outcome: dfbuild_testkit::Outcome =
            bed.command().arg(command).arg(&copy).output().unwrap().into();
        outcome.succeeds()
    };
    fs::write(&dockerfile, text).unwrap();
    assert_eq!(run("build").ran(), 0);
    fs::write(&dockerfile, text.replace("echo one", "echo two")).unwrap();
    let explained = run("explain").stdout;
    let expect = "MISS RUN echo two > /one: command: echo one > /one → echo two > /one\n";
    assert!(explained.contains(expect), "{explained}");
}

fn what_ran_last(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nARG SHA=1\nCOPY a /\nRUN cp /a /b\nRUN cp /b /c\nRUN echo $SHA > /d\n",
    );
    bed.write("a", "a");
    let mut command = bed.command();
    let none = command.args(["explain", "--last"]).arg(bed.context()).output().unwrap();
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    let _ = bed.build(&[]).succeeds();
    let built = bed.build(&["--build-arg", "SHA=2"]).succeeds();
    let _ = built.says(&[
        "#2 MISS ARG SHA (line 2): 1 → 2\n",
        "notice: ARG SHA (line 2) re-ran 3 steps, ",
        "; nothing before line 6 uses it\n",
    ]);
    // Another explanation in between changes nothing.
    assert!(explain(bed, &["--build-arg", "SHA=2"]).contains("all is cached"));
    let last = explain(bed, &["--last"]);
    assert!(last.contains("MISS RUN cp /a /b: ARG SHA (line 2): 1 → 2\n"), "{last}");
    assert!(last.contains("3 of 4 steps ran\n"), "{last}");
    let json: serde_json::Value =
        serde_json::from_str(&explain(bed, &["--last", "--format", "json"])).unwrap();
    assert_eq!(json["steps"][0]["fate"], "cached");
    assert_eq!(json["steps"][1]["reasons"][0]["reason"], "variable");
    assert_eq!(json["steps"][1]["reasons"][0]["declared"]["line"], 2);
    assert_eq!(
        (&json["busts"][0]["steps"], &json["busts"][0]["first_use"]),
        (&3.into(), &6.into())
    );
    let raw = bed.build(&["--progress=rawjson", "--build-arg", "SHA=3"]).succeeds();
    let missed = raw.stderr.lines().find(|line| line.contains(r#""event":"missed""#)).unwrap();
    let missed: serde_json::Value = serde_json::from_str(missed).unwrap();
    assert_eq!(missed["reasons"][0]["name"], "SHA");
    assert!(raw.stderr.contains(r#""event":"busted""#));
    let ran = raw.stderr.lines().rfind(|line| line.contains(r#""result":"ran""#)).unwrap();
    let ran: serde_json::Value = serde_json::from_str(ran).unwrap();
    assert!(ran["usage"]["user"].is_f64() && ran["usage"]["layer"].is_u64(), "{ran}");
}

fn only_what_is_cached(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", "FROM base\nCOPY a /\nRUN cp /a /b\n");
    bed.write("a", "a");
    let empty = bed.build(&["--require-cache"]).exits_with(1);
    let _ = empty.says(&["COPY a / is not in it: no earlier run is known"]);
    let _ = bed.build(&[]).succeeds();
    assert_eq!(bed.build(&["--require-cache"]).succeeds().ran(), 0);
    bed.write("a", "b");
    let failed = bed.build(&["--require-cache"]).exits_with(1);
    let _ = failed.says(&["ERROR: failed to build from the cache alone: COPY a / is not in it: \
         1 of 1 file differs: a (content)"]);
    bed.write("a", "a");
    assert_eq!(bed.build(&["--require-cache"]).succeeds().cached(), 2);
}

fn steps_that_have_to_run(bed: &Bed) {
    bed.base();
    let text = "FROM base AS build\nRUN echo 1 > /one\nRUN echo \\\n  2 > /two\nFROM base\n\
                COPY --from=build /two /\nRUN cp /two /three\n";
    bed.write("Dockerfile", text);
    let _ = bed.build(&[]).succeeds();
    // The whole step runs whichever of its lines is named, and what it makes is the same.
    for place in ["Dockerfile:4", ":3", "4"] {
        let flag = format!("--no-cache-step={place}");
        let built = bed.build(&[&flag]).succeeds();
        assert_eq!(built.ran_steps(), ["RUN echo 2 > /two"], "{place}");
        let _ = built.says(&["MISS --no-cache-step\n"]);
    }
    for (flag, part) in [
        ("--no-cache-step=5", "this build has no RUN, COPY, ADD or WORKDIR at that line"),
        ("--no-cache-step=99", "--no-cache-step=Dockerfile:99"),
    ] {
        let _ = bed.build(&[flag]).exits_with(1).says(&[part]);
    }
    let _ = bed.build(&["--no-cache-step=Other:3"]).exits_with(2).says(&["is called Dockerfile"]);
    let built = bed.build(&["--no-cache-filter=build"]).succeeds();
    assert_eq!(built.ran_steps(), ["RUN echo 1 > /one", "RUN echo 2 > /two"]);
    let _ = built.says(&["MISS --no-cache-filter\n"]);
    // Nothing is that old, and everything is older than nothing: also what is only copied from.
    assert_eq!(bed.build(&["--cache-max-age=1h"]).succeeds().ran(), 0);
    let built = bed.build(&["--cache-max-age=0s"]).succeeds();
    assert_eq!(built.ran(), 3);
    assert_eq!(built.cached_steps(), ["COPY --from=build /two /"]);
    let _ = built.says(&["old (--cache-max-age)\n"]);
}
