//! How a build is shown, to whom.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use dfbuild_testkit::{Bed, Outcome, as_each_user};

as_each_user!(the_old_words, folded_logs);

const DOCKERFILE: &str = "FROM base AS one\nRUN echo from one; sleep 0.3; echo done\n\
    FROM base AS two\nRUN echo from two\n\
    FROM base\nENV A=b\nCOPY --from=one /bin/sh /one\nCOPY --from=two /bin/sh /two\nCMD run\n";

fn the_old_words(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", DOCKERFILE);
    let ran = bed.build(&["-t", "app", "--progress=classic"]).succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    // Which stage is first is nobody's business.
    let first = lines.iter().position(|line| *line == "Step 1/9 : FROM base AS one").unwrap();
    let told = &lines[first + 1..];
    let expect = ["Step 2/9 : RUN echo from one; sleep 0.3; echo done", "from one", "done"];
    assert_eq!(told[..3], expect, "{}", ran.stdout);
    assert!(told[3].starts_with(" ---> "), "{}", ran.stdout);
    assert!(ran.stdout.contains("Step 9/9 : CMD run\nSuccessfully built "), "{}", ran.stdout);
    assert_eq!(*lines.last().unwrap(), "Successfully tagged app:latest");
    let again = bed.build(&["--progress=classic"]).succeeds();
    // Of stages that nobody needs because the copies are cached nothing is told.
    assert_eq!(again.stdout.matches(" ---> Using cache\n").count(), 2, "{}", again.stdout);
    bed.write("Dockerfile", "FROM base\nRUN echo why; exit 3\n");
    let failed = bed.build(&["--progress=classic"]).exits_with(1);
    assert!(failed.stdout.ends_with("why\n"), "{}", failed.stdout);
    let _ = failed.says(&["did not complete successfully: exit code: 3"]);
}

fn folded_logs(bed: &Bed) {
    bed.base();
    bed.write("Dockerfile", DOCKERFILE);
    let mut command = bed.command();
    command.env("GITHUB_ACTIONS", "true").arg("build").arg(bed.context());
    let ran = Outcome::from(command.output().unwrap()).succeeds();
    let groups: Vec<&str> = ran.stderr.split("::group::").skip(1).collect();
    assert_eq!(groups.len(), 4, "{}", ran.stderr);
    let end = ran.stderr.rsplit("::endgroup::").next().unwrap();
    assert!(end.contains(" 1 warning found") && end.contains(" - JSONArgsRecommended: "), "{end}");
    for group in groups {
        assert!(group.contains("::endgroup::"), "{}", ran.stderr);
        assert!(!(group.contains(" from one") && group.contains(" from two")), "{group}");
    }
}
