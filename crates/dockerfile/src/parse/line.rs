//! From a logical line to a node.

use std::borrow::Cow;

use super::arguments::{json_words, key_values, split_check};
use super::logical::Fragment;
use super::words::{quoted_words, split_flags, split_keyword, split_separators};
use crate::diagnostic::Diagnostic;
use crate::keyword::Keyword;
use crate::node::Node;
use crate::span::{Span, Spanned, Word};

/// How deep `ONBUILD ONBUILD …` is read. Even one is an error.
pub(crate) const MAX_DEPTH: usize = 8;

/// Splits a line into the empty lists of `node`, whose original text and span are set.
pub(super) fn split<'a>(
    line: Fragment<'_, 'a>,
    escape: u8,
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    nested(line.trim(), escape, node, diagnostics, 0);
}

fn nested<'a>(
    line: Fragment<'_, 'a>,
    escape: u8,
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
    depth: usize,
) {
    let (name, keyword, rest) = split_keyword(line);
    let args = split_flags(rest, &mut node.flags);
    node.args_span = if args.is_empty() { Span::at(line.span().end) } else { args.span() };
    node.name = name;
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
            node.args.extend(quoted_words(args, escape).map(|word| word.text.spanned()));
            Ok(())
        }
        Some(name @ (Keyword::Env | Keyword::Label)) => {
            let words = &mut node.args;
            key_values(args, escape, name, |pair| {
                let value = pair.value.spanned();
                let end = Spanned::new(Cow::Borrowed(""), Span::at(value.span.end));
                let equals = pair.equals.map_or(end, Fragment::spanned);
                words.extend([pair.key.spanned(), value, equals]);
            })
        }
        Some(Keyword::Healthcheck) if args.is_empty() => Ok(()),
        Some(Keyword::Healthcheck) => {
            let (first, rest) = split_check(args);
            node.args.push(first.spanned());
            json_or(node, rest, whole)
        }
        Some(Keyword::Onbuild) if args.is_empty() || depth >= MAX_DEPTH => Ok(()),
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
        diagnostics.push(*diagnostic);
        node.broken = true;
    }
}

/// Whether the arguments of an instruction, or of the one behind `ONBUILD`, may begin heredocs.
pub(super) fn may_have_heredocs(node: &Node) -> bool {
    let node = node.child.as_deref().unwrap_or(node);
    !node.json && matches!(node.name, Some(Keyword::Add | Keyword::Copy | Keyword::Run))
}

fn whole<'a>(args: Fragment<'_, 'a>, words: &mut Vec<Word<'a>>) {
    if !args.is_empty() {
        words.push(args.spanned());
    }
}

/// A JSON array of strings, or what `split` makes of the text if it is not JSON.
fn json_or<'l, 'a>(
    node: &mut Node<'a>,
    args: Fragment<'l, 'a>,
    split: impl Fn(Fragment<'l, 'a>, &mut Vec<Word<'a>>),
) -> Result<(), Box<Diagnostic>> {
    match json_words(args)? {
        Some(mut words) => {
            node.args.append(&mut words);
            node.json = true;
        }
        None => split(args, &mut node.args),
    }
    Ok(())
}
