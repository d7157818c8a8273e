//! From the low-level tree to stages of typed instructions.

mod flags;
mod healthcheck;
pub(crate) mod hints;
mod instruction;
pub(crate) mod mount;
pub(crate) mod transfer;

use crate::Parsed;
use crate::ast::{Dockerfile, Instruction, InstructionKind, Stage};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::node::{Node, Tree};
use crate::parse::{BYTES_PER_INSTRUCTION, Reader, tree};
use crate::span::Span;

/// Reads a whole file.
pub(crate) fn file(source: &str) -> Parsed<'_> {
    let mut reader = Reader::new(source);
    let mut diagnostics = Vec::new();
    let mut dockerfile = Dockerfile::default();
    let mut before_from = BeforeFrom::default();
    let mut is_empty = true;
    // What may explain a line below that begins with no instruction.
    let mut above = None;
    let mut node = Node::default();
    while reader.next_node(&mut node) {
        is_empty = false;
        let Some(name) = node.name else {
            // A run of lines without meaning has one cause: lines of a script behind a missing `\`, or a merge conflict.
            let mut diagnostic = instruction::unknown(&node);
            if above.is_none_or(hints::Above::is_known) || diagnostic.suggestion.is_some() {
                if let Some(above) = above {
                    hints::explain_lost_line(above, &mut diagnostic);
                }
                diagnostics.push(diagnostic);
            }
            above = Some(hints::Above::of(&node));
            continue;
        };
        above = Some(hints::Above::of(&node));
        hints::check(&node, &mut diagnostics);
        let found = if node.broken { None } else { instruction::read(&mut node, &mut diagnostics) };
        let max_room = if dockerfile.stages.len() < FEW_STAGES { MAX_ROOM } else { 1 };
        let room = ((source.len() - node.span.end) / BYTES_PER_INSTRUCTION).min(max_room);
        before_from.place(name, &mut node, found, room, &mut dockerfile, &mut diagnostics);
    }
    let (directives, found) = reader.finish(is_empty);
    dockerfile.directives = directives;
    diagnostics.splice(0..0, found);
    if !is_empty
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

/// The most instructions that a stage gets room for before they are there.
const MAX_ROOM: usize = 64;

/// A file with more stages than these has little in each, and no room is made for more.
const FEW_STAGES: usize = 4;

/// Reads one trigger.
pub(crate) fn trigger(text: &str) -> (Option<Instruction<'_>>, Vec<Diagnostic>) {
    let Tree { nodes, mut diagnostics, .. } = tree(text);
    let Ok([mut node]) = <[Node; 1]>::try_from(nodes) else {
        if diagnostics.is_empty() {
            diagnostics.push(Diagnostic::error(
                DiagnosticKind::Onbuild,
                "onbuild trigger should be a single expression",
                Span::new(0, text.len()),
            ));
        }
        return (None, diagnostics);
    };
    if node.name.is_none() {
        diagnostics.push(instruction::unknown(&node));
        return (None, diagnostics);
    }
    if node.broken {
        return (None, diagnostics);
    }
    if let Err(diagnostic) = instruction::check_trigger(&node) {
        diagnostics.push(diagnostic);
        return (None, diagnostics);
    }
    let found = instruction::read(&mut node, &mut diagnostics)
        .map(|kind| instruction::finish(&mut node, kind));
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
    fn place<'a>(
        &mut self,
        name: Keyword,
        node: &mut Node<'a>,
        found: Option<InstructionKind<'a>>,
        room: usize,
        dockerfile: &mut Dockerfile<'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        if name == Keyword::From {
            self.seen_from = true;
            self.lost = found.is_none();
            let header = found.map(|kind| instruction::finish(node, kind));
            dockerfile.stages.extend(header.and_then(|it| stage(it, room)));
            return;
        }
        if !self.seen_from {
            if name == Keyword::Arg {
                let arg = found.map(|kind| instruction::finish(node, kind));
                dockerfile.global_args.extend(arg);
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
        if let (false, Some(kind), Some(stage)) = (self.lost, found, dockerfile.stages.last_mut()) {
            stage.span.end = node.span.end;
            stage.lines.end = node.lines.end;
            stage.instructions.push(instruction::finish(node, kind));
        }
    }
}

/// `room`: how many instructions may follow.
fn stage(header: Instruction<'_>, room: usize) -> Option<Stage<'_>> {
    let InstructionKind::From(from) = &header.kind else { return None };
    let from = from.clone();
    let doc = from.name.as_ref().and_then(|name| instruction::doc(&header.comments, &name.value));
    Some(Stage {
        from,
        span: header.span,
        lines: header.lines,
        instructions: Vec::with_capacity(room),
        doc,
        header,
    })
}
