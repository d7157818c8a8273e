//! `HEALTHCHECK`.

use super::flags::{Flags, Takes};
use super::instruction::{at_least_one, command};
use crate::ast::{Healthcheck, HealthcheckCommand};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::duration;
use crate::node::Node;
use crate::quote::quote;
use crate::span::Span;

/// The shortest duration, in nanoseconds, that is not taken for a slip of the unit.
const MINIMUM: i64 = 1_000_000;

pub(super) fn read<'a>(node: &mut Node<'a>) -> Result<Healthcheck<'a>, Diagnostic> {
    let Some((kind, args)) = node.args.split_first() else {
        return Err(at_least_one(node, "HEALTHCHECK"));
    };
    let fail =
        |message: String, span| Err(Diagnostic::error(DiagnosticKind::Healthcheck, message, span));
    let name = kind.value.to_uppercase();
    if name == "NONE" {
        // The flags are not even looked at.
        return match args.first() {
            None => Ok(Healthcheck::None),
            Some(extra) => fail("HEALTHCHECK NONE takes no arguments".to_owned(), extra.span),
        };
    }
    let known = [
        ("interval", Takes::Text),
        ("retries", Takes::Text),
        ("start-interval", Takes::Text),
        ("start-period", Takes::Text),
        ("timeout", Takes::Text),
    ];
    let flags = Flags::read(&node.flags, &known)?;
    if name != "CMD" {
        return fail(format!("Unknown type {} in HEALTHCHECK (try CMD)", quote(&name)), kind.span);
    }
    if args.is_empty() {
        return fail("Missing command after HEALTHCHECK CMD".to_owned(), Span::at(kind.span.end));
    }
    let interval = |name| self::interval(&flags, name);
    let (every, timeout) = (interval("interval")?, interval("timeout")?);
    let (start_period, start_interval) = (interval("start-period")?, interval("start-interval")?);
    let retries = retries(&flags)?;
    node.args.remove(0);
    let command = command(node);
    let interval = every;
    Ok(Healthcheck::Cmd(HealthcheckCommand {
        command,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    }))
}

fn interval(flags: &Flags, name: &str) -> Result<Option<i64>, Diagnostic> {
    let Some(text) = flags.text(name).filter(|it| !it.value.is_empty()) else { return Ok(None) };
    let fail = |message| Diagnostic::error(DiagnosticKind::Healthcheck, message, text.span);
    let value = duration::parse(&text.value)
        .map_err(|message| fail(message).with_help("write `30s` or `1m30s`"))?;
    if value != 0 && value < MINIMUM {
        return Err(fail(format!("Interval {} cannot be less than 1ms", quote(name))));
    }
    Ok(Some(value))
}

fn retries(flags: &Flags) -> Result<Option<i32>, Diagnostic> {
    let Some(text) = flags.text("retries").filter(|it| !it.value.is_empty()) else {
        return Ok(None);
    };
    let fail = |message| Err(Diagnostic::error(DiagnosticKind::Healthcheck, message, text.span));
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
