//! Where the language differs from BuildKit on purpose: `docs/compatibility.md` says why.

use dfbuild_dockerfile::ast::{InstructionKind, Source};
use dfbuild_dockerfile::expand::Expander;
use dfbuild_dockerfile::lint::{LintOptions, lint};
use dfbuild_dockerfile::{Severity, parse, tree};

#[test]
fn comments_lose_their_sign_wherever_it_stands() {
    let source = "  # one\n\u{a0}# two\n#three\nFROM a\n";
    let tree = tree(source);
    let comments: Vec<&str> = tree.nodes[0].comments.iter().map(|it| it.value).collect();
    assert_eq!(comments, ["one", "two", "three"]);
}

#[test]
fn an_indented_check_is_none() {
    let rules = |comment: &str| {
        let source = format!("FROM a as b\n{comment}\nFROM b as c\n");
        let options = LintOptions { compat: true, ..LintOptions::default() };
        lint(&source, &parse(&source), &options).findings.len()
    };
    assert_eq!(rules("# check=skip=FromAsCasing"), 1);
    assert_eq!(rules("  # check=skip=FromAsCasing"), 2);
}

#[test]
fn split_words_keep_what_stands_before_a_substitution() {
    let words = |word: &str| Expander::new('\\').expand_words(word, &|_| None).expect("a word");
    assert_eq!(words("a${b:-c}"), ["ac"]);
    assert_eq!(words("a${b:-c}d${b:-e}f"), ["acdef"]);
    assert_eq!(words("x=${b:-\"\"}"), ["x="]);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let source = String::from_utf8_lossy(b"FROM a\nRUN \xe9\n");
    assert_eq!(tree(&source).dump(), "(from \"a\")\n(run \"\u{fffd}\")");
}

#[test]
fn flags_keep_their_letters() {
    assert_eq!(tree("COPY --from=größe a b").dump(), "(copy [\"--from=größe\"] \"a\" \"b\")");
}

#[test]
fn triggers_that_no_build_could_run_have_a_warning() {
    let parsed = parse("FROM a\nONBUILD COPPY x y\n");
    let found: Vec<_> = parsed.diagnostics.iter().map(|it| (it.severity, it.text())).collect();
    let expect = "unknown instruction: COPPY (did you mean COPY?)".to_owned();
    assert_eq!(found, [(Severity::Warning, expect)]);
}

#[test]
fn a_string_of_json_begins_no_heredoc() {
    let parsed = parse("FROM a\nCOPY [\"<<x\", \"/y\"]\n");
    assert_eq!(parsed.diagnostics, []);
    let InstructionKind::Copy(copy) =
        &parsed.dockerfile.stages().next().unwrap().instructions[0].kind
    else {
        panic!("a COPY")
    };
    assert!(matches!(&*copy.sources, [Source::Path(path)] if path.value == "<<x"));
}
