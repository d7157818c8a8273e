//! Each kind of change, and the exact line that explain has for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use dfbuild_testkit::Bed;

use crate::explain;

const DOCKERFILE: &str = "\
FROM base AS tools
COPY tools /t
RUN cat /t/x > /tool
FROM base
ARG VERSION=1
ARG API_TOKEN=abc
ENV MODE=fast LEVEL=1
WORKDIR /app
COPY src src/
COPY --chmod=644 --exclude=*.log conf /conf/
COPY <<EOF /made
mode $MODE
EOF
COPY --from=tools /tool /tool
COPY --from=named n /n
RUN --mount=type=bind,source=src,target=/m --mount=type=secret,id=pass cat /m/a > /a
RUN <<EOF
echo one > /h
EOF
RUN --network=none true
RUN --mount=type=bind,source=conf/one,target=/one cat /one > /two
";

/// The files of the context, beside the Dockerfile.
const FILES: [(&str, &str); 8] = [
    (".dockerignore", "**/*.tmp\n"),
    ("tools/x", "tool\n"),
    ("src/a", "line one\nline two\n"),
    ("src/b", "b\n"),
    ("src/sub/c", "c\n"),
    ("conf/one", "1\n"),
    ("conf/two.log", "log\n"),
    ("conf/x.tmp", "tmp\n"),
];

/// Makes the context as it is before each edit.
fn prepare(bed: &Bed) {
    let _ = fs::remove_dir_all(bed.context());
    fs::create_dir(bed.context()).unwrap();
    for (name, content) in FILES {
        bed.write(name, content);
    }
    symlink("a", bed.context().join("src/link")).unwrap();
    bed.write("Dockerfile", DOCKERFILE);
    fs::create_dir_all(bed.join("named")).unwrap();
    fs::write(bed.join("named/n"), "n\n").unwrap();
    fs::write(bed.join("secret"), "a long enough secret\n").unwrap();
    bed.own(bed.path());
}

/// A change of the context, undone afterwards by putting everything back.
type Edit = fn(&Bed);

