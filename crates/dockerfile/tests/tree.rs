//! The low-level tree and the typed instructions of small files.

use dfbuild_dockerfile::ast::{Command, Healthcheck, Source};
use dfbuild_dockerfile::{Instruction, InstructionKind, Word, parse, parse_trigger, tree};

fn dump(source: &str, expect: &str) {
    assert_eq!(tree(source).dump(), expect, "{source:?}");
}

/// The instruction behind the `FROM` of a file.
fn only(source: &str) -> Instruction<'_> {
    let parsed = parse(source);
    assert!(
        !parsed.diagnostics.iter().any(dfbuild_dockerfile::Diagnostic::is_error),
        "{:#?}",
        parsed.diagnostics
    );
    parsed.dockerfile.stage(0).expect("there is a FROM").instructions[0].clone()
}

#[test]
fn lines_are_joined() {
    dump("RUN a \\\n  b\\\n\\\nc \\ \n# no\n\n  d", "(run \"a   bc   d\")");
    dump("RUN a \\\\\nUSER b", "(run \"a \\\\\\\\\")\n(user \"b\")");
    dump("# escape=`\nRUN a `\n b \\", "(run \"a  b \\\\\")");
    dump("\u{feff}RUN a\\\r\nb\r\n", "(run \"ab\")");
    dump("  RUN a # b\n  # c\n", "(run \"a # b\")");
    dump("RUN a \\", "(run \"a\")");
}

#[test]
fn each_instruction_splits_its_own_way() {
    dump("ENV a b  c ", "(env \"a\" \"b  c\" \"\")");
    dump("LABEL a=\"b c\" d=e\\ f", "(label \"a\" \"\\\"b c\\\"\" \"=\" \"d\" \"e\\\\ f\" \"=\")");
    dump("ARG a b=\"c d\"", "(arg \"a\" \"b=\\\"c d\\\"\")");
    dump("COPY --from=x \"a b\" c", "(copy [\"--from=x\"] \"\\\"a\" \"b\\\"\" \"c\")");
    dump(
        "HEALTHCHECK --interval=1s cmd [\"a\"]",
        "(healthcheck [\"--interval=1s\"] \"cmd\" \"a\")",
    );
    dump("ONBUILD RUN [\"a\"]", "(onbuild (run \"a\"))");
    dump("NOPE a b", "(nope \"\")");
    dump("CMD []", "(cmd)");
    dump("CMD [\"a\",]", "(cmd \"[\\\"a\\\",]\")");
}

#[test]
fn instructions_know_their_lines() {
    let parsed = parse("# x\nFROM a\n\nRUN b \\\n  c\nCOPY <<E /d\nf\nE\n# end\n");
    let lines: Vec<_> =
        parsed.dockerfile.instructions().map(|it| (it.lines.start, it.lines.end)).collect();
    assert_eq!(lines, [(2, 2), (4, 5), (6, 8)]);
}

#[test]
fn heredocs_are_files_or_scripts() {
    let InstructionKind::Copy(copy) = only("FROM a\nCOPY <<A b <<-'C' /d\n1\nA\n\t2\n\tC\n").kind
    else {
        panic!("a COPY")
    };
    assert!(
        matches!(&copy.sources[0], Source::Path(path) if path.value == "b"),
        "paths come first"
    );
    let files: Vec<_> = copy.sources[1..]
        .iter()
        .map(|it| match it {
            Source::Heredoc(it) => (&*it.name, it.text(), it.expand),
            Source::Path(path) => panic!("{path:?} is no file"),
        })
        .collect();
    assert_eq!(files, [("A", "1\n".into(), true), ("C", "2\n".into(), false)]);
    let InstructionKind::Run(run) = only("FROM a\nRUN cat <<A | sh\necho\nA").kind else {
        panic!("a RUN")
    };
    assert!(matches!(&run.command, Command::Shell(text) if text.value.text() == "cat <<A | sh"));
    assert_eq!(run.heredocs[0].content, "echo\n");
    // A name may stand apart from its marker, in COPY too.
    let InstructionKind::Copy(copy) = only("FROM a\nCOPY << A /d\n1\nA\n").kind else {
        panic!("a COPY")
    };
    assert_eq!(copy.sources.len(), 1);
}

#[test]
fn stages_are_found_by_name_and_number() {
    let parsed = parse("ARG x=1\nFROM a AS One\nRUN b\nFROM one\nFROM c AS one\n");
    assert_eq!(parsed.diagnostics, []);
    let file = parsed.dockerfile;
    assert_eq!(file.global_args().len(), 1);
    assert_eq!(file.stage(0).unwrap().from().name.as_ref().map(Word::as_str), Some("one"));
    assert_eq!(file.stage(0).unwrap().from().alias.map(|it| it.text()).as_deref(), Some("AS One"));
    assert_eq!(
        (file.stage_index("ONE"), file.stage_index("1"), file.stage_index("3")),
        (Some(2), Some(1), None)
    );
}

#[test]
fn comments_document_what_follows() {
    let parsed = parse(
        "# syntax=x\n# not this\n#\n# build the thing\n  # one more\n\nFROM a AS build\n# ignored\nRUN b\n",
    );
    let comments: Vec<_> =
        parsed.dockerfile.stage(0).unwrap().header.comments.iter().map(|it| it.value).collect();
    assert_eq!(comments, ["build the thing", "one more"]);
    assert_eq!(parsed.dockerfile.stage(0).unwrap().doc(), Some("the thing"));
}

#[test]
fn triggers_keep_their_text() {
    let InstructionKind::Onbuild(onbuild) =
        only("FROM a\nOnBuild  RUN --mount=type=tmpfs,target=/t cat <<A\nb\nA\n").kind
    else {
        panic!("an ONBUILD")
    };
    assert_eq!(onbuild.trigger, "RUN --mount=type=tmpfs,target=/t cat <<A\nb\nA");
    let (found, diagnostics) = parse_trigger(&onbuild.trigger);
    assert_eq!(diagnostics, []);
    assert_eq!(
        found.map(|it| it.kind),
        onbuild.instruction.map(|it| {
            // Only the places differ.
            let (again, _) = parse_trigger(&onbuild.trigger);
            drop(it);
            again.expect("a good trigger").kind
        })
    );
    let (found, diagnostics) = parse_trigger("RUN a\nRUN b");
    assert_eq!(
        (found, diagnostics[0].message.as_str()),
        (None, "onbuild trigger should be a single expression")
    );
    assert_eq!(parse_trigger("FROM x").1[0].message, "FROM isn't allowed as an ONBUILD trigger");
}

#[test]
fn healthchecks_have_durations() {
    let InstructionKind::Healthcheck(Healthcheck::Cmd(check)) =
        only("FROM a\nHEALTHCHECK --interval=1m30s --retries=3 CMD curl x").kind
    else {
        panic!("a HEALTHCHECK")
    };
    assert_eq!(
        (check.interval, check.timeout, check.retries),
        (Some(90_000_000_000), None, Some(3))
    );
}
