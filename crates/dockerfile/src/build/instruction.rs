//! From a line to a typed instruction. The order of the checks is that of the reference implementation, so that the first
//! error is the same.

use std::borrow::Cow;

use super::reading::{Failure, Fallible, Part, Reading};
use super::{declarations, from, healthcheck, hints, onbuild, run, transfer};
use crate::ast::{
    Command, Expose, InstructionKind, Maintainer, Shell, Stopsignal, User, Volume, Workdir,
};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::parse::lines::{trim_end, trim_start};
use crate::parse::logical::Fragment;
use crate::parse::words::{separated, split_separators};
use crate::quote::quote;
use crate::span::{Text, Word};
use crate::suggest;

/// The error for a line that begins with no instruction.
#[cold]
pub(super) fn unknown(keyword: &Word, line: usize) -> Diagnostic {
    let is_meant = !hints::ends_heredoc(&keyword.value);
    let suggestion = is_meant.then(|| suggest::keyword(&keyword.value)).flatten();
    let message = format!("unknown instruction: {}", keyword.value);
    let mut diagnostic =
        Diagnostic::error(DiagnosticKind::UnknownInstruction, message, keyword.span);
    diagnostic.line = Some(line);
    if let Some(name) = &suggestion {
        diagnostic = diagnostic.with_fix(keyword.span, name);
    }
    if let Some(bad) = keyword.value.chars().find(|it| !it.is_ascii() && it.is_whitespace()) {
        diagnostic = diagnostic
            .with_help(format!("U+{:04X} looks like a space, but is none", u32::from(bad)));
    }
    diagnostic.with_suggestion(suggestion)
}

/// Puts a payload in the place of the one that an instruction has before it is read. That one owns nothing: not to drop it
/// lets the payload be written where it stays, which is large, and would wait for itself if it were copied at once.
#[inline]
pub(super) fn fill<'a>(slot: &mut InstructionKind<'a>, kind: InstructionKind<'a>) {
    std::mem::forget(std::mem::replace(slot, kind));
}

/// Puts the payload of an instruction into `slot`, which is the one by default.
pub(super) fn kind<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &mut Part<'_, 'a>,
    slot: &mut InstructionKind<'a>,
) -> Result<(), Failure> {
    let Some(name) = part.name else {
        let keyword = part.keyword.spanned();
        return Err(unknown(&keyword, reading.statement.lines.start).into());
    };
    match name {
        Keyword::Add => transfer::add(reading, part, slot)?,
        Keyword::Arg => declarations::arg(reading, part, slot)?,
        Keyword::Cmd => fill(slot, InstructionKind::Cmd(flagless_command(reading, part)?)),
        Keyword::Copy => transfer::copy(reading, part, slot)?,
        Keyword::Entrypoint => {
            fill(slot, InstructionKind::Entrypoint(flagless_command(reading, part)?));
        }
        Keyword::Env | Keyword::Label => declarations::key_values(reading, part, name, slot)?,
        Keyword::Expose => fill(slot, InstructionKind::Expose(expose(part)?)),
        Keyword::From => from::read(part, slot)?,
        Keyword::Healthcheck => {
            *slot = InstructionKind::Healthcheck(healthcheck::read(reading, part)?);
        }
        Keyword::Maintainer => {
            exactly_one(part, name)?;
            fill(slot, InstructionKind::Maintainer(Maintainer { name: part.args.spanned() }));
        }
        Keyword::Onbuild => *slot = InstructionKind::Onbuild(onbuild::read(reading, part)?),
        Keyword::Run => run::read(reading, part, slot)?,
        Keyword::Shell => *slot = InstructionKind::Shell(shell(reading, part)?),
        Keyword::Stopsignal => {
            one(part, name)?;
            fill(slot, InstructionKind::Stopsignal(Stopsignal { signal: part.args.spanned() }));
        }
        Keyword::User => {
            exactly_one(part, name)?;
            fill(slot, InstructionKind::User(User { user: part.args.spanned() }));
        }
        Keyword::Volume => *slot = InstructionKind::Volume(volume(reading, part)?),
        Keyword::Workdir => {
            exactly_one(part, name)?;
            fill(slot, InstructionKind::Workdir(Workdir { path: part.args.spanned() }));
        }
    }
    Ok(())
}

#[cold]
pub(super) fn at_least_one(part: &Part, keyword: &str) -> Box<Diagnostic> {
    let message = format!("{keyword} requires at least one argument");
    Diagnostic::error(DiagnosticKind::ArgumentCount, message, part.keyword.span()).into()
}

