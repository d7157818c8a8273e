//! From lines to stages of typed instructions.

mod continued;
mod declarations;
mod flags;
mod from;
mod healthcheck;
pub(crate) mod hints;
mod instruction;
pub(crate) mod mount;
mod onbuild;
mod reading;
mod run;
mod stages;
pub(crate) mod transfer;

use hints::Above;
use reading::{Failure, Part, Reading};
use stages::{Stages, empty};

use crate::Parsed;
use crate::ast::Instruction;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::node::Tree;
use crate::original::Original;
use crate::parse::logical::Joined;
use crate::parse::statement::Statement;
use crate::parse::{Reader, tree};
use crate::span::Span;

/// Reads a whole file.
pub(crate) fn file(source: &str) -> Parsed<'_> {
    let mut reader = Reader::new(source);
    let mut diagnostics = Vec::new();
    let mut stages = Stages::new(source.len());
    let mut statement = Statement::default();
    let mut joined = Joined::default();
    // What may explain a line below that begins with no instruction.
    let mut above = None;
    while reader.next(&mut statement) {
        let original = statement.original(source, reader.escape);
        let slot = stages.open(&statement, original);
        let mut reading = Reading::new(&mut reader, &mut diagnostics, &statement, true);
        let (name, found) = read(&mut reading, &statement, original, &mut joined, slot);
        let has_heredocs = reading.extent.has_heredocs;
        let before = above.replace(Above { name, head: statement.head, has_heredocs });
        let keyword = slot.keyword;
        if found.is_err() {
            stages.cancel();
        }
        match (name, found) {
            (Some(name), Ok(())) => stages.close(name, &mut diagnostics),
            (Some(name), Err(failure)) => {
                if let Failure::Wrong(mut diagnostic) = failure {
                    diagnostic.line.get_or_insert(statement.lines.start);
                    diagnostics.push(*diagnostic);
                }
                stages.place_unread(name, keyword, &mut diagnostics);
            }
            (None, Err(Failure::Wrong(mut diagnostic))) => {
                // A run of lines without meaning has one cause: lines of a script behind a missing `\`, or a merge conflict.
                if before.is_none_or(Above::is_known) || diagnostic.suggestion.is_some() {
                    if diagnostic
                        .suggestion
                        .as_ref()
                        .is_some_and(|it| it.eq_ignore_ascii_case("from"))
                    {
                        stages.misspelt_from();
                    }
                    if let Some(above) = before {
                        hints::explain_lost_line(source, reader.escape, above, &mut diagnostic);
                    }
                    diagnostics.push(*diagnostic);
                }
            }
            (None, _) => {}
        }
    }
    let is_empty = above.is_none();
    let (directives, found) = reader.finish(is_empty);
    if !found.is_empty() {
        diagnostics.splice(0..0, found);
    }
    if !is_empty && stages.is_silent() && !diagnostics.iter().any(Diagnostic::is_error) {
        let diagnostic = Diagnostic::error(
            DiagnosticKind::NoStages,
            "dockerfile contains no stages to build",
            Span::at(source.trim_end().len()),
        );
        diagnostics.push(diagnostic.with_help("add a `FROM` instruction"));
    }
    // The order of the file; equal places keep the order of discovery.
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    let mut dockerfile = stages.finish();
    dockerfile.directives = directives;
    Parsed { dockerfile, diagnostics }
}

/// Reads one instruction into an empty one.
#[inline]
fn read<'a>(
    reading: &mut Reading<'_, 'a>,
    statement: &Statement<'a>,
    original: Original<'a>,
    joined: &mut Joined,
    instruction: &mut Instruction<'a>,
) -> (Option<Keyword>, Result<(), Failure>) {
    if statement.is_continued
        && let Some((name, found)) = continued::read(reading, statement, original, instruction)
    {
        return (Some(name), found);
    }
    let line = reading.reader.line(statement, joined);
    reading.reader.empty_continuation(&statement.empty_continuations, line.text);
    let mut part = Part::split(line.fragment().trim(), original, statement.head.start);
    instruction.keyword = part.keyword.span();
    let found = instruction::kind(reading, &mut part, &mut instruction.kind);
    instruction.span.end = reading.extent.end;
    instruction.lines.end = reading.extent.last_line;
    (part.name, found)
}

/// Reads one trigger.
pub(crate) fn trigger(text: &str) -> (Option<Instruction<'_>>, Vec<Diagnostic>) {
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
    if node.broken {
        return (None, diagnostics);
    }
    if let Err(diagnostic) = onbuild::check_trigger(node.name, node.keyword.span) {
        diagnostics.push(*diagnostic);
        return (None, diagnostics);
    }
    // What is wrong with the text is known from the tree.
    let mut reader = Reader::new(text);
    let mut statement = Statement::default();
    let mut joined = Joined::default();
    if !reader.next(&mut statement) {
        return (None, diagnostics);
    }
    let original = statement.original(text, reader.escape);
    let mut instruction = empty(&statement, original);
    let mut reading = Reading::new(&mut reader, &mut diagnostics, &statement, false);
    let (_, found) = read(&mut reading, &statement, original, &mut joined, &mut instruction);
    match found {
        Ok(()) => (Some(instruction), diagnostics),
        Err(Failure::Reported) => (None, diagnostics),
        Err(Failure::Wrong(mut diagnostic)) => {
            diagnostic.line.get_or_insert(statement.lines.start);
            diagnostics.push(*diagnostic);
            (None, diagnostics)
        }
    }
}
