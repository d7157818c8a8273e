//! `parse`, `expand`, `ignore` and `fmt`: what they print, and how they end.

mod common;

use std::fs;

use common::{dfbuild, folder};

#[test]
fn trees() {
    let folder = folder(&[("Dockerfile", "FROM a AS b\nRUN --network=none <<E\nx\nE\nENV c d\n")]);
    let (code, out, err) = dfbuild(folder.path(), &["parse"]);
    let expect =
        "(from \"a\" \"AS\" \"b\")\n(run [\"--network=none\"] \"<<E\")\n(env \"c\" \"d\" \"\")\n";
    assert_eq!((code, out.as_str(), err.as_str()), (0, expect, ""));
    let (code, out, _) = dfbuild(folder.path(), &["parse", "--format", "json", "Dockerfile"]);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let run = &json["instructions"][1];
    assert_eq!(run["flags"][0]["value"], "--network=none");
    assert_eq!(run["heredocs"][0]["content"], "x\n");
    assert_eq!(run["lines"], serde_json::json!([2, 4]));
    assert_eq!(run["keyword"]["span"]["start"], 12);

    fs::write(folder.path().join("bad"), "FROM a\nRUN <<E\n").expect("writable");
    let (code, out, err) = dfbuild(folder.path(), &["parse", "bad"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("unterminated heredoc"), "{err}");
    fs::write(folder.path().join("bad"), "FROM a\nFRM b\n").expect("writable");
    let (code, out, _) = dfbuild(folder.path(), &["parse", "bad"]);
    assert_eq!((code, out.as_str()), (1, "(from \"a\")\n(frm \"\")\n"));
    let (code, out, err) = dfbuild(folder.path(), &["parse", "--format", "json", "bad"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, err.as_str()), (1, ""));
    assert_eq!(json["diagnostics"][0]["fix"]["text"], "FROM");
}

#[test]
fn a_variable_in_from_is_for_the_conversion_to_refuse() {
    let folder = folder(&[("Dockerfile", "FROM a\nCOPY --from=$x a b\n")]);
    let (code, out, err) = dfbuild(folder.path(), &["parse"]);
    assert_eq!((code, out.as_str()), (0, "(from \"a\")\n(copy [\"--from=$x\"] \"a\" \"b\")\n"));
    assert!(err.starts_with("warning: variable expansion is not supported for --from"), "{err}");
    let (code, _, err) = dfbuild(folder.path(), &["parse", "--expand"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("error: variable expansion is not supported for --from"), "{err}");
}

#[test]
fn instructions_after_expansion() {
    let folder =
        folder(&[("Dockerfile", "ARG V=1\nFROM a:$V\nARG W=$V\nENV X=\"$W y\"\nUSER ${X#* }\n")]);
    let (code, out, err) =
        dfbuild(folder.path(), &["parse", "--expand", "--build-arg", "W=2", "Dockerfile"]);
    let expect = "ARG V=1\nFROM a:1\nARG W=2\nENV X=\"2 y\"\nUSER y\n";
    assert_eq!((code, out.as_str(), err.as_str()), (0, expect, ""));
    fs::write(folder.path().join("Dockerfile"), "FROM a\nUSER ${X:?no user}\n").expect("writable");
    let (code, out, err) = dfbuild(folder.path(), &["parse", "--expand"]);
    assert_eq!((code, out.as_str()), (1, "FROM a\n"));
    assert!(err.contains("X: no user"), "{err}");
}

#[test]
fn words() {
    let folder = folder(&[]);
    let check = |args: &[&str], code: i32, out: &str, err: &str| {
        let mut all = vec!["expand"];
        all.extend(args);
        assert_eq!(
            dfbuild(folder.path(), &all),
            (code, out.to_owned(), err.to_owned()),
            "{args:?}"
        );
    };
    check(&["--env", "V=1.2.3", "${V%.*}", "'a\"b'"], 0, "\"1.2\"\n\"a\\\"b\"\n", "");
    check(&["--env", "V=a b", "--words", "$V c", ""], 0, "[\"a\",\"b\",\"c\"]\n[]\n", "");
    check(
        &["--env", "V=1", "--env", "V=2", "--escape", "`", "--", "-`$V$V\\n"],
        0,
        "\"-$V2\\\\n\"\n",
        "",
    );
    check(&["${X?why}", "b"], 1, "\"b\"\n", "ERROR: failed to process \"${X?why}\": X: why\n");
}

#[test]
fn ignored_paths() {
    let folder = folder(&[
        (".dockerignore", "# logs\n*.log \n!keep.log\ntarget\n"),
        ("D.dockerignore", "**/x\n"),
        ("bad", "a\n[\n"),
    ]);
    let check = |args: &[&str], code: i32, out: &str, err: &str| {
        let mut all = vec!["ignore"];
        all.extend(args);
        assert_eq!(
            dfbuild(folder.path(), &all),
            (code, out.to_owned(), err.to_owned()),
            "{args:?}"
        );
    };
    check(
        &["--", "a.log", "./keep.log", "target/debug/app", "src/a.log", "."],
        0,
        "ignored\t.dockerignore:2:*.log\nincluded\t.dockerignore:3:!keep.log\nignored\t.dockerignore:4:target\n\
         included\t\nincluded\t\n",
        "",
    );
    check(
        &["a.log", "target"],
        0,
        "ignored\t.dockerignore:2:*.log\nignored\t.dockerignore:4:target\n",
        "",
    );
    check(
        &["-f", "D", "--", "a.log", "b/x"],
        0,
        "included\t\nignored\tD.dockerignore:1:**/x\n",
        "",
    );
    fs::write(folder.path().join("all"), "**\n").expect("writable");
    check(&["--file", "all", "--", "/"], 0, "ignored\tall:1:**\n", "");
    check(&["--file", "bad", "--", "a"], 1, "", "ERROR: bad:2: syntax error in pattern\n");
    check(&["sub", "--", "a.log"], 0, "included\t\n", "");
}

#[test]
fn formatting() {
    let messy = "from  a\nRun x  \\  \n  y\n\n\nuser   b";
    let neat = "FROM a\nRUN x  \\\n  y\n\nUSER b\n";
    let folder = folder(&[("Dockerfile", messy), ("neat", neat), ("bad", "FROM a\nENV b\n")]);
    let check = |args: &[&str], code: i32, out: &str| {
        let mut all = vec!["fmt"];
        all.extend(args);
        assert_eq!(dfbuild(folder.path(), &all), (code, out.to_owned(), String::new()), "{args:?}");
    };
    check(&[], 0, neat);
    check(&["."], 0, neat);
    check(&["--check"], 1, "Dockerfile\n");
    check(&["--check", "neat"], 0, "");
    check(&["--diff", "neat"], 0, "");
    let patch = "--- Dockerfile\n+++ Dockerfile\n@@ -1,6 +1,5 @@\n-from  a\n-Run x  \\  \n+FROM a\n\
                 +RUN x  \\\n   y\n \n-\n-user   b\n\\ No newline at end of file\n+USER b\n";
    check(&["--diff"], 1, patch);
    check(&["-w", "."], 0, "");
    assert_eq!(fs::read_to_string(folder.path().join("Dockerfile")).expect("readable"), neat);
    check(&["--check"], 0, "");
    let (code, out, err) = dfbuild(folder.path(), &["fmt", "bad"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("ENV must have two arguments"), "{err}");
    fs::write(folder.path().join("latin"), b"FROM  a\n# \xe9\n").expect("writable");
    let (code, _, err) = dfbuild(folder.path(), &["fmt", "--write", "latin"]);
    assert_eq!((code, err.as_str()), (1, "ERROR: latin is not UTF-8: it stays as it is\n"));
}
