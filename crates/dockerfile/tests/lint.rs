//! The rules of the reference implementation.

use std::collections::BTreeMap;

use dfbuild_dockerfile::lint::{BaseImage, Level, LintOptions, Report, lint};
use dfbuild_dockerfile::parse;
use dfbuild_pattern::PatternSet;

fn run(source: &str, options: &LintOptions) -> Report {
    lint(source, &parse(source), options)
}

/// The findings as `line rule: detail`.
fn warnings(report: &Report) -> Vec<String> {
    let line = |it: &dfbuild_dockerfile::lint::Finding| {
        format!("{} {}: {}", it.lines.start, it.rule, it.detail)
    };
    report.of_level(Level::Warning).map(line).collect()
}

fn check_with(source: &str, options: &LintOptions, expect: &[&str]) {
    let report = run(source, options);
    assert_eq!(warnings(&report), expect, "{source}");
    assert_eq!(report.error, None, "{source}");
}

fn check(source: &str, expect: &[&str]) {
    check_with(source, &LintOptions::default(), expect);
}

fn fails(source: &str, message: &str) {
    let error = run(source, &LintOptions::default()).error.map(|it| it.message);
    assert_eq!(error.as_deref(), Some(message), "{source}");
}

#[test]
fn sources_from_elsewhere() {
    check("FROM scratch\nCOPY github.com/a/b /\n", &[]);
    fails("FROM scratch\nCOPY git@example.com:a/b /\n", "source can't be a git ref for COPY");
    fails("FROM scratch\nCOPY https://example.com/a /\n", "source can't be a URL for COPY");
    fails(
        "FROM scratch\nADD --checksum=sha256:0 https://example.com/a https://example.com/b /\n",
        "checksum can't be specified for multiple sources",
    );
}

#[test]
fn words_of_single_instructions() {
    check(
        "FROM a:1 as Build\nMAINTAINER me\n",
        &[
            "1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match",
            "1 StageNameCasing: Stage name 'Build' should be lowercase",
            "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
        ],
    );
    check(
        "FROM a:1\nRUN x \\\n\n  y \\\n\n  z\n",
        &["3 NoEmptyContinuation: Empty continuation line"],
    );
    check(
        "FROM a:1\nENV a b\nlabel c d\n",
        &[
            "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            "3 ConsistentInstructionCasing: Command 'label' should match the case of the command majority (uppercase)",
            "3 LegacyKeyValueFormat: \"label key=value\" should be used instead of legacy \"label key value\" format",
        ],
    );
}

#[test]
fn stages() {
    check(
        "FROM a:1 AS x\nFROM a:1 AS x\nFROM a:1 AS scratch\n",
        &[
            "2 DuplicateStageName: Duplicate stage name \"x\", stage names should be unique",
            "3 ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\"",
        ],
    );
    check(
        "from a:1\nRUN x\ncmd [\"y\"]\n",
        &[
            "2 ConsistentInstructionCasing: Command 'RUN' should match the case of the command majority (lowercase)",
        ],
    );
}

#[test]
fn arguments_of_from() {
    check(
        "ARG VERSION=1\nFROM a:1${VERSOIN} AS b\n",
        &["2 UndefinedArgInFrom: FROM argument 'VERSOIN' is not declared (did you mean VERSION?)"],
    );
    let given = LintOptions {
        build_args: BTreeMap::from([("TAG".to_owned(), "1".to_owned())]),
        ..LintOptions::default()
    };
    check_with(
        "ARG TAG\nFROM a:$TAG\n",
        &given,
        &[
            "2 InvalidDefaultArgInFrom: Default value for ARG a:$TAG results in empty or invalid base image name",
        ],
    );
    check(
        "FROM --platform=$TARGETPLATFORM a:1\nFROM --platform=linux/arm64 a:1 AS x\nFROM --platform=linux/arm64 a:1 AS x-arm64\n",
        &[
            "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            "2 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/arm64\"",
        ],
    );
}

