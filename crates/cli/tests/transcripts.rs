//! What the command prints, and how it ends, in an empty environment.

mod common;

use std::fs;

use common::{dfbuild, folder};

#[test]
fn help_is_grouped() {
    let folder = folder(&[]);
    let (code, out, err) = dfbuild(folder.path(), &["build", "--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let headings: Vec<&str> =
        out.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
    assert_eq!(
        headings,
        [
            "Arguments:",
            "Options:",
            "What to build:",
            "What comes out:",
            "Cache:",
            "Registries:",
            "What commands see:",
            "How to run:",
            "Global:",
            "Examples:",
        ]
    );
    let (code, out, _) = dfbuild(folder.path(), &["--help"]);
    assert_eq!(code, 0);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = out.lines().map(words).collect();
    for command in ["build Build an image", "images List images", "push Send an image of"] {
        assert!(lines.iter().any(|line| line.starts_with(command)), "{command}: {out}");
    }
    let (code, out, _) = dfbuild(folder.path(), &["--version"]);
    assert_eq!((code, out), (0, format!("dfbuild {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn usage_errors() {
    let folder = folder(&[]);
    let check = |args: &[&str], expect: &str| {
        let (code, out, err) = dfbuild(folder.path(), args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert_eq!(err.lines().next(), Some(expect), "{args:?}");
    };
    check(&["--frobnicate", "."], "error: unexpected argument '--frobnicate' found");
    check(
        &["-t", "x"],
        "error: the context is missing: the folder whose files COPY and ADD see, `.` for this one",
    );
    check(&["--push", "."], "error: --push needs a name to push to: give --tag");
    check(
        &["--ulimit", "nofile=2:1", "."],
        "error: invalid value 'nofile=2:1' for '--ulimit <NAME=SOFT[:HARD]>': \
         the soft limit must not be above the hard limit: 2:1",
    );
    check(
        &["-o", "type=zip,dest=x", "."],
        "error: invalid value 'type=zip,dest=x' for '--output \
         <type=oci|docker|local|tar,dest=PATH>': unknown type `zip`: there are oci, docker, local, \
         tar, image, registry and cacheonly",
    );
    check(&["-f", "-", "-"], "error: context and Dockerfile cannot both come from standard input");
    let (code, _, err) = dfbuild(folder.path(), &[]);
    assert_eq!(code, 2);
    assert!(err.contains("Usage: dfbuild"), "{err}");
}

#[test]
fn a_secret_that_is_not_there() {
    let folder = folder(&[("Dockerfile", "FROM scratch\n")]);
    let (code, out, err) = dfbuild(folder.path(), &["--secret", "id=token,src=missing", "."]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err, "ERROR: secret token: missing: No such file or directory (os error 2)\n");
}

#[test]
fn no_images() {
    let folder = folder(&[]);
    let (code, out, err) = dfbuild(folder.path(), &["images"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
    assert_eq!(dfbuild(folder.path(), &["images", "-q"]), (0, String::new(), String::new()));
}

#[test]
fn mistakes_of_a_dockerfile() {
    let folder = folder(&[("Dockerfile", "FROM scratch\nFORM b\nRUN <<EOF\nx\n")]);
    for args in [&["."][..], &["-q", "."], &["-f", "Dockerfile", "."]] {
        let (code, out, err) = dfbuild(folder.path(), args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert_eq!(
            err,
            "\
error: unknown instruction: FORM (did you mean FROM?)
 --> Dockerfile:2:1
  |
2 | FORM b
  | ^^^^
  |
help: change it like this
  |
2 - FORM b
2 + FROM b
  |

error: unterminated heredoc
 --> Dockerfile:3:5
  |
3 | RUN <<EOF
  |     ^^^^^
  |
  = help: a line with nothing but `EOF` ends the heredoc

ERROR: failed to build: Dockerfile:2: unknown instruction: FORM (did you mean FROM?) (and 1 more error)
",
            "{args:?}"
        );
    }
}

#[test]
fn mistakes_as_json() {
    let folder = folder(&[("Dockerfile", "FROM scratch\nFORM b\n")]);
    let (code, out, err) = dfbuild(folder.path(), &["--progress", "rawjson", "."]);
    assert_eq!((code, out.as_str()), (1, ""));
    let last: serde_json::Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "failed");
    assert_eq!(
        last["error"],
        "failed to build: Dockerfile:2: unknown instruction: FORM (did you mean FROM?)"
    );
}

#[test]
fn no_dockerfile() {
    let folder = folder(&[]);
    let (code, out, err) = dfbuild(folder.path(), &["."]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("hint: -f FILE names the Dockerfile"), "{err}");
    let last = err.lines().last().unwrap();
    assert!(last.starts_with("ERROR: failed to build: read Dockerfile "), "{err}");
    assert!(last.ends_with(": No such file or directory (os error 2)"), "{err}");
}

/// Needs no base image and runs nothing, so it works everywhere.
#[test]
fn an_image_of_copies() {
    let folder = folder(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a\n")]);
    let args = ["-t", "app", "--metadata-file", "m.json", "--iidfile", "id", "."];
    let (code, out, err) = dfbuild(folder.path(), &args);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let id = fs::read_to_string(folder.path().join("id")).unwrap();
    assert!(err.contains(&format!("image {id}\ntags  app:latest\n")), "{err}");
    let metadata = fs::read(folder.path().join("m.json")).unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).unwrap();
    assert_eq!(metadata["image.name"], "docker.io/library/app:latest");
    assert_eq!(metadata["containerimage.config.digest"], id);
    assert_eq!(metadata["containerimage.descriptor"]["digest"], metadata["containerimage.digest"]);

    let (code, out, err) = dfbuild(folder.path(), &["."]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains(" COPY a /\n") && err.contains(" CACHED "), "{err}");
    assert_eq!(dfbuild(folder.path(), &["-q", "."]), (0, format!("{id}\n"), String::new()));
    let (_, out, _) = dfbuild(folder.path(), &["images", "-q"]);
    assert!(id.contains(out.trim()), "{out}");
}
