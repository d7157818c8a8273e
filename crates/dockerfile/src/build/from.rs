//! `FROM`.

use std::borrow::Cow;

use super::flags::Takes;
use super::reading::{Fallible, Part};
use crate::ast::{Alias, From};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::parse::words::split_separators;
use crate::quote::quote;
use crate::span::{Spanned, Text, Word};

pub(super) fn read<'a>(part: &mut Part<'_, 'a>) -> Fallible<From<'a>> {
    let mut words = Vec::with_capacity(3);
    split_separators(part.args, &mut words);
    if words.len() == 3 && words[1].value.eq_ignore_ascii_case("as") {
        let (name, keyword) = (words.pop(), words.pop());
        let alias = keyword.zip(name);
        return finish(part, words, alias);
    }
    if words.len() != 1 {
        return Err(wrong_count(part, &words));
    }
    finish(part, words, None)
}

fn finish<'a>(
    part: &mut Part<'_, 'a>,
    mut words: Vec<Word<'a>>,
    alias: Option<(Word<'a>, Word<'a>)>,
) -> Fallible<From<'a>> {
    let Some(image) = words.pop() else { return Err(wrong_count(part, &words)) };
    let mut name = None;
    let mut written = None;
    if let Some((keyword, as_written)) = alias {
        let lower = lowercase(&as_written.value);
        if !is_stage_name(&lower) {
            return Err(bad_name(&as_written));
        }
        name = Some(Spanned::new(lower, as_written.span));
        written = Some(Box::new(Alias { keyword, name: as_written.value }));
    }
    part.check_flags(&[("platform", Takes::Text)])?;
    let flags = part.take_flags();
    let platform = flags.text("platform").filter(|it| !it.value.is_empty()).map(Box::new);
    Ok(From { image, platform, name, alias: written })
}

#[cold]
fn wrong_count(part: &Part, words: &[Word]) -> Box<Diagnostic> {
    let message = "FROM requires either one or three arguments";
    let span = if words.is_empty() { part.keyword.span() } else { part.args_span() };
    let diagnostic = Diagnostic::error(DiagnosticKind::ArgumentCount, message, span);
    match words {
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