/// Checks that there is an argument, whatever the flags.
#[inline]
fn one(part: &Part, keyword: Keyword) -> Fallible<()> {
    if part.args.is_empty() { Err(not_one(part, keyword)) } else { Ok(()) }
}

#[cold]
fn not_one(part: &Part, keyword: Keyword) -> Box<Diagnostic> {
    let message = format!("{} requires exactly one argument", keyword.name());
    Diagnostic::error(DiagnosticKind::ArgumentCount, message, part.keyword.span()).into()
}

/// Checks that there is an argument of an instruction that takes no flags.
#[inline]
fn exactly_one(part: &Part, keyword: Keyword) -> Fallible<()> {
    one(part, keyword)?;
    part.check_flags(&[])
}

/// A command as JSON or as text, without hints.
#[inline]
fn command<'a>(reading: &mut Reading<'_, 'a>, part: &Part<'_, 'a>) -> Result<Command<'a>, Failure> {
    Ok(match reading.json(part.args)? {
        Some(words) => Command::Exec(words),
        None => Command::Shell(part.shell_text(part.args)),
    })
}

/// Says that a command is no JSON array, though it looks like one.
pub(super) fn hint_at_text(reading: &mut Reading, part: &Part) {
    if part.args.text().starts_with('[') && reading.hints_for(part) {
        let word = part.args.spanned();
        reading.almost_json(part, part.args.text(), Some(&word));
    }
}

fn flagless_command<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &Part<'_, 'a>,
) -> Result<Command<'a>, Failure> {
    let command = command(reading, part)?;
    if matches!(command, Command::Shell(_)) {
        hint_at_text(reading, part);
    }
    part.check_flags(&[])?;
    Ok(command)
}

fn expose<'a>(part: &Part<'_, 'a>) -> Fallible<Expose<'a>> {
    if part.args.is_empty() {
        return Err(at_least_one(part, "EXPOSE"));
    }
    part.check_flags(&[])?;
    Ok(Expose { ports: separated(part.args).map(Fragment::spanned).collect() })
}

fn shell<'a>(reading: &mut Reading<'_, 'a>, part: &Part<'_, 'a>) -> Result<Shell<'a>, Failure> {
    let words = reading.json(part.args)?;
    if words.is_none() {
        hint_at_text(reading, part);
    }
    part.check_flags(&[])?;
    let Some(words) = words else {
        if part.args.is_empty() {
            return Err(at_least_one(part, "SHELL").into());
        }
        let message = "SHELL requires the arguments to be in JSON form";
        let words: Vec<String> = part.args.text().split_whitespace().map(quote).collect();
        return Err(Diagnostic::error(DiagnosticKind::Json, message, part.args_span())
            .with_help(format!("write `SHELL [{}]`", words.join(", ")))
            .into());
    };
    if words.is_empty() {
        return Err(at_least_one(part, "SHELL").into());
    }
    Ok(Shell { words })
}

/// The words of a list.
pub(super) fn list<'a>(part: &Part<'_, 'a>) -> Vec<Word<'a>> {
    let mut words = Vec::new();
    split_separators(part.args, &mut words);
    words
}

/// Says that the words of a list are no JSON array, though they look like one.
pub(super) fn hint_at_list(reading: &mut Reading, part: &Part, words: &[Word]) {
    if let Some(word) = words.iter().find(|it| hints::begins_array(it))
        && reading.hints_for(part)
    {
        reading.almost_json(part, &words[0].value, Some(word));
    }
}

fn volume<'a>(reading: &mut Reading<'_, 'a>, part: &Part<'_, 'a>) -> Result<Volume<'a>, Failure> {
    let found = reading.json(part.args)?;
    let json = found.is_some();
    let words = found.unwrap_or_else(|| list(part));
    if !json {
        hint_at_list(reading, part, &words);
    }
    if words.is_empty() {
        return Err(at_least_one(part, "VOLUME").into());
    }
    part.check_flags(&[])?;
    let paths: Vec<_> = words.into_iter().map(|path| path.map(trimmed)).collect();
    if let Some(empty) = paths.iter().find(|path| path.value.is_empty()) {
        let message = "VOLUME specified can not be an empty string";
        return Err(Diagnostic::error(DiagnosticKind::Value, message, empty.span).into());
    }
    Ok(Volume { paths, json })
}

/// Without blanks at the ends.
fn trimmed(text: Text<'_>) -> Text<'_> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim_start(trim_end(text))),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}
