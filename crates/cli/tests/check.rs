//! `check`: what it prints, and how it ends.

mod common;

use std::fs;

use common::{dfbuild, folder};

#[test]
fn findings_for_people() {
    let folder = folder(&[("Dockerfile", "FROM a:1 AS b\nCMD x\n")]);
    let expect = "\
WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:2
--------------------
   1 |     FROM a:1 AS b
   2 | >>> CMD x
--------------------

Check complete, 1 warning has been found!
";
    let ways = [
        &["check"][..],
        &["check", "."],
        &["check", "Dockerfile"],
        &["build", "--check", "."],
        &["--check", "."],
    ];
    for args in ways {
        let (code, out, err) = dfbuild(folder.path(), args);
        assert_eq!((code, out.as_str(), err.as_str()), (1, expect, ""), "{args:?}");
    }
}

#[test]
fn nothing_to_say() {
    let folder = folder(&[("D", "FROM a:1 AS b\nUSER 1\nCMD [\"x\"]\n")]);
    let (code, out, err) = dfbuild(folder.path(), &["check", "-f", "D"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "Check complete, no warnings found.\n", ""));
    let (code, _, err) = dfbuild(folder.path(), &["check"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("ERROR: read Dockerfile ./Dockerfile: No such file"), "{err}");
}

#[test]
fn errors_of_the_file_are_shown_at_their_place() {
    let folder = folder(&[("Dockerfile", "FROM a:1 as b\nCOPPY x /\nRNU y\n")]);
    let (code, out, err) = dfbuild(folder.path(), &["check"]);
    assert_eq!(code, 1);
    assert!(out.ends_with("Check stopped by an error, 1 warning has been found!\n"), "{out}");
    assert!(err.contains("unknown instruction: COPPY (did you mean COPY?)"), "{err}");
    assert!(err.contains(" --> Dockerfile:3:1"), "all errors are shown: {err}");
    // A conversion error is none of the parser's.
    fs::write(folder.path().join("Dockerfile"), "FROM a:1\nCOPY --from=9 x /\n").expect("writable");
    let (code, _, err) = dfbuild(folder.path(), &["check"]);
    assert_eq!(code, 1);
    assert!(err.contains("invalid stage index 9") && err.contains("Dockerfile:2:1"), "{err}");
}

#[test]
fn findings_for_programs() {
    let folder = folder(&[("Dockerfile", "FROM a:1 AS b\nENV é  x\n")]);
    let (code, out, err) = dfbuild(folder.path(), &["check", "--format", "json"]);
    assert_eq!((code, err.as_str()), (1, ""));
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let first = &json[0];
    assert_eq!(first["rule"], "LegacyKeyValueFormat");
    assert_eq!(first["level"], "warning");
    assert_eq!(
        first["detail"],
        "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format"
    );
    assert_eq!((first["line"].as_u64(), first["end_line"].as_u64()), (Some(2), Some(2)));
    assert_eq!(first["place"]["end_column"], 9);
    assert_eq!(first["url"], "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/");

    let (code, out, _) = dfbuild(folder.path(), &["check", "--format", "github"]);
    assert_eq!(code, 1);
    assert_eq!(
        out,
        "::warning file=Dockerfile,line=2,endLine=2,title=LegacyKeyValueFormat::\"ENV key=value\" should be used instead of \
         legacy \"ENV key value\" format%0Ahttps://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/\n"
    );

    let (code, out, _) = dfbuild(folder.path(), &["check", "--format", "sarif"]);
    assert_eq!(code, 1);
    let sarif: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "LegacyKeyValueFormat");
    let result = &run["results"][0];
    assert_eq!(
        (result["ruleIndex"].as_u64(), result["level"].as_str()),
        (Some(0), Some("warning"))
    );
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!((region["startLine"].as_u64(), region["startColumn"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn the_options_of_a_build_count() {
    let folder = folder(&[
        ("Dockerfile", "ARG T\nFROM a:$T AS b\nCOPY secret /\nFROM b AS c\nCMD x\n"),
        (".dockerignore", "secret\n"),
    ]);
    let rules = |args: &[&str]| {
        let mut all = vec!["check", "--format", "json", "--compat"];
        all.extend(args);
        let (_, out, _) = dfbuild(folder.path(), &all);
        let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let rules = json.as_array().expect("a list").iter();
        rules.map(|it| it["rule"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        rules(&["--build-arg", "T=1", "--target", "b"]),
        ["InvalidDefaultArgInFrom", "CopyIgnoredFile"]
    );
    assert_eq!(
        rules(&["--build-arg", "T=1"]),
        ["InvalidDefaultArgInFrom", "CopyIgnoredFile", "JSONArgsRecommended"]
    );
    let skip = ["--build-arg", "T=1", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all"];
    assert!(rules(&skip).is_empty());
}

#[test]
fn advice_counts_only_if_told() {
    let folder = folder(&[("Dockerfile", "FROM a:1\nADD x /\n")]);
    let expect = "\
ADVICE: DF007 AddForCopy
ADD does the same as COPY here
Dockerfile:2
--------------------
   1 |     FROM a:1
   2 | >>> ADD x /
--------------------
help: write COPY: nothing is unpacked and nothing fetched
fix: 2:1: replace `ADD` by `COPY`

";
    let (code, out, _) = dfbuild(folder.path(), &["check"]);
    let end =
        "1 piece of advice, which counts with --strict.\nCheck complete, no warnings found.\n";
    assert_eq!((code, out), (0, format!("{expect}{end}")));
    let (code, out, _) = dfbuild(folder.path(), &["check", "--strict"]);
    let end = "Check complete, 1 warning has been found!\n";
    assert_eq!((code, out), (1, format!("{expect}{end}")));
    let (code, out, _) = dfbuild(folder.path(), &["check", "--compat"]);
    assert_eq!((code, out.as_str()), (0, "Check complete, no warnings found.\n"));
    let (code, out, _) = dfbuild(folder.path(), &["check", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, 0);
    assert_eq!(
        (json[0]["level"].as_str(), json[0]["fix"]["text"].as_str()),
        (Some("advice"), Some("COPY"))
    );
}

/// What an object of SARIF 2.1.0 may have and must have, of what is written here. The schema allows nothing else in any.
fn sarif_shape(kind: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        "log" => (&["$schema", "version", "runs"], &["version", "runs"]),
        "run" => (&["tool", "columnKind", "results"], &["tool"]),
        "tool" => (&["driver"], &["driver"]),
        "driver" => (&["name", "version", "rules"], &["name"]),
        "rule" => (&["id", "name", "shortDescription", "defaultConfiguration", "helpUri"], &["id"]),
        "configuration" => (&["level"], &[]),
        "result" => (
            &["ruleId", "ruleIndex", "level", "message", "locations", "fixes"],
            &["message", "ruleId", "ruleIndex"],
        ),
        "text" => (&["text"], &["text"]),
        "location" => (&["physicalLocation"], &[]),
        "physicalLocation" => (&["artifactLocation", "region"], &["artifactLocation"]),
        "artifactLocation" => (&["uri"], &["uri"]),
        "region" => (&["startLine", "startColumn", "endLine", "endColumn"], &["startLine"]),
        "fix" => (&["artifactChanges"], &["artifactChanges"]),
        "artifactChange" => {
            (&["artifactLocation", "replacements"], &["artifactLocation", "replacements"])
        }
        "replacement" => (&["deletedRegion", "insertedContent"], &["deletedRegion"]),
        other => panic!("no shape of {other}"),
    }
}

/// The kind of what stands under a name, in lists too; none for plain values.
fn sarif_kind(name: &str) -> Option<&'static str> {
    Some(match name {
        "runs" => "run",
        "tool" => "tool",
        "driver" => "driver",
        "rules" => "rule",
        "shortDescription" | "message" | "insertedContent" => "text",
        "defaultConfiguration" => "configuration",
        "results" => "result",
        "locations" => "location",
        "physicalLocation" => "physicalLocation",
        "artifactLocation" => "artifactLocation",
        "region" | "deletedRegion" => "region",
        "fixes" => "fix",
        "artifactChanges" => "artifactChange",
        "replacements" => "replacement",
        _ => return None,
    })
}

fn check_sarif(kind: &str, value: &serde_json::Value) {
    let object = value.as_object().unwrap_or_else(|| panic!("{kind} is an object: {value}"));
    let (allowed, required) = sarif_shape(kind);
    for name in required {
        assert!(object.contains_key(*name), "{kind} has {name}: {value}");
    }
    for (name, value) in object {
        assert!(allowed.contains(&name.as_str()), "{kind} may not have {name}");
        match (name.as_str(), sarif_kind(name)) {
            (_, Some(kind)) => match value.as_array() {
                Some(list) => list.iter().for_each(|it| check_sarif(kind, it)),
                None => check_sarif(kind, value),
            },
            ("level", _) => {
                let level = value.as_str().expect("a level is a text");
                assert!(["none", "note", "warning", "error"].contains(&level), "{level}");
            }
            ("columnKind", _) => assert_eq!(value, "unicodeCodePoints"),
            ("ruleIndex", _) => assert!(value.is_u64(), "{value}"),
            ("startLine" | "startColumn" | "endLine" | "endColumn", _) => {
                assert!(value.as_u64().is_some_and(|it| it > 0), "{name}: {value}");
            }
            ("helpUri" | "$schema", _) => {
                assert!(value.as_str().is_some_and(|it| it.starts_with("https://")), "{value}");
            }
            ("uri", _) => assert_eq!(value, "a%20b/D%C3%A9"),
            _ => assert!(value.is_string(), "{name}: {value}"),
        }
    }
}

#[test]
fn sarif_has_the_shape_of_its_schema() {
    let folder = folder(&[]);
    fs::create_dir(folder.path().join("a b")).expect("a folder");
    let text =
        "FROM a as b\nENV é  x\nADD x /\nADD y /z\nRUN a &&\nRNU <<A\nCOPY --from=$x a b c\n";
    fs::write(folder.path().join("a b/Dé"), text).expect("writable");
    let (code, out, _) = dfbuild(folder.path(), &["check", "--format", "sarif", "-f", "a b/Dé"]);
    assert_eq!(code, 1);
    let sarif: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    check_sarif("log", &sarif);
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert!(results.iter().any(|it| it.get("fixes").is_some()), "{out}");
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("a number");
        let rule = &rules[usize::try_from(index).expect("small")];
        assert_eq!(rule["id"], result["ruleId"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let place = |line: &str, column: &str| (region[line].as_u64(), region[column].as_u64());
        assert!(place("startLine", "startColumn") <= place("endLine", "endColumn"), "{region}");
    }
}

#[test]
fn text_has_an_end_and_json_has_everything() {
    let folder = folder(&[("Dockerfile", &format!("FROM a:1\n{}", "ENV a b\n".repeat(1002)))]);
    let (_, out, _) = dfbuild(folder.path(), &["check"]);
    assert_eq!(out.matches("WARNING: LegacyKeyValueFormat").count(), 1000);
    let end = "\n2 more are not shown; --format json has them all.\n\n\
               Check complete, 1002 warnings have been found!\n";
    assert!(out.ends_with(end), "{}", &out[out.len() - 200..]);
    let (_, out, _) = dfbuild(folder.path(), &["check", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(1002));
}

#[test]
fn doubts_of_the_parser_are_told_of() {
    let folder = folder(&[("Dockerfile", "FROM busybox:1\r\nRUN <<EOF\r\necho hello\r\nEOF\r\n")]);
    let check = |args: &[&str]| dfbuild(folder.path(), &[&["check"], args].concat());
    let (code, out, err) = check(&[]);
    let told = "Check complete, 1 warning follows, which counts with --strict.\n";
    assert!(code == 0 && out.ends_with(told), "{out}");
    assert!(err.contains("CR LF"), "{err}");
    assert_eq!(check(&["--strict"]).0, 1);
    let (code, out, _) = check(&["--format=json"]);
    assert!(code == 0 && out.contains("DockerfileSyntax") && out.contains("CR LF"), "{out}");
}

#[test]
fn the_other_name_of_a_dockerfile_is_named() {
    let folder = folder(&[("Containerfile", "FROM scratch\n")]);
    let (code, _, err) = dfbuild(folder.path(), &["build", "."]);
    assert!(
        code == 1 && err.contains("hint: there is a Containerfile: -f ./Containerfile"),
        "{err}"
    );
}
