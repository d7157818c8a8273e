//! `COPY` and `ADD`.

use super::flags::{Flags, Takes};
use crate::ast::{Add, Copy, Heredoc, Source};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::expand::Expander;
use crate::node::Node;
use crate::span::Word;

/// A `COPY` whose `--from` has a variable is kept: it is the conversion that refuses it, after everything was read.
pub(super) fn copy<'a>(
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Copy<'a>, Diagnostic> {
    two_arguments(node, "COPY")?;
    let known = [
        ("chmod", Takes::Text),
        ("chown", Takes::Text),
        ("exclude", Takes::Texts),
        ("from", Takes::Text),
        ("link", Takes::Bool),
        ("parents", Takes::Bool),
    ];
    let flags = Flags::read(&node.flags, &known)?;
    let from = flags.text("from").filter(|it| !it.value.is_empty()).map(Box::new);
    let chown = flags.text("chown").map(Box::new);
    let chmod = flags.text("chmod").map(Box::new);
    let link = flags.switch("link") == Some(true);
    let parents = flags.switch("parents") == Some(true);
    let excludes = flags.texts("exclude");
    let (sources, dest) = sources_and_dest(node, "COPY")?;
    diagnostics.extend(from.as_deref().and_then(variable_in_from));
    Ok(Copy { sources, dest, json: node.json, from, chown, chmod, link, parents, excludes })
}

pub(super) fn add<'a>(node: &mut Node<'a>) -> Result<Add<'a>, Diagnostic> {
    two_arguments(node, "ADD")?;
    let known = [
        ("checksum", Takes::Text),
        ("chmod", Takes::Text),
        ("chown", Takes::Text),
        ("exclude", Takes::Texts),
        ("keep-git-dir", Takes::Bool),
        ("link", Takes::Bool),
        ("unpack", Takes::Bool),
    ];
    let flags = Flags::read(&node.flags, &known)?;
    let chown = flags.text("chown").map(Box::new);
    let chmod = flags.text("chmod").map(Box::new);
    let link = flags.switch("link") == Some(true);
    let excludes = flags.texts("exclude");
    let checksum = flags.text("checksum").map(Box::new);
    let (keep_git_dir, unpack) = (flags.switch("keep-git-dir"), flags.switch("unpack"));
    let (sources, dest) = sources_and_dest(node, "ADD")?;
    let json = node.json;
    Ok(Add { sources, dest, json, chown, chmod, link, excludes, checksum, keep_git_dir, unpack })
}

fn two_arguments(node: &Node, keyword: &str) -> Result<(), Diagnostic> {
    if node.args.len() >= 2 {
        return Ok(());
    }
    let message = format!(
        "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
    );
    Err(Diagnostic::error(DiagnosticKind::ArgumentCount, message, node.keyword.span))
}

/// Tells heredoc markers from paths. Paths come first, as they are copied first.
fn sources_and_dest<'a>(
    node: &mut Node<'a>,
    keyword: &str,
) -> Result<(Vec<Source<'a>>, Word<'a>), Diagnostic> {
    let dest = node.args.pop().ok_or_else(|| super::instruction::at_least_one(node, keyword))?;
    let in_marker = |heredoc: &Heredoc, word: &Word| {
        heredoc.marker.start <= word.span.start && word.span.start < heredoc.marker.end
    };
    if let Some(heredoc) = node.heredocs.last().filter(|it| in_marker(it, &dest)) {
        let message = format!("{keyword} cannot accept a heredoc as a destination");
        return Err(Diagnostic::error(DiagnosticKind::Heredoc, message, heredoc.marker)
            .with_help(format!("write the destination behind `<<{}`", heredoc.name)));
    }
    // Words and markers are both in the order of the file, and `<< NAME` is two words in one marker.
    let mut markers = node.heredocs.iter().peekable();
    let mut sources = Vec::with_capacity(node.args.len());
    for word in node.args.drain(..) {
        while markers.next_if(|it| it.marker.end <= word.span.start).is_some() {}
        if !markers.peek().is_some_and(|it| in_marker(it, &word)) {
            sources.push(Source::Path(word));
        }
    }
    sources.extend(
        std::mem::take(&mut node.heredocs).into_iter().map(|it| Source::Heredoc(Box::new(it))),
    );
    Ok((sources, dest))
}

/// What is said about a variable where none is expanded.
const NO_VARIABLES: &str = "variable expansion is not supported for --from, define a new stage with FROM using \
                                       ARG from global scope as a workaround";

/// The error for a variable in `--from`.
pub(crate) fn variable_in_from(from: &Word) -> Option<Diagnostic> {
    if !from.value.contains('$') {
        return None;
    }
    // A `$` that no name follows is text.
    let expanded = Expander::new('\\').expand(&from.value, &|_| None);
    if expanded.is_ok_and(|it| it.unmatched.is_empty()) {
        return None;
    }
    let diagnostic = Diagnostic::error(DiagnosticKind::NoExpansion, NO_VARIABLES, from.span);
    let help = format!("add `FROM {} AS name` above and copy with `--from=name`", from.value);
    Some(diagnostic.with_help(help))
}
