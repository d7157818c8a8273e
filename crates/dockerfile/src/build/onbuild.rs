//! `ONBUILD`.

use super::instruction::{at_least_one, kind};
use super::reading::{Failure, Fallible, Part, Reading};
use crate::Severity;
use crate::ast::{Comments, Instruction, InstructionKind, Onbuild};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::parse::line::MAX_DEPTH;
use crate::span::{LineRange, Span, part_of};

/// The trigger is stored as text: what is wrong with its meaning fails the builds that run it, not this one.
pub(super) fn read<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &mut Part<'_, 'a>,
) -> Result<Onbuild<'a>, Failure> {
    if part.args.is_empty() || part.depth >= MAX_DEPTH {
        return Err(at_least_one(part, "ONBUILD").into());
    }
    let span = part.args.span();
    let original = part.original_from(span.start);
    let mut child = Part { depth: part.depth + 1, ..Part::split(part.args, original, span.start) };
    let before = reading.diagnostics.len();
    let mut slot = InstructionKind::default();
    let found = kind(reading, &mut child, &mut slot);
    for diagnostic in reading.diagnostics.iter_mut().skip(before) {
        diagnostic.severity = Severity::Warning;
    }
    let found = match found {
        Ok(()) => Ok(slot),
        Err(Failure::Reported) => return Err(Failure::Reported),
        Err(Failure::Wrong(diagnostic)) => Err(diagnostic),
    };
    part.check_flags(&[])?;
    check_trigger(child.name, child.keyword.span())?;
    let kind = match found {
        Ok(kind) => Some(kind),
        // Behind another `ONBUILD` nothing more is looked at.
        Err(_) if part.depth > 0 => None,
        Err(diagnostic) => {
            reading.diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                line: None,
                ..*diagnostic
            });
            None
        }
    };
    let text = part.original.without_blanks().text();
    let behind = text.get(part.keyword.bytes().len()..).unwrap_or_default().trim_start();
    let mut trigger = part_of(&text, text.len() - behind.len()..text.len());
    for heredoc in &reading.of_trigger {
        let whole = trigger.to_mut();
        whole.push('\n');
        whole.push_str(&heredoc.content);
        whole.push_str(&heredoc.name);
    }
    let lines = LineRange { start: reading.statement.lines.start, end: reading.extent.last_line };
    let instruction = kind.map(|kind| {
        let (keyword, original) = (child.keyword.span(), child.original);
        Instruction {
            span,
            head: span,
            lines,
            keyword,
            comments: Comments::default(),
            original,
            kind,
        }
    });
    Ok(Onbuild { trigger, instruction: instruction.map(Box::new) })
}

/// Whether an instruction may be a trigger at all.
pub(super) fn check_trigger(name: Option<Keyword>, keyword: Span) -> Fallible<()> {
    let message = match name {
        Some(Keyword::Onbuild) => "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
        Some(name @ (Keyword::Maintainer | Keyword::From)) => {
            format!("{} isn't allowed as an ONBUILD trigger", name.name())
        }
        _ => return Ok(()),
    };
    Err(Diagnostic::error(DiagnosticKind::Onbuild, message, keyword).into())
}
