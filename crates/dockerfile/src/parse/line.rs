//! From a logical line to a node: each instruction has its own way to split its arguments.

use super::json::{self, Array};
use super::logical::Fragment;
use super::words::{is_separator, split_flags, split_keyword, split_quoted, split_separators};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::Node;
use crate::quote::quote;
use crate::span::{Span, Spanned};

/// How deep `ONBUILD ONBUILD …` is read. Even one is an error.
const MAX_DEPTH: usize = 8;

/// Splits a line. Spans of the whole are for the caller to set.
pub(super) fn node(line: Fragment, escape: char, diagnostics: &mut Vec<Diagnostic>) -> Node {
    nested(line, escape, diagnostics, 0)
}

fn nested(line: Fragment, escape: char, diagnostics: &mut Vec<Diagnostic>, depth: usize) -> Node {
    let (keyword, rest) = split_keyword(line);
    let (flags, args) = split_flags(rest);
    let args_span =
        if args.text.is_empty() { Span::at(line.trim().span().end) } else { args.span() };
    let mut node = Node {
        keyword: keyword.spanned(),
        flags,
        args_span,
        original: line.text.to_owned(),
        span: line.trim().span(),
        head: line.trim().span(),
        ..Node::default()
    };
    let result = match keyword.text.to_ascii_lowercase().as_str() {
        "add" | "copy" | "volume" => json_or(&mut node, args, split_separators),
        "cmd" | "entrypoint" | "run" | "shell" => json_or(&mut node, args, whole),
        "from" | "expose" => {
            node.args = split_separators(args).into_iter().map(Fragment::spanned).collect();
            Ok(())
        }
        "maintainer" | "stopsignal" | "user" | "workdir" => {
            node.args = whole(args).into_iter().map(Fragment::spanned).collect();
            Ok(())
        }
        "arg" => {
            node.args = split_quoted(args, escape).into_iter().map(Fragment::spanned).collect();
            Ok(())
        }
        "env" => key_values(&mut node, args, escape, "ENV"),
        "label" => key_values(&mut node, args, escape, "LABEL"),
        "healthcheck" => healthcheck(&mut node, args),
        "onbuild" if args.text.is_empty() || depth >= MAX_DEPTH => Ok(()),
        "onbuild" => {
            let child = nested(args, escape, diagnostics, depth + 1);
            node.broken = child.broken;
            node.child = Some(Box::new(child));
            Ok(())
        }
        _ => {
            // Unknown instructions have one empty word in the tree.
            node.args = vec![Spanned::new(String::new(), args_span)];
            Ok(())
        }
    };
    if let Err(diagnostic) = result {
        diagnostics.push(diagnostic);
        node.broken = true;
    }
    node
}

/// Whether the arguments of an instruction, or of the one behind `ONBUILD`, may begin heredocs.
pub(super) fn may_have_heredocs(node: &Node) -> bool {
    let node = node.child.as_deref().unwrap_or(node);
    !node.json
        && ["add", "copy", "run"].iter().any(|it| node.keyword.value.eq_ignore_ascii_case(it))
}

fn whole(args: Fragment) -> Vec<Fragment> {
    if args.text.is_empty() { Vec::new() } else { vec![args] }
}

/// A JSON array of strings, or what `split` makes of the text if it is not JSON.
fn json_or<'a>(
    node: &mut Node,
    args: Fragment<'a>,
    split: impl Fn(Fragment<'a>) -> Vec<Fragment<'a>>,
) -> Result<(), Diagnostic> {
    match json::array(args.text) {
        Array::Strings(strings) => {
            node.json = true;
            node.args.extend(
                strings.into_iter().map(|(text, at)| Spanned::new(text, args.slice(at).span())),
            );
            Ok(())
        }
        Array::Other(at) => Err(Diagnostic::error(
            DiagnosticKind::Json,
            "when using JSON array syntax, arrays must be comprised of strings only",
            args.slice(at).span(),
        )),
        Array::None => {
            node.args.extend(split(args).into_iter().map(Fragment::spanned));
            Ok(())
        }
    }
}

/// `name=value…`, or the old `name value`, which is meant if the first word has no `=`.
fn key_values(
    node: &mut Node,
    args: Fragment,
    escape: char,
    keyword: &str,
) -> Result<(), Diagnostic> {
    let words = split_quoted(args, escape);
    let Some(first) = words.first() else { return Ok(()) };
    if !first.text.contains('=') {
        let Some(end) = args.text.find(is_separator) else {
            let message = format!("{keyword} must have two arguments");
            return Err(Diagnostic::error(DiagnosticKind::ArgumentCount, message, args.span())
                .with_help(format!("write `{keyword} {}=value`", args.text)));
        };
        let value = args.from(end);
        let value =
            value.from(value.text.len() - value.text.trim_start_matches(is_separator).len());
        let end_of_value = Span::at(value.span().end);
        node.args = vec![
            args.slice(0..end).spanned(),
            value.spanned(),
            Spanned::new(String::new(), end_of_value),
        ];
        return Ok(());
    }
    for word in words {
        let Some(equals) = word.text.find('=') else {
            let message = format!(
                "Syntax error - can't find = in {}. Must be of the form: name=value",
                quote(word.text)
            );
            let diagnostic = Diagnostic::error(DiagnosticKind::KeyValue, message, word.span());
            return Err(diagnostic.with_help("quote a value that has blanks in it"));
        };
        node.args.push(word.slice(0..equals).spanned());
        node.args.push(word.from(equals + 1).spanned());
        node.args.push(word.slice(equals..equals + 1).spanned());
    }
    Ok(())
}

fn healthcheck(node: &mut Node, args: Fragment) -> Result<(), Diagnostic> {
    if args.text.is_empty() {
        return Ok(());
    }
    let end = args.text.find(char::is_whitespace).unwrap_or(args.text.len());
    node.args.push(args.slice(0..end).spanned());
    json_or(node, args.from(end).trim(), whole)
}
