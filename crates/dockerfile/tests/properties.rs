//! What holds for every input.

use dfbuild_dockerfile::expand::Expander;
use dfbuild_dockerfile::format::{format, same_meaning};
use dfbuild_dockerfile::lint::{LintOptions, lint};
use dfbuild_dockerfile::{Span, parse, parse_trigger, tree};
use proptest::prelude::*;

/// Pieces from which files are made that are often almost right.
fn source() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "FROM", "RUN", "COPY", "ENV", "ARG", "CMD", "ONBUILD", "HEALTHCHECK", "LABEL", "VOLUME", "SHELL", "EXPOSE", "ADD",
        ]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "\n", "\r\n", " ", "\t", "\\", "`", "\\\n", " \\ \n", "#", "# escape=`\n", "<<EOF", "<<-'E'", "<< X", "EOF\n", "\tE\n",
        ]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "--from=", "--mount=type=", "--", "=", "\"", "'", "[", "]", ",", "$", "${a", ":-", "}", "/", "AS", "a", "ü", "\u{a0}",
            "\u{feff}", "\"a\"", "a=b",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check_span(source: &str, span: Span) {
    assert!(span.start <= span.end && span.end <= source.len(), "{span:?} in {source:?}");
    assert!(
        source.is_char_boundary(span.start) && source.is_char_boundary(span.end),
        "{span:?} in {source:?}"
    );
}

proptest! {
    #[test]
    fn parsing_never_panics_and_spans_are_text(source in source()) {
        let parsed = parse(&source);
        for diagnostic in &parsed.diagnostics {
            check_span(&source, diagnostic.span);
            for label in &diagnostic.labels {
                check_span(&source, label.span);
            }
            if let Some(fix) = &diagnostic.fix {
                check_span(&source, fix.span);
            }
        }
        for instruction in parsed.dockerfile.instructions() {
            check_span(&source, instruction.span);
            check_span(&source, instruction.head);
            check_span(&source, instruction.keyword);
        }
        for node in tree(&source).nodes {
            let comments = node.comments.iter().map(|it| it.span);
            for span in node.args.iter().chain(&node.flags).map(|it| it.span).chain(comments) {
                check_span(&source, span);
            }
        }
    }

    #[test]
    fn formatting_keeps_the_tree_and_is_done_once(source in source()) {
        let formatted = format(&source);
        let (before, after) = (tree(&source), tree(&formatted));
        prop_assert!(same_meaning(&before, &after), "{formatted:?}");
        prop_assert_eq!(before.dump(), after.dump());
        prop_assert_eq!(format(&formatted), formatted);
    }

    #[test]
    fn printing_keeps_the_tree(source in source()) {
        let before = tree(&source);
        if !parse(&source).diagnostics.iter().any(dfbuild_dockerfile::Diagnostic::is_error) {
            let printed = before.print();
            let after = tree(&printed);
            prop_assert!(same_meaning(&before, &after), "{printed:?}");
        }
    }

    #[test]
    fn linting_never_panics(source in source()) {
        for finding in lint(&source, &parse(&source), &LintOptions::default()).findings {
            check_span(&source, finding.span);
            if let Some(fix) = &finding.fix {
                check_span(&source, fix.span);
            }
        }
    }

    #[test]
    fn triggers_never_panic(text in source()) {
        for diagnostic in parse_trigger(&text).1 {
            check_span(&text, diagnostic.span);
        }
    }

    #[test]
    fn words_on_one_line_stand_where_their_span_says(words in prop::collection::vec("[a-zü./]{1,8}", 2..6)) {
        let source = format!("FROM x\n  COPY  {}\n", words.join("  "));
        let node = tree(&source).nodes.remove(1);
        prop_assert_eq!(node.args.len(), words.len());
        for word in node.args {
            prop_assert_eq!(&source[word.span.start..word.span.end], word.value);
        }
    }

    #[test]
    fn expansion_never_panics(word in source(), value in any::<String>(), flags in any::<[bool; 4]>()) {
        let [raw_quotes, raw_escapes, skip_unset, skip_process_quotes] = flags;
        let expander = Expander { escape: '\\', raw_quotes, raw_escapes, skip_unset, skip_process_quotes };
        let _ = expander.expand(&word, &|name| (name == "a").then(|| value.clone()));
    }

    #[test]
    fn words_without_magic_expand_to_themselves(word in "[a-z0-9/:=.ü-]{0,20}") {
        prop_assert_eq!(Expander::new('\\').expand_word(&word, &|_| None).unwrap(), word);
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let word = "${a:-".repeat(100_000);
    assert!(Expander::new('\\').expand_word(&word, &|_| None).is_err());
    let source = format!("FROM a\n{}RUN x", "ONBUILD ".repeat(20_000));
    assert!(parse(&source).diagnostics.iter().any(dfbuild_dockerfile::Diagnostic::is_error));
}
