//! What the store takes, and what goes when it is too much.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use dfbuild_testkit::{Bed, Outcome, as_each_user, run};

as_each_user!(
    usage_is_what_coreutils_says,
    images_and_their_steps_survive_a_prune,
    a_prune_does_not_disturb_a_build,
    the_store_stays_below_its_limit,
    what_keeps_a_layer_is_told,
);

fn build(bed: &Bed, name: &str, tag: &[&str]) {
    // Not to be compressed, so that sizes are known; hard links are there once.
    let dockerfile = format!(
        "FROM base\nRUN echo {name} > /name && head -c 1000000 /dev/urandom > /big && ln /big /link\n"
    );
    bed.write("Dockerfile", dockerfile);
    let _ = bed.build(tag).succeeds();
}

fn du(bed: &Bed) -> serde_json::Value {
    let du = bed.run(&["du", "--format", "json"]).succeeds();
    serde_json::from_str(&du.stdout).unwrap()
}

fn total(bed: &Bed) -> u64 {
    du(bed)["total"].as_u64().unwrap()
}

fn usage_is_what_coreutils_says(bed: &Bed) {
    bed.base();
    build(bed, "one", &["-t", "one"]);
    build(bed, "two", &[]);
    let said = du(bed);
    let du = run("du", &["-s", "--block-size=1", bed.store().to_str().unwrap()]).unwrap();
    let expect: f64 = du.split_whitespace().next().unwrap().parse().unwrap();
    let total = said["total"].as_f64().unwrap();
    assert!((total - expect).abs() <= expect / 100.0, "{total} and not {expect}");
    // The parts are nearly all of it: the rest are folders and locks.
    let parts =
        said["items"].as_array().unwrap().iter().map(|item| item["bytes"].as_f64().unwrap());
    let parts: f64 = parts.sum();
    assert!(parts <= total && parts > total * 0.9, "{parts} of {total}");
    let table = bed.run(&["du"]).succeeds().stdout;
    assert!(table.contains("\nimage layer  ") && table.contains("\nTotal:  "), "{table}");
    let each = bed.run(&["du", "--verbose"]).succeeds().stdout;
    assert!(each.contains("image docker.io/library/one:latest"), "{each}");
}

fn images_and_their_steps_survive_a_prune(bed: &Bed) {
    bed.base();
    build(bed, "kept", &["-t", "kept"]);
    let kept = bed.image("kept").digest;
    build(bed, "gone", &[]);
    let before = total(bed);
    let refused = bed.run(&["prune"]).exits_with(1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    bed.write("answer", "n\n");
    let answered = || {
        let answer = fs::File::open(bed.context().join("answer")).unwrap();
        Outcome::from(bed.command().arg("prune").stdin(answer).output().unwrap()).succeeds().stdout
    };
    assert_eq!(answered(), "");
    let recent = bed.run(&["prune", "-f", "--filter", "until=1h"]).succeeds();
    assert_eq!(recent.stdout, "Total:  0B\n");
    bed.write("answer", "y\n");
    let pruned = answered();
    assert!(pruned.contains("layer  "), "{pruned}");
    // Nothing is left for it, so nobody is asked; `--all` would take more, as `du` says.
    assert_eq!(bed.run(&["prune"]).succeeds().stdout, "Total:  0B\n");
    let said = du(bed);
    assert_eq!(said["reclaimable"], 0);
    assert!(said["reclaimable_with_all"].as_u64().unwrap() > 1_000_000, "{said}");
    let table = bed.run(&["du"]).succeeds().stdout;
    assert!(table.contains("Reclaimable:  0B with `dfbuild prune`, "), "{table}");
    assert!(total(bed) + 1_000_000 < before);
    build(bed, "kept", &["-t", "again"]);
    assert_eq!(bed.image("again").digest, kept);
    // What was written and why steps run are still there, until all goes.
    assert!(bed.run(&["logs"]).succeeds().stdout.lines().count() > 2);
    bed.write("Dockerfile", "FROM base\nRUN echo other > /name\n");
    let explained = bed.run(&["explain", bed.context().to_str().unwrap()]).succeeds().stdout;
    assert!(explained.contains("command: "), "{explained}");
    // What only saves work goes as well, and the images still are whole.
    let _ = bed.run(&["prune", "-f", "--all"]).succeeds();
    assert!(bed.run(&["logs"]).succeeds().stdout.lines().count() <= 1);
    assert_eq!(bed.image("kept").digest, kept);
    bed.write("Dockerfile", "FROM kept\nRUN cmp /big /link && cat /name > /other\n");
    let _ = bed.build(&["-t", "upon"]).succeeds();
    let ran = bed.build(&["-t", "upon"]).succeeds();
    assert_eq!(ran.ran(), 0);
}

fn a_prune_does_not_disturb_a_build(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM base\nRUN echo first > /first\nRUN --mount=type=cache,target=/c \
         echo started-$((1+1)); until [ -e /c/go ]; do sleep 0.02; done; cat /first > /second\n\
         RUN cat /first /second > /third\n",
    );
    let mut command = bed.build_command(&["-t", "app"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("started-2") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the build ended");
    }
    let _ = bed.run(&["prune", "-f", "--all"]).succeeds();
    let mounts = fs::read_dir(bed.store().join("mounts")).unwrap();
    let mounts: Vec<_> = mounts.map(|it| it.unwrap().path()).filter(|it| it.is_dir()).collect();
    fs::write(mounts[0].join("go"), "").unwrap();
    let rest = std::io::read_to_string(stderr).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    let again = bed.build(&["-t", "app"]).succeeds();
    assert_eq!(again.ran(), 0, "{}", again.stderr);
}

fn the_store_stays_below_its_limit(bed: &Bed) {
    bed.base();
    build(bed, "kept", &["-t", "kept"]);
    let kept = bed.image("kept").digest;
    let limit = total(bed) + 6_000_000;
    let size = limit.to_string();
    for number in 0..6 {
        build(bed, &number.to_string(), &["--store-limit", &size]);
        assert!(total(bed) <= limit, "after build {number}: {} of {limit}", total(bed));
    }
    assert_eq!(bed.image("kept").digest, kept);
    // The last one is there, the first is not.
    let dockerfile = fs::read_to_string(bed.context().join("Dockerfile")).unwrap();
    let last = bed.build(&["--store-limit", &size]).succeeds();
    assert_eq!(last.ran(), 0, "{}", last.stderr);
    bed.write("Dockerfile", dockerfile.replace("echo 5", "echo 0"));
    let first = bed.build(&["--store-limit", &size]).succeeds();
    assert_eq!(first.ran(), 1, "{}", first.stderr);
    assert!(first.stderr.contains("the store was over its limit"), "{}", first.stderr);
}

fn what_keeps_a_layer_is_told(bed: &Bed) {
    bed.base();
    build(bed, "app", &["-t", "app"]);
    let blob = bed.image("app").layers.last().unwrap().digest.clone();
    let why = bed.run(&["du", "--why", &blob[..20]]).succeeds().stdout;
    assert!(why.contains("kept by image docker.io/library/app:latest"), "{why}");
    let unknown = bed.run(&["du", "--why", "sha256:0123456789"]).exits_with(1);
    assert!(unknown.stderr.contains("begins with sha256:0123456789"), "{}", unknown.stderr);
}
