//! From a logical line to a node: each instruction has its own way to split its arguments.

use std::borrow::Cow;

use super::json::{self, Array};
use super::logical::Fragment;
use super::words::{is_separator, split_flags, split_keyword, split_quoted, split_separators};
use crate::build::hints::{CURLY_HELP, has_curly_quotes};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::node::Node;
use crate::quote::quote;
use crate::span::{Span, Spanned, Word};

/// How deep `ONBUILD ONBUILD …` is read. Even one is an error.
const MAX_DEPTH: usize = 8;

/// Splits a line into the empty lists of `node`, whose original text and span are set.
pub(super) fn split<'a>(
    line: Fragment<'_, 'a>,
    escape: u8,
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    nested(line, escape, node, diagnostics, 0);
}

fn nested<'a>(
    line: Fragment<'_, 'a>,
    escape: u8,
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
    depth: usize,
) {
    let (keyword, rest) = split_keyword(line);
    let args = split_flags(rest, &mut node.flags);
    node.args_span =
        if args.text.is_empty() { Span::at(line.trim().span().end) } else { args.span() };
    node.name = Keyword::find(keyword.text);
    node.keyword = keyword.spanned();
    let result = match node.name {
        Some(Keyword::Add | Keyword::Copy | Keyword::Volume) => {
            json_or(node, args, split_separators)
        }
        Some(Keyword::Cmd | Keyword::Entrypoint | Keyword::Run | Keyword::Shell) => {
            json_or(node, args, whole)
        }
        Some(Keyword::From | Keyword::Expose) => {
            split_separators(args, &mut node.args);
            Ok(())
        }
        Some(Keyword::Maintainer | Keyword::Stopsignal | Keyword::User | Keyword::Workdir) => {
            whole(args, &mut node.args);
            Ok(())
        }
        Some(Keyword::Arg) => {
            node.args.extend(split_quoted(args, escape).map(Fragment::spanned));
            Ok(())
        }
        Some(Keyword::Env) => key_values(node, args, escape, "ENV"),
        Some(Keyword::Label) => key_values(node, args, escape, "LABEL"),
        Some(Keyword::Healthcheck) => healthcheck(node, args),
        Some(Keyword::Onbuild) if args.text.is_empty() || depth >= MAX_DEPTH => Ok(()),
        Some(Keyword::Onbuild) => {
            let span = args.span();
            let original = node.original.behind(span.start - node.span.start).without_blanks();
            let mut child = Box::new(Node { original, span, head: span, ..Node::default() });
            nested(args, escape, &mut child, diagnostics, depth + 1);
            node.broken = child.broken;
            node.child = Some(child);
            Ok(())
        }
        None => {
            // Unknown instructions have one empty word in the tree.
            node.args.push(Spanned::new(Cow::Borrowed(""), node.args_span));
            Ok(())
        }
    };
    if let Err(diagnostic) = result {
        diagnostics.push(diagnostic);
        node.broken = true;
    }
}

/// Whether the arguments of an instruction, or of the one behind `ONBUILD`, may begin heredocs.
pub(super) fn may_have_heredocs(node: &Node) -> bool {
    let node = node.child.as_deref().unwrap_or(node);
    !node.json && matches!(node.name, Some(Keyword::Add | Keyword::Copy | Keyword::Run))
}

fn whole<'a>(args: Fragment<'_, 'a>, words: &mut Vec<Word<'a>>) {
    if !args.text.is_empty() {
        words.reserve_exact(1);
        words.push(args.spanned());
    }
}

/// A JSON array of strings, or what `split` makes of the text if it is not JSON.
fn json_or<'l, 'a>(
    node: &mut Node<'a>,
    args: Fragment<'l, 'a>,
    split: impl Fn(Fragment<'l, 'a>, &mut Vec<Word<'a>>),
) -> Result<(), Diagnostic> {
    let before = node.args.len();
    let found = json::array(args.text, |text, at| {
        let span = args.slice(at.clone()).span();
        let value = match text {
            Cow::Owned(text) => Cow::Owned(text),
            Cow::Borrowed(_) => args.slice(at.start + 1..at.end - 1).spanned().value,
        };
        node.args.push(Spanned::new(value, span));
    });
    if found != Array::Strings {
        node.args.truncate(before);
    }
    match found {
        Array::Strings => {
            node.json = true;
            Ok(())
        }
        Array::Other(at) => Err(Diagnostic::error(
            DiagnosticKind::Json,
            "when using JSON array syntax, arrays must be comprised of strings only",
            args.slice(at).span(),
        )),
        Array::None => {
            split(args, &mut node.args);
            Ok(())
        }
    }
}

/// `name=value…`, or the old `name value`, which is meant if the first word has no `=`.
fn key_values<'a>(
    node: &mut Node<'a>,
    args: Fragment<'_, 'a>,
    escape: u8,
    keyword: &str,
) -> Result<(), Diagnostic> {
    let mut words = split_quoted(args, escape);
    let Some(first) = words.next() else { return Ok(()) };
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
        node.args.extend([
            args.slice(0..end).spanned(),
            value.spanned(),
            Spanned::new(Cow::Borrowed(""), end_of_value),
        ]);
        return Ok(());
    }
    for word in std::iter::once(first).chain(words) {
        let Some(equals) = memchr::memchr(b'=', word.text.as_bytes()) else {
            let message = format!(
                "Syntax error - can't find = in {}. Must be of the form: name=value",
                quote(word.text)
            );
            let diagnostic = Diagnostic::error(DiagnosticKind::KeyValue, message, word.span());
            return Err(diagnostic.with_help(if has_curly_quotes(args.text) {
                CURLY_HELP
            } else {
                "quote a value that has blanks in it"
            }));
        };
        node.args.push(word.slice(0..equals).spanned());
        node.args.push(word.from(equals + 1).spanned());
        node.args.push(word.slice(equals..equals + 1).spanned());
    }
    Ok(())
}

fn healthcheck<'a>(node: &mut Node<'a>, args: Fragment<'_, 'a>) -> Result<(), Diagnostic> {
    if args.text.is_empty() {
        return Ok(());
    }
    let end = args.text.find(char::is_whitespace).unwrap_or(args.text.len());
    node.args.push(args.slice(0..end).spanned());
    json_or(node, args.from(end).trim(), whole)
}
