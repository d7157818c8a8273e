//! Rules that look at the words of single instructions, before anything is expanded.

use super::linter::{Linter, Place};
use super::rule::{
    FROM_AS_CASING, INVALID_DEFINITION_DESCRIPTION, MAINTAINER_DEPRECATED, NO_EMPTY_CONTINUATION,
    STAGE_NAME_CASING,
};
use crate::node::Node;
use crate::span::{LineRange, Span, Word};

impl<'a> Place<'a> {
    fn of_node(node: &'a Node) -> Self {
        Self { span: node.head, lines: node.lines, comments: node.comments, is_trigger: false }
    }
}

/// `NoEmptyContinuation`, once for each instruction: at its first empty line, and to be compatible at its last line.
pub(super) fn empty_continuation(linter: &mut Linter, node: &Node, compat: bool) {
    let Some(first) = node.empty_continuations.first() else { return };
    let line = |span: &Span| linter.index.position(span.start).line;
    let line = if compat {
        // A continuation at the end of the file may end in an empty line.
        let end = linter.index.lines(node.head).end;
        end.max(node.empty_continuations.last().map_or(0, line))
    } else {
        line(first)
    };
    let lines = LineRange { start: line, end: line };
    let place = Place { span: *first, lines, comments: node.comments, is_trigger: false };
    linter.warn(&NO_EMPTY_CONTINUATION, place, "Empty continuation line".to_owned());
}

/// The rules that run when an instruction is read, before it is known whether it is a good one.
pub(super) fn before_reading(linter: &mut Linter, node: &Node) {
    let place = Place::of_node(node);
    let keyword = node.keyword.as_str();
    if keyword.eq_ignore_ascii_case("maintainer") {
        let detail = "Maintainer instruction is deprecated in favor of using label".to_owned();
        let help = "write `LABEL org.opencontainers.image.authors=\"…\"`".to_owned();
        linter.warn_with_help(&MAINTAINER_DEPRECATED, place, detail, Some(help));
    }
    if !keyword.eq_ignore_ascii_case("from") {
        return;
    }
    if let [_, _, name] = node.args.as_slice()
        && name.value.to_lowercase() != name.value
    {
        let detail = format!("Stage name '{}' should be lowercase", name.value);
        linter.warn(&STAGE_NAME_CASING, place, detail);
    }
    if let [_, separator, _, ..] = node.args.as_slice() {
        let word = separator.as_str();
        let matches = if keyword == keyword.to_lowercase() {
            word == word.to_lowercase()
        } else {
            // A keyword that is neither is for another rule.
            keyword != keyword.to_uppercase() || word == word.to_uppercase()
        };
        if !matches {
            let detail = format!("'{word}' and '{keyword}' keywords' casing do not match");
            linter.warn(&FROM_AS_CASING, place, detail);
        }
    }
}

/// The rules that run when an instruction turned out to be a good one.
pub(super) fn after_reading(linter: &mut Linter, node: &Node) {
    let keyword = node.keyword.value.to_ascii_uppercase();
    let names: Vec<String> = match keyword.as_str() {
        "ARG" => {
            let name = |word: &Word| word.value.split('=').next().unwrap_or_default().to_owned();
            node.args.iter().map(name).collect()
        }
        "FROM" => node.args.get(2).map(|name| name.value.to_lowercase()).into_iter().collect(),
        _ => return,
    };
    let Some(comment) = node.comments.iter().last() else { return };
    let first_word = comment.value.split(' ').next().unwrap_or_default();
    if names.is_empty() || names.iter().any(|name| name == first_word) {
        return;
    }
    let example = if let [name] = names.as_slice() { name } else { "<arg_key>" };
    let detail =
        format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    linter.warn(&INVALID_DEFINITION_DESCRIPTION, Place::of_node(node), detail);
}
