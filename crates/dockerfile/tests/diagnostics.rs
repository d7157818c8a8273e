//! One position test for each diagnostic: what is said, and exactly which text it is said of.

use dfbuild_dockerfile::{Severity, parse};

/// `source` has the wrong text between `«` and `»`.
fn check(source: &str, severity: Severity, message: &str) {
    let start = source.find('«').expect("a start mark");
    let plain = source.replacen('«', "", 1);
    let end = plain.find('»').expect("an end mark");
    let plain = plain.replacen('»', "", 1);
    let parsed = parse(&plain);
    let found: Vec<_> = parsed
        .diagnostics
        .iter()
        .map(|it| (it.span.start, it.span.end, it.severity, it.full_text()))
        .collect();
    assert!(
        found.contains(&(start, end, severity, message.to_owned())),
        "{plain:?} should have {message:?} at {start}..{end}, but has {found:#?}"
    );
}

fn error(source: &str, message: &str) {
    check(source, Severity::Error, message);
}

/// An error of the instruction in line 2.
fn instruction_error(instruction: &str, message: &str) {
    check(
        &format!("FROM a\n{instruction}\n"),
        Severity::Error,
        &format!("dockerfile parse error on line 2: {message}"),
    );
}

#[test]
fn whole_files() {
    error("«»", "the Dockerfile cannot be empty");
    error("# only this«»\n", "file with no instructions");
    error("ARG a«»\n", "dockerfile contains no stages to build");
    error("«RUN» a\nFROM b", "no build stage in current context");
}

#[test]
fn directives() {
    error("# escape=«x»\nFROM a", "invalid escape token 'x' does not match ` or \\");
    error("# escape=`\n# ESCAPE=«`»\nFROM a", "only one escape parser directive can be used");
}

#[test]
fn lines() {
    let long = "x".repeat(70_000);
    error(
        &format!("FROM a\n«RUN {long}»\n"),
        "dockerfile line greater than max allowed size of 65535",
    );
    check(
        "FROM a\nRUN b \\\n«»\n  c\n",
        Severity::Warning,
        "Empty continuation line found in: RUN b   c",
    );
}

#[test]
fn unknown_names() {
    instruction_error("«RUNN» x", "unknown instruction: RUNN (did you mean RUN?)");
    instruction_error("«EOF»", "unknown instruction: EOF");
    instruction_error("«frobnicate» x", "unknown instruction: frobnicate");
    instruction_error("COPY «--form»=a b c", "unknown flag: --form (did you mean from?)");
    instruction_error("ENV «--x» a=b", "unknown flag: --x");
}

#[test]
fn flags() {
    instruction_error("COPY --link «--link» a b", "duplicate flag specified: --link");
    instruction_error("COPY «--link=» a b", "missing a value on flag: --link");
    instruction_error("COPY «--from» a b", "missing a value on flag: --from");
    instruction_error("COPY «--link=yes» a b", "expecting boolean value for flag --link, not: yes");
    instruction_error("RUN --network=«x» y", "invalid network mode \"x\"");
    instruction_error("RUN --security=«x» y", "security \"x\" is not valid");
    instruction_error("RUN --device=«a,b» y", "invalid field 'b' must be a key=value pair");
    instruction_error(
        "RUN --mount=«from=$x,target=/y» z",
        "'from' doesn't support variable expansion, define alias stage instead",
    );
}

#[test]
fn arguments() {
    instruction_error("«ARG»", "ARG requires at least one argument");
    instruction_error("«USER»", "USER requires exactly one argument");
    instruction_error(
        "«COPY» a",
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
    );
    instruction_error("FROM «a b»", "FROM requires either one or three arguments");
    instruction_error(
        "FROM a AS «2b»",
        "invalid name for build stage: \"2b\", name can't start with a number or contain symbols",
    );
    instruction_error("VOLUME [\"a\", «\" \"»]", "VOLUME specified can not be an empty string");
    instruction_error("SHELL «/bin/sh -c»", "SHELL requires the arguments to be in JSON form");
    instruction_error(
        "ONBUILD «ONBUILD» RUN x",
        "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
    );
    instruction_error("ONBUILD «from» x", "FROM isn't allowed as an ONBUILD trigger");
}

#[test]
fn words() {
    error(
        "FROM a\nCMD [\"b\", «3»]",
        "when using JSON array syntax, arrays must be comprised of strings only",
    );
    error("FROM a\nENV «b»", "ENV must have two arguments");
    error(
        "FROM a\nLABEL b=1 «c»",
        "Syntax error - can't find = in \"c\". Must be of the form: name=value",
    );
    instruction_error("ENV «=»b", "ENV names can not be blank");
    instruction_error("ARG «=b»", "ARG names can not be blank");
    error(
        "FROM a\nCOPY --from=«$b» c d",
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a \
         workaround",
    );
}