/// An edit, what the build is told besides, and the line that the explanation must have. `ALL` is
/// that nothing runs.
type Case = (&'static str, Edit, &'static [&'static str], &'static str);

const ALL: &str = "0 of 12 steps would run: all is cached";

fn change(bed: &Bed, old: &str, new: &str) {
    assert!(DOCKERFILE.contains(old), "{old}");
    bed.write("Dockerfile", DOCKERFILE.replacen(old, new, 1));
}

fn rename(bed: &Bed, old: &str, new: &str) {
    fs::rename(bed.context().join(old), bed.context().join(new)).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const CASES: [Case; 48] = [
    ("nothing", |_| {}, &[], ALL),
    (
        "content",
        |bed| bed.write("src/a", "other"),
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/a (content)",
    ),
    (
        "content of a mount",
        |bed| bed.write("src/a", "other"),
        &[],
        "MISS RUN --mount=type=bind,source=src,target=/m --mount=type=secret,id=pass cat /m/a > \
         /a: mount /m: 1 of 4 files differs: src/a (content); line 15 runs before it",
    ),
    (
        "content of a file that is mounted alone",
        |bed| bed.write("conf/one", "other"),
        &[],
        "MISS RUN --mount=type=bind,source=conf/one,target=/one cat /one > /two: mount /one: \
         1 of 1 file differs: conf/one (content); line 20 runs before it",
    ),
    (
        "mode",
        |bed| mode(&bed.context().join("src/b"), 0o755),
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/b (mode 0644 → 0755)",
    ),
    (
        "content and mode",
        |bed| {
            bed.write("src/b", "x");
            mode(&bed.context().join("src/b"), 0o600);
        },
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/b (content, mode 0644 → 0600)",
    ),
    (
        "mode of a folder",
        |bed| mode(&bed.context().join("src/sub"), 0o700),
        &[],
        "MISS COPY src src/: 1 of 5 files differs: src/sub (mode 0755 → 0700); see --normalise-modes",
    ),
    (
        "rename",
        |bed| rename(bed, "src/b", "src/d"),
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/d (was src/b)",
    ),
    (
        "rename of a folder",
        |bed| rename(bed, "src/sub", "src/dir"),
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/dir/c (was src/sub/c)",
    ),
    (
        "new file",
        |bed| bed.write("src/new", "new"),
        &[],
        "MISS COPY src src/: 1 of 5 files differs: src/new (added)",
    ),
    (
        "removed file",
        |bed| fs::remove_file(bed.context().join("src/b")).unwrap(),
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/b (removed)",
    ),
    (
        "new empty folder",
        |bed| {
            fs::create_dir(bed.context().join("src/empty")).unwrap();
            bed.own(&bed.context());
        },
        &[],
        "MISS COPY src src/: 1 of 5 files differs: src/empty (added)",
    ),
    (
        "symlink target",
        |bed| {
            fs::remove_file(bed.context().join("src/link")).unwrap();
            symlink("b", bed.context().join("src/link")).unwrap();
        },
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/link (target a → b)",
    ),
    (
        "type",
        |bed| {
            fs::remove_file(bed.context().join("src/link")).unwrap();
            bed.write("src/link", "a");
        },
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/link (symlink → file)",
    ),
    (
        "carriage returns of a checkout",
        |bed| bed.write("src/a", "line one\r\nline two\r\n"),
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/a (content)",
    ),
    (
        "ignore rule",
        |bed| bed.write(".dockerignore", "**/*.tmp\nsrc/b\n"),
        &[],
        "MISS COPY src src/: 1 of 4 files differs: src/b (ignored now)",
    ),
    (
        "ignore rule taken back",
        |bed| bed.write(".dockerignore", ""),
        &[],
        "MISS COPY --chmod=644 --exclude=*.log conf /conf/: 1 of 2 files differs: conf/x.tmp (added)",
    ),
    ("ignored file", |bed| bed.write("conf/x.tmp", "other"), &[], ALL),
    ("excluded file", |bed| bed.write("conf/two.log", "other"), &[], ALL),
    ("time of a file", |bed| bed.touch("src/a", 1_000_000_000), &[], ALL),
    (
        "owner of a file",
        |bed| {
            // Who is not root gives files to nobody.
            let given = chown(bed.context().join("src/a"), Some(1234), Some(1234));
            assert!(given.is_ok() || !rustix::process::geteuid().is_root());
        },
        &[],
        ALL,
    ),
    (
        "named context",
        |bed| fs::write(bed.join("named/n"), "other").unwrap(),
        &[],
        "MISS COPY --from=named n /n: 1 of 1 file differs: n (content)",
    ),
    (
        "stage that is copied from",
        |bed| bed.write("tools/x", "other"),
        &[],
        "MAYBE COPY --from=tools /tool /tool: stage tools runs",
    ),
    (
        "file of that stage",
        |bed| bed.write("tools/x", "other"),
        &[],
        "MISS COPY tools /t: 1 of 1 file differs: tools/x (content)",
    ),
    (
        "value of an argument",
        |_| {},
        &["--build-arg=VERSION=2"],
        "MISS RUN --network=none true: ARG VERSION (line 5): 1 → 2; line 17 runs before it",
    ),
    (
        "default of an argument",
        |bed| change(bed, "VERSION=1", "VERSION=3"),
        &[],
        "ARG VERSION (line 5) re-runs 4 steps, TIME",
    ),
    (
        "value of an argument that is a secret by its name",
        |_| {},
        &["--build-arg=API_TOKEN=hidden"],
        "MISS RUN --network=none true: ARG API_TOKEN (line 6): *** → ***; line 17 runs before it",
    ),
    (
        "order of arguments",
        |bed| {
            change(bed, "ARG VERSION=1\nARG API_TOKEN=abc\n", "ARG API_TOKEN=abc\nARG VERSION=1\n");
        },
        &[],
        "MISS RUN --network=none true: the order of the variables; line 17 runs before it",
    ),
    (
        "value of a variable",
        |bed| change(bed, "LEVEL=1", "LEVEL=2"),
        &[],
        "MISS RUN --network=none true: ENV LEVEL (line 7): 1 → 2; line 17 runs before it",
    ),
    (
        "new variable",
        |bed| change(bed, "LEVEL=1", "LEVEL=1 NEW=\"\""),
        &[],
        "MISS RUN --network=none true: ENV NEW (line 7): unset → \"\"; line 17 runs before it",
    ),
    (
        "removed variable",
        |bed| change(bed, " LEVEL=1", ""),
        &[],
        "MISS RUN --network=none true: variable LEVEL: 1 → unset; line 17 runs before it",
    ),
    (
        "variable in a heredoc",
        |bed| change(bed, "MODE=fast", "MODE=slow"),
        &[],
        "MISS COPY <<EOF /made: heredoc EOF, line 1: mode fast → mode slow",
    ),
    (
        "body of a heredoc of a copy",
        |bed| change(bed, "mode $MODE\n", "mode $MODE\nmore\n"),
        &[],
        "MISS COPY <<EOF /made: heredoc EOF, line 2: nothing → more",
    ),
    (
        "body of a heredoc of a command",
        |bed| change(bed, "echo one", "echo two"),
        &[],
        "MISS RUN <<EOF (echo two > /h): command, line 1: echo one > /h → echo two > /h",
    ),
    (
        "command",
        |bed| change(bed, "none true", "none false"),
        &[],
        "MISS RUN --network=none false: command: true → false",
    ),
    (
        "network of a command",
        |bed| change(bed, "--network=none", "--network=host"),
        &[],
        "MISS RUN --network=host true: --network: none → host",
    ),
    (
        "new mount",
        |bed| {
            change(bed, "--network=none true", "--network=none --mount=type=tmpfs,target=/t true");
        },
        &[],
        "MISS RUN --network=none --mount=type=tmpfs,target=/t true: mount /t: new",
    ),
    (
        "changed mount",
        |bed| change(bed, "target=/m ", "target=/m,rw "),
        &[],
        "MISS RUN --mount=type=bind,source=src,target=/m,rw --mount=type=secret,id=pass cat /m/a > \
         /a: mount /m: ro → rw",
    ),
    (
        "value of a secret",
        |bed| fs::write(bed.join("secret"), "quite another one").unwrap(),
        &[],
        ALL,
    ),
    (
        "shell",
        |bed| change(bed, "ENV MODE", "SHELL [\"/bin/sh\", \"-ec\"]\nENV MODE"),
        &[],
        "MISS RUN --network=none true: shell: /bin/sh -c → /bin/sh -ec; line 18 runs before it",
    ),
    (
        "user",
        |bed| change(bed, "RUN --network", "USER ann\nRUN --network"),
        &[],
        "MISS RUN --network=none true: user: root → ann",
    ),
    (
        "working directory",
        |bed| change(bed, "WORKDIR /app", "WORKDIR /srv"),
        &[],
        "MISS WORKDIR /srv: working directory: /app → /srv",
    ),
    (
        "mode given by a copy",
        |bed| change(bed, "--chmod=644", "--chmod=u+x"),
        &[],
        "MISS COPY --chmod=u+x --exclude=*.log conf /conf/: --chmod: 0644 → u+x",
    ),
    (
        "destination",
        |bed| change(bed, "/made", "/makes"),
        &[],
        "MISS COPY <<EOF /makes: destination: /made → /makes",
    ),
    (
        "host of the command line",
        |_| {},
        &["--add-host=db:10.0.0.1"],
        "MISS RUN --network=none true: --add-host db: new; line 17 runs before it",
    ),
    (
        "label and command of the image",
        |bed| change(bed, "ENV MODE", "LABEL a=b\nCMD [\"x\"]\nEXPOSE 80\nENV MODE"),
        &[],
        ALL,
    ),
    (
        "name of a stage",
        |bed| {
            bed.write(
                "Dockerfile",
                DOCKERFILE.replace("tools /tool", "kit /tool").replace("AS tools", "AS kit"),
            );
        },
        &[],
        ALL,
    ),
    ("comment and blank line", |bed| change(bed, "WORKDIR", "# a comment\n\nWORKDIR"), &[], ALL),
];

pub(crate) fn every_edit_has_its_line(bed: &Bed) {
    bed.base();
    prepare(bed);
    let base = arguments(bed);
    let base: Vec<&str> = base.iter().map(String::as_str).collect();
    let _ = bed.build(&base).succeeds();
    let mut missing = Vec::new();
    for (what, edit, args, expect) in CASES {
        edit(bed);
        let text = explain(bed, &[&base, args].concat());
        let found = text.lines().any(|line| match expect.strip_suffix("TIME") {
            Some(start) => line.starts_with(start),
            None => line == expect,
        });
        if !found {
            missing.push(format!("{what}: no `{expect}` in:\n{text}"));
        }
        prepare(bed);
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    // Nothing was run or changed by all that.
    assert!(explain(bed, &base).contains(ALL));
}

/// The arguments that every build of the context gets.
fn arguments(bed: &Bed) -> Vec<String> {
    let named = format!("--build-context=named={}", bed.join("named").display());
    let secret = format!("--secret=id=pass,src={}", bed.join("secret").display());
    vec![named, secret]
}
