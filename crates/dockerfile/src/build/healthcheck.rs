//! `HEALTHCHECK`.

use super::flags::Takes;
use super::hints;
use super::instruction::at_least_one;
use super::reading::{Failure, Fallible, Part, Reading};
use crate::ast::{Command, Flags, Healthcheck, HealthcheckCommand};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::duration;
use crate::parse::arguments::split_check;
use crate::quote::quote;
use crate::span::Span;

/// The shortest duration, in nanoseconds, that is not taken for a slip of the unit.
const MINIMUM: i64 = 1_000_000;

pub(super) fn read<'a>(
    reading: &mut Reading<'_, 'a>,
    part: &mut Part<'_, 'a>,
) -> Result<Healthcheck<'a>, Failure> {
    if part.args.is_empty() {
        return Err(at_least_one(part, "HEALTHCHECK").into());
    }
    let (kind, rest) = split_check(part.args);
    let words = reading.json(rest)?;
    if words.is_none() && reading.hints_for(part) {
        let args = [kind.spanned(), rest.spanned()];
        let word = args.iter().find(|it| hints::begins_array(it));
        reading.almost_json(part, kind.text(), word);
    }
    let fail = |message: &str, span| {
        Err(Diagnostic::error(DiagnosticKind::Healthcheck, message, span).into())
    };
    // Where the first word of the command stands.
    let first = match &words {
        Some(words) => words.first().map(|word| word.span),
        None if rest.is_empty() => None,
        None => Some(rest.span()),
    };
    if is_named(kind.text(), "NONE") {
        // The flags are not even looked at.
        return match first {
            None => Ok(Healthcheck::None),
            Some(extra) => fail("HEALTHCHECK NONE takes no arguments", extra),
        };
    }
    let known = [
        ("interval", Takes::Text),
        ("retries", Takes::Text),
        ("start-interval", Takes::Text),
        ("start-period", Takes::Text),
        ("timeout", Takes::Text),
    ];
    part.check_flags(&known)?;
    let flags = part.take_flags();
    let span = kind.span();
    if !is_named(kind.text(), "CMD") {
        let name = quote(&kind.text().to_uppercase());
        return fail(&format!("Unknown type {name} in HEALTHCHECK (try CMD)"), span);
    }
    if first.is_none() {
        return fail("Missing command after HEALTHCHECK CMD", Span::at(span.end));
    }
    let interval = |name| self::interval(&flags, name);
    let (every, timeout) = (interval("interval")?, interval("timeout")?);
    let (start_period, start_interval) = (interval("start-period")?, interval("start-interval")?);
    let retries = retries(&flags)?;
    let command = match words {
        Some(words) => Command::Exec(words),
        None => Command::Shell(part.shell_text(rest)),
    };
    Ok(Healthcheck::Cmd(Box::new(HealthcheckCommand {
        command,
        interval: every,
        timeout,
        start_period,
        start_interval,
        retries,
    })))
}

/// Whether a word is `name` in upper case, whatever its own.
fn is_named(word: &str, name: &str) -> bool {
    word.eq_ignore_ascii_case(name) || (!word.is_ascii() && word.to_uppercase() == name)
}

fn interval(flags: &Flags, name: &str) -> Fallible<Option<i64>> {
    let Some(text) = flags.text(name).filter(|it| !it.value.is_empty()) else { return Ok(None) };
    let fail = |message| Diagnostic::error(DiagnosticKind::Healthcheck, message, text.span);
    let value = duration::parse(&text.value)
        .map_err(|message| fail(message).with_help("write `30s` or `1m30s`"))?;
    if value != 0 && value < MINIMUM {
        return Err(fail(format!("Interval {} cannot be less than 1ms", quote(name))).into());
    }
    Ok(Some(value))
}

fn retries(flags: &Flags) -> Fallible<Option<i32>> {
    let Some(text) = flags.text("retries").filter(|it| !it.value.is_empty()) else {
        return Ok(None);
    };
    let fail =
        |message| Err(Diagnostic::error(DiagnosticKind::Healthcheck, message, text.span).into());
    let digits = text.value.strip_prefix(['+', '-']).unwrap_or(&text.value);
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return fail(format!("strconv.ParseInt: parsing {}: invalid syntax", quote(&text.value)));
    }
    match text.value.parse::<i32>() {
        Ok(value) if value < 0 => fail(format!("--retries cannot be negative ({value})")),
        Ok(value) => Ok(Some(value)),
        Err(_) => {
            fail(format!("strconv.ParseInt: parsing {}: value out of range", quote(&text.value)))
        }
    }
}