#[test]
fn healthchecks() {
    instruction_error("HEALTHCHECK NONE «x»", "HEALTHCHECK NONE takes no arguments");
    instruction_error("HEALTHCHECK «foo» x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
    instruction_error("HEALTHCHECK CMD«»", "Missing command after HEALTHCHECK CMD");
    instruction_error("HEALTHCHECK --interval=«5» CMD x", "time: missing unit in duration \"5\"");
    instruction_error(
        "HEALTHCHECK --timeout=«5ns» CMD x",
        "Interval \"timeout\" cannot be less than 1ms",
    );
    instruction_error("HEALTHCHECK --retries=«-1» CMD x", "--retries cannot be negative (-1)");
    instruction_error(
        "HEALTHCHECK --retries=«x» CMD x",
        "strconv.ParseInt: parsing \"x\": invalid syntax",
    );
}

#[test]
fn heredocs() {
    error("FROM a\nRUN «<<END»\nb\n  END\n", "unterminated heredoc");
    error("FROM a\nRUN b «<< END»\nc\n", "unterminated heredoc");
    instruction_error("COPY a «<<END»\nEND", "COPY cannot accept a heredoc as a destination");
}

#[test]
fn suspicious_text() {
    check("FROM a\nRUN b «&&»\n", Severity::Warning, "the command ends with `&&`");
    let message = "this looks like a JSON array, but is none, so it is taken as it stands";
    check("FROM a\nCMD «['b', 'c']»\n", Severity::Warning, message);
    check("FROM a\nCMD «[“b”]»\n", Severity::Warning, message);
    assert_eq!(parse("FROM a\nRUN [ \"$b,c\" = d ]\n").diagnostics, []);
}

#[test]
fn several_sources_need_a_directory() {
    let message = |dest: &str| format!("several sources, but `{dest}` does not end with `/`");
    check("FROM a\nCOPY b c «/d»\n", Severity::Warning, &message("/d"));
    check("FROM a\nONBUILD ADD [\"b\", \"c\", «\"d\"»]\n", Severity::Warning, &message("d"));
    for good in
        ["COPY b c d/", "COPY b c .", "COPY b c ./.", "COPY b c $d", "COPY b d", "COPY b/ c/ d"]
    {
        assert_eq!(parse(&format!("FROM a\n{good}\n")).diagnostics, [], "{good}");
    }
    let fix = parse("FROM a\nCOPY [\"b\", \"c\", \"d\"]\n").diagnostics[0].fix.clone();
    assert_eq!(
        fix.map(|it| (it.span.start, it.span.end, it.replacement)),
        Some((25, 25, "/".to_owned()))
    );
}

#[test]
fn curly_quotes_are_letters() {
    let message = "these quotes become a part of the value";
    check("FROM a\nENV b=«“c”»\n", Severity::Warning, message);
    check("FROM a\nARG «b=‘c’»\n", Severity::Warning, message);
    check("FROM a\nENV b «“c d”»\n", Severity::Warning, message);
    let parsed = parse("FROM a\nENV b=“c d”\n");
    assert!(parsed.diagnostics[0].is_error());
    assert!(parsed.diagnostics[0].help.as_deref().unwrap_or_default().contains("curly"));
    assert_eq!(parse("FROM a\nENV b=c”\nRUN echo “x”\n").diagnostics, []);
}

#[test]
fn windows_line_ends_in_a_script() {
    let message = "the lines of this heredoc end with CR LF, as on Windows";
    check("FROM a\r\nRUN «<<E»\r\nb\r\nE\r\n", Severity::Warning, message);
    let fix = parse("FROM a\nRUN <<E\nb\r\nE\n").diagnostics[0].fix.clone();
    assert_eq!(fix.map(|it| it.replacement).as_deref(), Some("b\n"));
    assert_eq!(parse("FROM a\nCOPY <<E /x\nb\r\nE\n").diagnostics, [], "files may have them");
}

#[test]
fn a_blank_behind_the_marker_is_explained() {
    let parsed = parse("FROM a\nRUN cat << EOF\nc\n");
    let help = parsed.diagnostics[0].help.as_deref().unwrap_or_default();
    assert!(help.contains("begins a heredoc"), "{help}");
}

#[test]
fn misspelt_flags_in_quotes_have_whole_places() {
    check(
        "FROM a\nRUN «--devicu\"ü x\"=y» z\n",
        Severity::Error,
        "dockerfile parse error on line 2: unknown flag: --devicuü x",
    );
}

#[test]
fn spans_go_through_continuations() {
    instruction_error(
        "COPY \\\n  --link \\\n  «--li\\\nnk» a b",
        "duplicate flag specified: --link",
    );
}

#[test]
fn one_run_reports_everything() {
    let parsed = parse("FRM a\nFROM b c\nRUN x\nFROM d\nCOPY e\nUSER\nCMD [1]\nRUN ok\n");
    let found: Vec<_> = parsed.diagnostics.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "unknown instruction: FRM",
            "FROM requires either one or three arguments",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            "USER requires exactly one argument",
            "when using JSON array syntax, arrays must be comprised of strings only",
        ]
    );
    assert_eq!(parsed.dockerfile.stages().len(), 1);
    assert_eq!(
        parsed.dockerfile.stage(0).unwrap().instructions.len(),
        1,
        "the good instruction is kept"
    );
}

#[test]
fn reading_goes_on_behind_an_indented_terminator() {
    let parsed = parse("FROM a\nRUN <<END\nb\n  END\nFOO\n");
    let found: Vec<_> = parsed.diagnostics.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(found, ["unterminated heredoc", "unknown instruction: FOO"]);
    assert!(parsed.diagnostics[0].help.as_deref().unwrap_or_default().contains("`<<-`"));
    assert!(parsed.diagnostics[0].fix.is_some());
}

#[test]
fn lost_lines_are_reported_once_and_explained() {
    let parsed = parse(
        "FROM a\nRUN apt-get update &&\n    apt-get install -y b\n    more words here\nUSER c\n",
    );
    let errors: Vec<_> = parsed.diagnostics.iter().filter(|it| it.is_error()).collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0].help.as_deref(), Some("the line above ends without `\\`"));
}
