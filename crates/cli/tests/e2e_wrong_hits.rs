//! Wrong hits of other builders: stale content that came from a cache. Each test is a thread where
//! people met one; `never_wrong` of the library looks for what nobody has met yet.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;

use dfbuild_testkit::{Bed, as_each_user};

as_each_user!(
    content_under_the_same_times,
    bodies_of_heredocs,
    what_variables_come_to,
    files_of_other_stages,
    arguments_of_commands,
    stages_that_look_alike,
    folders_that_flatten_alike,
);

/// Builds, and exports to `out/tree`.
fn export(bed: &Bed, args: &[&str]) {
    let tree = bed.join("out/tree");
    let _ = fs::remove_dir_all(&tree);
    let output = format!("type=local,dest={}", tree.display());
    let _ = bed.build(&[&["-o", &output], args].concat()).succeeds();
}

/// Builds a Dockerfile, and reads a file of the result.
fn built(bed: &Bed, dockerfile: &str, args: &[&str], file: &str) -> String {
    bed.write("Dockerfile", dockerfile);
    export(bed, args);
    bed.exported(file)
}

// Metadata instead of content. See moby/buildkit#4817, #4950, #2592 and #5680, docker/buildx#2552
// and #3093.
fn content_under_the_same_times(bed: &Bed) {
    let dockerfile = "FROM scratch\nCOPY file folder /\n";
    for content in ["one", "two"] {
        bed.write("file", content);
        bed.write("folder/inside", content);
        // The same size, and the same times.
        bed.set_times(1_500_000_000);
        assert_eq!(built(bed, dockerfile, &[], "file"), content);
        assert_eq!(bed.exported("inside"), content);
    }
    // A file that takes the place of another, as `mv` and editors do it.
    bed.write("new", "six");
    bed.touch("new", 1_500_000_000);
    fs::rename(bed.context().join("new"), bed.context().join("file")).unwrap();
    assert_eq!(built(bed, dockerfile, &[], "file"), "six");
    assert_eq!(built(bed, dockerfile, &["--no-stat-cache"], "file"), "six");
}

// The body of a heredoc is not in the line of its instruction. See osscontainertools/kaniko#824 and
// #822.
fn bodies_of_heredocs(bed: &Bed) {
    bed.base();
    for word in ["one", "two"] {
        let copy = format!("FROM scratch\nCOPY <<EOF /file\n{word}\nEOF\n");
        assert_eq!(built(bed, &copy, &[], "file"), format!("{word}\n"));
        let run = format!("FROM base\nRUN <<EOF\necho {word} > /file\nEOF\n");
        assert_eq!(built(bed, &run, &[], "file"), format!("{word}\n"));
        let script = format!("FROM base\nRUN <<EOF\n#!/bin/sh\necho {word} > /file\nEOF\n");
        assert_eq!(built(bed, &script, &[], "file"), format!("{word}\n"));
    }
}

// The same text with other values of its variables. See `FF_KANIKO_RESOLVE_CACHE_KEY` of
// osscontainertools/kaniko.
fn what_variables_come_to(bed: &Bed) {
    bed.write("one", "1");
    bed.write("two", "2");
    let dockerfile = "FROM scratch\nARG NAME=one\nENV ALSO=$NAME\nWORKDIR /w/$NAME\n\
                      COPY $NAME copied\nADD ${ALSO} /added/$ALSO\nCOPY <<EOF /inline\n$NAME\nEOF\n";
    for (name, content) in [("one", "1"), ("two", "2")] {
        let arg = format!("NAME={name}");
        let file = format!("w/{name}/copied");
        assert_eq!(built(bed, dockerfile, &["--build-arg", &arg], &file), content);
        assert_eq!(bed.exported(&format!("added/{name}")), content);
        assert_eq!(bed.exported("inline"), format!("{name}\n"));
    }
}

// What is copied from a stage, whatever the copy looks like. See GoogleContainerTools/kaniko#589,
// #870, #1262, #1348 and #845. Ignore rules are not for stages: see osscontainertools/kaniko#763.
fn files_of_other_stages(bed: &Bed) {
    let dockerfile = "FROM scratch AS build\nCOPY source /out/file\nFROM scratch\n\
                      COPY --from=build /out /\n";
    bed.write(".dockerignore", "out\n**/file\n");
    for content in ["one", "two", "one"] {
        bed.write("source", content);
        assert_eq!(built(bed, dockerfile, &[], "file"), content);
    }
    // Another file under the same name, and the same file under another.
    bed.write("other", "other");
    let other = dockerfile.replace("COPY source", "COPY other");
    assert_eq!(built(bed, &other, &[], "file"), "other");
}

// See containers/buildah#1391.
fn arguments_of_commands(bed: &Bed) {
    bed.base();
    let dockerfile = "FROM base\nARG A=0\nRUN echo $A > /file\n";
    for value in ["1", "2", "1"] {
        let arg = format!("A={value}");
        assert_eq!(built(bed, dockerfile, &["--build-arg", &arg], "file"), format!("{value}\n"));
    }
    assert_eq!(built(bed, dockerfile, &[], "file"), "0\n");
    // A value that another variable takes over.
    let second = dockerfile.replace("ARG A=0", "ARG B=0\nARG A=x$B");
    assert_eq!(built(bed, &second, &["--build-arg", "B=7"], "file"), "x7\n");
}

// Parts that join to the same string: sibling stages exchanged their content. See
// osscontainertools/kaniko#875.
fn stages_that_look_alike(bed: &Bed) {
    for name in ["a", "a-b", "b", "b-c", "c"] {
        bed.write(name, name);
    }
    let dockerfile = "FROM scratch AS one\nCOPY a-b /x\nCOPY c /y\n\
                      FROM scratch AS two\nCOPY a /x\nCOPY b-c /y\n\
                      FROM scratch\nCOPY --from=one / /one/\nCOPY --from=two / /two/\n";
    for _ in 0..2 {
        assert_eq!(built(bed, dockerfile, &[], "one/x"), "a-b");
        let rest = ["one/y", "two/x", "two/y"].map(|file| bed.exported(file));
        assert_eq!(rest, ["c", "a", "b-c"]);
    }
}

// Trees whose names flatten to the same list. See osscontainertools/kaniko#912.
fn folders_that_flatten_alike(bed: &Bed) {
    let dockerfile = "FROM scratch\nCOPY tree /tree\n";
    bed.write("tree/a/b/c", "c");
    assert_eq!(built(bed, dockerfile, &[], "tree/a/b/c"), "c");
    fs::rename(bed.context().join("tree/a/b/c"), bed.context().join("tree/a/c")).unwrap();
    assert_eq!(built(bed, dockerfile, &[], "tree/a/c"), "c");
    assert!(!bed.join("out/tree/tree/a/b/c").exists());
    assert!(bed.join("out/tree/tree/a/b").is_dir());
}
