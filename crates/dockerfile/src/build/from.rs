//! `FROM`.

use std::borrow::Cow;

use super::flags::Takes;
use super::instruction::fill;
use super::reading::{Fallible, Part};
use crate::ast::{From, InstructionKind};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::parse::logical::Fragment;
use crate::parse::words::separated;
use crate::quote::quote;
use crate::span::{Spanned, Text, Word};

pub(super) fn read<'a>(part: &mut Part<'_, 'a>, slot: &mut InstructionKind<'a>) -> Fallible<()> {
    let mut words = separated(part.args);
    let Some(image) = words.next() else { return Err(wrong_count(part)) };
    let (mut name, mut alias) = (None, None);
    if let Some(keyword) = words.next() {
        let found = words.next().filter(|_| keyword.text().eq_ignore_ascii_case("as"));
        let Some(as_written) = found.filter(|_| words.next().is_none()) else {
            return Err(wrong_count(part));
        };
        let as_written = as_written.spanned();
        let lower = lowercase(&as_written.value);
        if !is_stage_name(&lower) {
            return Err(bad_name(&as_written));
        }
        name = Some(Spanned::new(lower, as_written.span));
        alias = Some(part.original_from(keyword.span().start));
    }
    part.check_flags(&[("platform", Takes::Text)])?;
    let platform = if part.flags.is_empty() {
        None
    } else {
        let flags = part.take_flags();
        flags.text("platform").filter(|it| !it.value.is_empty()).map(Box::new)
    };
    let image = image.spanned();
    fill(slot, InstructionKind::From(From { image, platform, name, alias }));
    Ok(())
}

#[cold]
fn wrong_count(part: &Part) -> Box<Diagnostic> {
    let words: Vec<Word> = separated(part.args).map(Fragment::spanned).collect();
    let message = "FROM requires either one or three arguments";
    let span = if words.is_empty() { part.keyword.span() } else { part.args_span() };
    let diagnostic = Diagnostic::error(DiagnosticKind::ArgumentCount, message, span);
    match words.as_slice() {
        [image, name] => diagnostic
            .with_help(format!("write `FROM {} AS {}` to name the stage", image.value, name.value)),
        words if words.iter().any(|it| it.value.starts_with('#')) => {
            diagnostic.with_help("a comment needs a line of its own")
        }
        _ => diagnostic.with_help("write `FROM image` or `FROM image AS name`"),
    }
    .into()
}

#[cold]
fn bad_name(name: &Word) -> Box<Diagnostic> {
    let message = format!(
        "invalid name for build stage: {}, name can't start with a number or contain symbols",
        quote(&name.value)
    );
    Diagnostic::error(DiagnosticKind::StageName, message, name.span)
        .with_help("a name is letters, digits, `-`, `_` and `.`, and begins with a letter")
        .into()
}

fn lowercase<'a>(text: &Text<'a>) -> Text<'a> {
    if text.bytes().all(|it| it.is_ascii() && !it.is_ascii_uppercase()) {
        text.clone()
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

fn is_stage_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|it| it.is_ascii_lowercase())
        && chars.all(|it| {
            it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '-' | '_' | '.')
        })
}