#[test]
fn variables() {
    check(
        "FROM a:1\nARG DIR=x\nENV A=$DRI B=${A:-}\nUSER $DIR$NOPE\n",
        &[
            "3 UndefinedVar: Usage of undefined variable '$A'",
            "3 UndefinedVar: Usage of undefined variable '$DRI' (did you mean $DIR?)",
            "4 UndefinedVar: Usage of undefined variable '$NOPE'",
        ],
    );
    // An argument without a value is declared all the same, and the stage below hands its variables up.
    check("FROM a:1 AS x\nARG A\nENV B=1\nFROM x\nWORKDIR /$A$B\n", &[]);
    let options = LintOptions {
        bases: BTreeMap::from([(
            "a:1".to_owned(),
            BaseImage { env: vec![("HOME".to_owned(), "/h".to_owned())], ..BaseImage::default() },
        )]),
        ..LintOptions::default()
    };
    check_with("FROM a:1\nWORKDIR $HOME\n", &options, &[]);
    check(
        "FROM a:1\nARG GITHUB_TOKEN KEY_FILE\nENV db_Password=x\n",
        &[
            "2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"GITHUB_TOKEN\")",
            "3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"db_Password\")",
        ],
    );
}

#[test]
fn configuration() {
    check(
        "FROM a:1\nWORKDIR x\nWORKDIR y\nCMD a\nCMD [\"b\"]\n",
        &[
            "2 WorkdirRelativePath: Relative workdir \"x\" can have unexpected results if the base image changes",
            "4 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
            "4 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        ],
    );
    check("FROM a:1 AS x\nSHELL [\"bash\", \"-c\"]\nFROM x\nENTRYPOINT y\n", &[]);
    check(
        "FROM a:1\nEXPOSE 80/TCP 8080:80 [::1]::90\n",
        &[
            "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '8080:80'",
            "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '[::1]::90'",
            "2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
        ],
    );
}

#[test]
fn ignored_files() {
    let ignoring = |patterns: &[&str]| LintOptions {
        ignore: Some(PatternSet::from_texts(patterns).unwrap()),
        ..LintOptions::default()
    };
    let source = "FROM a:1\nCOPY ./secret/key a /\nADD secret /\nCOPY --from=b:1 secret /\nCOPY <<secret /\nsecret\n";
    check_with(
        source,
        &ignoring(&["secret"]),
        &[
            "2 CopyIgnoredFile: Attempting to Copy file \"secret/key\" that is excluded by .dockerignore",
            "3 CopyIgnoredFile: Attempting to Add file \"secret\" that is excluded by .dockerignore",
        ],
    );
    check_with(source, &ignoring(&["secret", "!secret/key"]), &[]);
    check_with("FROM a:1\nCOPY . /\n", &ignoring(&["*.md"]), &[]);
    check_with(
        "FROM a:1\nCOPY . /\n",
        &ignoring(&["**"]),
        &["2 CopyIgnoredFile: Attempting to Copy file \".\" that is excluded by .dockerignore"],
    );
}

#[test]
fn the_platform_of_a_pulled_image() {
    let options = LintOptions {
        bases: BTreeMap::from([(
            "a:1".to_owned(),
            BaseImage { platform: Some("linux/arm64".to_owned()), ..BaseImage::default() },
        )]),
        ..LintOptions::default()
    };
    let report = run("FROM a:1\n", &options);
    assert_eq!(
        warnings(&report),
        [
            "1 InvalidBaseImagePlatform: Base image a:1 was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build"
        ]
    );
    assert_eq!(report.findings[0].url, None);
}

#[test]
fn experimental_rules_must_be_asked_for() {
    let text = "# the version\nARG VERSION\n# x is good\nFROM a:1 AS x\n# A b\nARG A B\n# other\nARG A B\n";
    check(text, &[]);
    check(
        &format!("# check=skip=all;experimental=InvalidDefinitionDescription\n\n{text}"),
        &[
            "4 InvalidDefinitionDescription: Comment for ARG should follow the format: `# VERSION <description>`",
            "10 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
        ],
    );
}

#[test]
fn rules_can_be_switched_off() {
    let text = "FROM a:1\nCMD x\nMAINTAINER y\n";
    check(&format!("# check=skip=all\n{text}"), &[]);
    check(&format!("# check=skip=MaintainerDeprecated,JSONArgsRecommended\n{text}"), &[]);
    check("FROM a:1\n# check=skip=JSONArgsRecommended // why\nCMD x\n", &[]);
    // The comment must stand right above, and not be indented.
    assert_eq!(
        run("FROM a:1\n  # check=skip=all\nCMD x\n", &LintOptions::default()).findings.len(),
        1
    );
    let options = LintOptions {
        build_args: BTreeMap::from([(
            "BUILDKIT_DOCKERFILE_CHECK".to_owned(),
            "skip=all".to_owned(),
        )]),
        ..LintOptions::default()
    };
    check_with(&format!("# check=error=true\n{text}"), &options, &[]);
}

#[test]
fn findings_can_be_failures() {
    let report =
        run("# check=error=true\nFROM a:1\nCMD x\nMAINTAINER y\n", &LintOptions::default());
    assert_eq!(
        report.violation.as_deref(),
        Some("lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated")
    );
    assert_eq!(run("# check=error=true\nFROM a\n", &LintOptions::default()).violation, None);
    fails(
        "# check=what=1\nFROM a\n",
        "failed to parse check options: invalid check option \"what\"",
    );
}

#[test]
fn only_what_the_target_needs() {
    let source = "FROM a:1 AS x\nCMD x\nFROM a:1 AS y\nCMD y\nFROM y AS z\n";
    let options = |target: Option<&str>, all_stages| LintOptions {
        target: target.map(str::to_owned),
        all_stages,
        ..LintOptions::default()
    };
    let lines = |options| {
        run(source, &options).findings.iter().map(|it| it.lines.start).collect::<Vec<_>>()
    };
    assert_eq!(lines(options(None, true)), [2, 4]);
    assert_eq!(lines(options(None, false)), [4]);
    assert_eq!(lines(options(Some("x"), true)), [2]);
    let error = run(source, &options(Some("q"), true)).error.unwrap();
    assert_eq!(error.message, "target stage \"q\" could not be found");
}

#[test]
fn errors_stop_the_conversion_where_the_reference_stops() {
    fails("FROM a\nRUN <<E\n", "unterminated heredoc");
    fails("FROM a\nBANANA\n", "dockerfile parse error on line 2: unknown instruction: BANANA");
    fails("RUN x\n", "no build stage in current context");
    fails("ARG X\nFROM $X\n", "base name ($X) should not be blank");
    fails("FROM a:\n", "failed to parse stage name \"a:\": invalid reference format");
    fails("FROM a\nCOPY --from=7 a /\n", "invalid stage index 7");
    fails("FROM a AS b\nCOPY --from=b a /\n", "circular dependency detected on stage: b");
    fails(
        "FROM a AS b\nCOPY --from=c a /\nFROM a AS c\n",
        "cannot copy from stage \"c\", it needs to be defined before current stage \"b\"",
    );
    fails("FROM a\nSTOPSIGNAL NOPE\n", "invalid signal: NOPE");
    fails("FROM a\nEXPOSE x\n", "invalid containerPort: x");
    fails("FROM a\nENV A=${B:?why}\n", "failed to process \"${B:?why}\": B: why");
    fails("FROM a\nRUN --mount=target=/ x\n", "invalid mount target \"/\"");
    // Rules that look at words run up to the first bad instruction.
    let report = run("FROM a as b\nMAINTAINER x\nFOO\nMAINTAINER y\n", &LintOptions::default());
    assert_eq!(
        report.of_level(Level::Warning).map(|it| it.lines.start).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn triggers_of_stages_below_run_at_from() {
    check(
        "FROM a:1 AS x\nONBUILD CMD x\nFROM x\n",
        &[
            "3 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        ],
    );
}

#[test]
fn names_of_stages_are_found_in_any_case_unless_told_otherwise() {
    let source = "FROM a:1 AS x\nFROM X\n";
    assert_eq!(run(source, &LintOptions::default()).error, None);
    let compat = LintOptions { compat: true, ..LintOptions::default() };
    assert!(run(source, &compat).error.is_some());
}
