//! From the low-level tree to stages of typed instructions.

mod flags;
mod healthcheck;
mod hints;
mod instruction;
pub(crate) mod mount;
pub(crate) mod transfer;

use crate::Parsed;
use crate::ast::{Dockerfile, Instruction, InstructionKind, Stage};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::{Node, Tree};
use crate::parse::tree;
use crate::span::Span;

/// Reads a whole file.
pub(crate) fn file(source: &str) -> Parsed {
    let Tree { directives, nodes, mut diagnostics } = tree(source);
    let mut dockerfile = Dockerfile { directives, ..Dockerfile::default() };
    let mut before_from = BeforeFrom::default();
    let mut unknown_before = false;
    for node in &nodes {
        let unknown = !instruction::is_known(&node.keyword.value);
        if unknown {
            // A run of lines without meaning has one cause: lines of a script behind a missing `\`, or a merge conflict.
            let diagnostic = instruction::unknown(node);
            if !unknown_before || diagnostic.suggestion.is_some() {
                diagnostics.push(diagnostic);
            }
            unknown_before = true;
            continue;
        }
        unknown_before = false;
        let found = if node.broken { None } else { instruction::read(node, &mut diagnostics) };
        hints::check(node, &mut diagnostics);
        before_from.place(node, found, &mut dockerfile, &mut diagnostics);
    }
    hints::lost_lines(&nodes, &mut diagnostics);
    if !nodes.is_empty()
        && !before_from.seen_from
        && !before_from.reported
        && !diagnostics.iter().any(Diagnostic::is_error)
    {
        let diagnostic = Diagnostic::error(
            DiagnosticKind::NoStages,
            "dockerfile contains no stages to build",
            Span::at(source.len()),
        );
        diagnostics.push(diagnostic.with_help("add a `FROM` instruction"));
    }
    // The order of the file; equal places keep the order of discovery.
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    Parsed { dockerfile, diagnostics }
}

/// Reads one trigger.
pub(crate) fn trigger(text: &str) -> (Option<Instruction>, Vec<Diagnostic>) {
    let Tree { nodes, mut diagnostics, .. } = tree(text);
    let [node] = nodes.as_slice() else {
        if diagnostics.is_empty() {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::Onbuild,
                "onbuild trigger should be a single expression",
                Span::new(0, text.len()),
            ));
        }
        return (None, diagnostics);
    };
    if !instruction::is_known(&node.keyword.value) {
        diagnostics.push(instruction::unknown(node));
        return (None, diagnostics);
    }
    if node.broken {
        return (None, diagnostics);
    }
    if let Err(diagnostic) = instruction::check_trigger(&node.keyword) {
        diagnostics.push(diagnostic);
        return (None, diagnostics);
    }
    let found = instruction::read(node, &mut diagnostics);
    (found, diagnostics)
}

/// Puts instructions into their stages.
#[derive(Default)]
struct BeforeFrom {
    seen_from: bool,
    /// Whether the last `FROM` could not be read: what follows has no stage, through no fault of its own.
    lost: bool,
    reported: bool,
}

impl BeforeFrom {
    fn place(
        &mut self,
        node: &Node,
        found: Option<Instruction>,
        dockerfile: &mut Dockerfile,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let keyword = node.keyword.value.to_ascii_lowercase();
        if keyword == "from" {
            self.seen_from = true;
            self.lost = found.is_none();
            dockerfile.stages.extend(found.and_then(stage));
            return;
        }
        if !self.seen_from {
            if keyword == "arg" {
                dockerfile.global_args.extend(found);
            } else if !self.reported {
                self.reported = true;
                let diagnostic = Diagnostic::error(
                    DiagnosticKind::BeforeFrom,
                    "no build stage in current context",
                    node.keyword.span,
                );
                diagnostics
                    .push(diagnostic.with_help("only `ARG` may stand before the first `FROM`"));
            }
            return;
        }
        if let (false, Some(found), Some(stage)) = (self.lost, found, dockerfile.stages.last_mut())
        {
            stage.span.end = found.span.end;
            stage.lines.end = found.lines.end;
            stage.instructions.push(found);
        }
    }
}

fn stage(header: Instruction) -> Option<Stage> {
    let InstructionKind::From(from) = &header.kind else { return None };
    let from = from.clone();
    let doc = from.name.as_ref().and_then(|name| instruction::doc(&header.comments, &name.value));
    Some(Stage {
        from,
        span: header.span,
        lines: header.lines,
        instructions: Vec::new(),
        doc,
        header,
    })
}
