//! `RUN`.

use super::flags::Takes;
use super::instruction::{fill, hint_at_text};
use super::reading::{Failure, Fallible, Part, Reading};
use super::{hints, mount};
use crate::ast::{Command, Flags, Heredoc, InstructionKind, MountError, Network, Run, Security};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::quote::quote;

pub(super) fn read<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &mut Part<'_, 'a>,
    slot: &mut InstructionKind<'a>,
) -> Result<(), Failure> {
    let words = reading.json(part.args);
    let mut heredocs = Vec::new();
    if !matches!(words, Ok(Some(_))) {
        heredocs = reading.heredocs(part)?;
    }
    if let Some(words) = words? {
        return Ok(finish(Command::Exec(words), heredocs, part, slot)?);
    }
    if reading.hints_for(part) {
        hint(reading, part, &heredocs);
    }
    Ok(finish(Command::Shell(part.shell_text(part.args)), heredocs, part, slot)?)
}

#[inline]
fn hint(reading: &mut Reading, part: &Part, heredocs: &[Heredoc]) {
    if !heredocs.is_empty() {
        reading.diagnostics.extend(heredocs.iter().find_map(hints::windows_lines));
    } else if hints::has_open_end(part.args.bytes()) {
        reading.diagnostics.extend(hints::open_end(part.args.text(), part.args.span().end));
    }
    hint_at_text(reading, part);
}

/// Checks the flags.
#[expect(clippy::inline_always, reason = "as with fragments")]
#[inline(always)]
pub(super) fn finish<'a>(
    command: Command<'a>,
    heredocs: Vec<Heredoc<'a>>,
    part: &mut Part<'_, 'a>,
    slot: &mut InstructionKind<'a>,
) -> Fallible<()> {
    let (network, security) = if part.flags.is_empty() {
        (Network::Default, Security::Sandbox)
    } else {
        check_flags(part)?
    };
    let flags = part.take_flags();
    fill(slot, InstructionKind::Run(Run { command, heredocs, network, security, flags }));
    Ok(())
}

fn check_flags(part: &mut Part) -> Fallible<(Network, Security)> {
    part.check_flags(&[
        ("device", Takes::Texts),
        ("mount", Takes::Texts),
        ("network", Takes::Text),
        ("security", Takes::Text),
    ])?;
    let flags = part.take_flags();
    let found = values(&flags);
    part.flags = flags.0;
    found
}

fn values(flags: &Flags) -> Fallible<(Network, Security)> {
    let (mut network, mut security) = (Network::Default, Security::Sandbox);
    let value_error =
        |message: String, span| Diagnostic::error(DiagnosticKind::Value, message, span);
    for flag in flags.texts("mount") {
        mount::check_unexpanded(&flag.value)
            .map_err(|message| Diagnostic::error(DiagnosticKind::Mount, message, flag.span))?;
    }
    if let Some(value) = flags.text("network") {
        network = match &*value.value {
            "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => {
                let message = format!("invalid network mode {}", quote(other));
                return Err(value_error(message, value.span).into());
            }
        };
    }
    if let Some(value) = flags.text("security") {
        security = match &*value.value {
            "sandbox" => Security::Sandbox,
            "insecure" => Security::Insecure,
            other => {
                let message = format!("security {} is not valid", quote(other));
                return Err(value_error(message, value.span).into());
            }
        };
    }
    for text in flags.texts("device") {
        mount::parse_device(&text.value).map_err(|MountError { message, suggestion }| {
            value_error(message, text.span).with_suggestion(suggestion)
        })?;
    }
    Ok((network, security))
}
