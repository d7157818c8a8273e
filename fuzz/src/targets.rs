//! What is held true of every input. The fuzz targets call these, and so does a test that feeds them the seeds.

use dfbuild_dockerfile::expand::Expander;
use dfbuild_dockerfile::format::{format, same_meaning};
use dfbuild_dockerfile::lint::{LintOptions, expanded, lint};
use dfbuild_dockerfile::{Diagnostic, Span, parse as parse_file, parse_trigger, tree};
use dfbuild_pattern::{Decision, ParentState, PatternSet, parse_ignore_file};

fn check_span(source: &str, span: Span) {
    assert!(source.get(span.start..span.end).is_some(), "{span:?} is no part of {source:?}");
}

/// A Dockerfile: every place that is named is a part of the text, and nothing that looks at it panics.
pub(crate) fn parse(data: &[u8]) {
    let source = String::from_utf8_lossy(data);
    let parsed = parse_file(&source);
    for diagnostic in &parsed.diagnostics {
        check_span(&source, diagnostic.span);
        diagnostic.labels.iter().for_each(|it| check_span(&source, it.span));
        diagnostic.fix.iter().for_each(|it| check_span(&source, it.span));
    }
    for instruction in parsed.dockerfile.instructions() {
        check_span(&source, instruction.span);
        check_span(&source, instruction.head);
    }
    for node in &tree(&source).nodes {
        node.args.iter().chain(&node.flags).for_each(|it| check_span(&source, it.span));
    }
    let options = LintOptions::default();
    for finding in lint(&source, &parsed, &options).findings {
        check_span(&source, finding.span);
    }
    let _ = expanded(&source, &parsed, &options);
    for diagnostic in parse_trigger(&source).1 {
        check_span(&source, diagnostic.span);
    }
}

/// A word: the first byte holds the switches, the first line the value of `$a`, and the rest is the word.
pub(crate) fn expand(data: &[u8]) {
    let Some((switches, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let (value, word) = text.split_once('\n').unwrap_or(("", &text));
    let expander = Expander {
        escape: if switches & 1 == 0 { '\\' } else { '`' },
        raw_quotes: switches & 2 != 0,
        raw_escapes: switches & 4 != 0,
        skip_unset: switches & 8 != 0,
        skip_process_quotes: switches & 16 != 0,
    };
    let lookup = |name: &str| if name == "a" { Some(value.to_owned()) } else { None };
    if let Ok(expanded) = expander.expand(word, &lookup) {
        assert!(expanded.words.iter().all(|it| !it.is_empty()), "an empty word of {word:?}");
        assert!(
            !expanded.unmatched.contains("a"),
            "a variable that is set was not found in {word:?}"
        );
    }
}

/// An ignore file and a path, with an empty line between: walking down to the path decides as looking at it does, unless
/// `!` brings something back, where the two of the reference implementation differ as well.
pub(crate) fn ignore(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (file, path) = end.map_or((data, &b"a/b/c"[..]), |end| (&data[..end], &data[end + 2..]));
    let Ok(set) = PatternSet::new(parse_ignore_file(file)) else { return };
    let mut state = ParentState::default();
    let mut walked = Decision::default();
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        (walked, state) = set.matches_with_parent(&path[..end], &state);
    }
    let looked = set.matches(path);
    let is_clean = path.split(|byte| *byte == b'/').all(|name| !name.is_empty());
    if is_clean && !set.has_exclusions() {
        assert_eq!(walked, looked, "{path:?} under {file:?}");
    }
    let _ = set.may_match_below(path);
}

/// A Dockerfile: printed and formatted it says the same, and formatting it again changes nothing.
pub(crate) fn print(data: &[u8]) {
    let source = String::from_utf8_lossy(data);
    let before = tree(&source);
    let formatted = format(&source);
    let after = tree(&formatted);
    assert!(same_meaning(&before, &after), "formatting {source:?} gave {formatted:?}");
    assert_eq!(format(&formatted), formatted, "formatting {source:?} again");
    if !parse_file(&source).diagnostics.iter().any(Diagnostic::is_error) {
        let printed = before.print();
        assert!(same_meaning(&before, &tree(&printed)), "printing {source:?} gave {printed:?}");
    }
}
