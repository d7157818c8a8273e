//! The low-level tree: instructions split into words, before any word has a meaning.
//!
//! It corresponds to the parse tree of BuildKit's `parser` package, so that the two can be compared.

use crate::ast::{Comments, Directives, Heredoc};
use crate::diagnostic::Diagnostic;
use crate::keyword::Keyword;
use crate::list::List;
use crate::original::Original;
use crate::quote::{quote, quote_list};
use crate::span::{LineRange, Span, Word};

/// All instructions of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree<'a> {
    /// The parser directives.
    pub directives: Directives<'a>,
    /// The instructions in order, unknown ones too.
    pub nodes: Vec<Node<'a>>,
    /// What is wrong with the file at this level.
    pub diagnostics: Vec<Diagnostic>,
}

/// One instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node<'a> {
    /// The instruction; none if there is none of this name.
    pub name: Option<Keyword>,
    /// The keyword as written.
    pub keyword: Word<'a>,
    /// The flags without quotes.
    pub flags: List<Word<'a>>,
    /// The words. For `ENV` and `LABEL`, triples of name, value and `=`, which is empty in the old form.
    pub args: Vec<Word<'a>>,
    /// The place of all words together; empty, behind the keyword, if there are none.
    pub args_span: Span,
    /// The instruction behind `ONBUILD`.
    pub child: Option<Box<Node<'a>>>,
    /// Whether the words come from a JSON array.
    pub json: bool,
    /// The heredocs in the order of their markers.
    pub heredocs: Vec<Heredoc<'a>>,
    /// The text with continuation lines joined, as it stands.
    pub original: Original<'a>,
    /// The comment lines above.
    pub comments: Comments<'a>,
    /// Blank lines inside the continuation.
    pub empty_continuations: Vec<Span>,
    /// From the keyword to the end, heredocs included.
    pub span: Span,
    /// From the keyword to the end, heredocs not included.
    pub head: Span,
    /// The lines of `span`.
    pub lines: LineRange,
    /// Whether the words could not be read; a diagnostic says why.
    pub broken: bool,
}

impl Tree<'_> {
    /// The text form of the tree, as BuildKit dumps it: one instruction in parentheses on each line.
    pub fn dump(&self) -> String {
        let lines: Vec<String> =
            self.nodes.iter().map(|node| format!("({})", node.dump())).collect();
        lines.join("\n")
    }
}

impl Node<'_> {
    fn dump(&self) -> String {
        let mut out = self.keyword.value.to_lowercase();
        if !self.flags.is_empty() {
            out.push(' ');
            out.push_str(&quote_list(self.flags.iter().map(Word::as_str)));
        }
        if let Some(child) = &self.child {
            out.push_str(&format!(" ({})", child.dump()));
        }
        for arg in &self.args {
            out.push(' ');
            out.push_str(&quote(&arg.value));
        }
        out
    }
}
