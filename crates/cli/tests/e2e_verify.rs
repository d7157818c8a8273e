//! `dfbuild verify`: two builds in stores of their own, and what differs.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;

use dfbuild_testkit::{Bed, Outcome, as_each_user};

as_each_user!(a_good_one, a_command_that_writes_what_it_likes, what_the_clock_says);

fn verify(bed: &Bed, dockerfile: &str, epoch: Option<&str>) -> Outcome {
    bed.base();
    bed.write("file", "content\n");
    bed.write("Dockerfile", dockerfile);
    let mut command = bed.command();
    command.args(["verify", "--progress=plain", "-t", "app"]).arg(bed.context());
    if let Some(epoch) = epoch {
        command.env("SOURCE_DATE_EPOCH", epoch);
    }
    command.output().unwrap().into()
}

fn a_good_one(bed: &Bed) {
    let dockerfile = "FROM base AS made\nRUN cat /etc/passwd > /made\n\
                      FROM base\nCOPY file /file\nCOPY --from=made /made /made\nRUN mkdir /empty\n";
    let good = verify(bed, dockerfile, Some("1700000000")).succeeds();
    assert!(good.stdout.starts_with("reproducible: two builds made sha256:"), "{}", good.stdout);
    // Both ran all of it, and nothing of them is left but the base that was there.
    assert_eq!(good.ran_steps().len(), 8, "{}", good.stderr);
    assert_eq!(bed.run(&["images"]).succeeds().stdout.lines().count(), 2);
    assert_eq!(fs::read_dir(bed.store().join("staging")).unwrap().count(), 0);
    // What it names is what a build makes.
    let mut command = bed.build_command(&["-t", "app"]);
    let built: Outcome = command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap().into();
    assert_eq!(built.succeeds().ran(), 4);
    assert!(good.stdout.contains(&bed.image("app").digest), "{}", good.stdout);
}

fn a_command_that_writes_what_it_likes(bed: &Bed) {
    let dockerfile = "FROM base\nCOPY file /file\n\
                      RUN cp /file /a; cat /proc/sys/kernel/random/uuid > /b; echo same > /c\n";
    let bad = verify(bed, dockerfile, Some("1700000000")).exits_with(1);
    let lines: Vec<&str> = bad.stdout.lines().collect();
    assert!(lines[0].starts_with("not reproducible: layer 3 of 3, RUN /bin/sh -c cp /file /a"));
    // Two random numbers may begin alike.
    assert!(lines[1].starts_with("  /b: content from byte "), "{}", bad.stdout);
    assert!(lines[2].starts_with("hint: ") && lines.len() == 3, "{}", bad.stdout);
}

fn what_the_clock_says(bed: &Bed) {
    // The time of the image is that of its last command: no two have the same.
    let bad = verify(bed, "FROM base\nRUN true\n", None).exits_with(1);
    assert!(bad.stdout.contains("configuration\n  created: "), "{}", bad.stdout);
    assert!(bad.stdout.contains("hint: set SOURCE_DATE_EPOCH"), "{}", bad.stdout);
    // Both builds are much shorter than a second, but no second sees both.
    let dated = verify(bed, "FROM base\nRUN date +%s > /built-at\n", Some("1700000000"));
    let dated = dated.exits_with(1);
    assert!(dated.stdout.contains("\n  /built-at: content from byte "), "{}", dated.stdout);
}
