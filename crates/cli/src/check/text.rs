//! For people, as `docker build --check` prints it.

use std::fmt::Write;

use dfbuild::dockerfile::lint::{Finding, Level};

use super::Checked;
use crate::diagnostics;
use crate::excerpt;
use crate::place::Places;
use crate::source::Source;

pub(super) fn render(checked: &Checked) -> String {
    let mut out = String::new();
    let places = Places::new(&checked.source);
    let findings = &checked.report.findings;
    for finding in findings.iter().take(diagnostics::MAX_SHOWN) {
        out.push_str(&one(finding, &checked.source, &places));
        out.push('\n');
    }
    if let Some(more) = findings.len().checked_sub(diagnostics::MAX_SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(out, "{more} more are not shown; --format json has them all.\n");
    }
    if let Some(violation) = &checked.report.violation {
        let _ = writeln!(out, "ERROR: {violation}\n");
    }
    let advice = checked.report.of_level(Level::Advice).count();
    if advice > 0 && !checked.strict {
        let _ = match advice {
            1 => writeln!(out, "1 piece of advice, which counts with --strict."),
            _ => writeln!(out, "{advice} pieces of advice, which count with --strict."),
        };
    }
    let errors = checked.diagnostics.iter().filter(|it| it.is_error()).count();
    let _ = match (errors, checked.count()) {
        (0, 0) => match checked.doubts().count() {
            0 => writeln!(out, "Check complete, no warnings found."),
            1 => writeln!(out, "Check complete, 1 warning follows, which counts with --strict."),
            n => writeln!(out, "Check complete, {n} warnings follow, which count with --strict."),
        },
        (0, 1) => writeln!(out, "Check complete, 1 warning has been found!"),
        (0, count) => writeln!(out, "Check complete, {count} warnings have been found!"),
        // The errors follow, on standard error.
        (_, 0) => Ok(()),
        (_, 1) => writeln!(out, "Check stopped by an error, 1 warning has been found!"),
        (_, count) => writeln!(out, "Check stopped by an error, {count} warnings have been found!"),
    };
    out
}

fn one(finding: &Finding, source: &Source, places: &Places) -> String {
    let mut out = match (finding.level, finding.url) {
        (Level::Warning, Some(url)) => format!("WARNING: {} - {url}\n", finding.rule),
        (Level::Warning, None) => format!("WARNING: {}\n", finding.rule),
        (Level::Advice, _) => format!("ADVICE: {} {}\n", finding.rule, finding.name),
    };
    let _ = writeln!(out, "{}", finding.detail);
    out.push_str(&excerpt::of(source, places.index(), finding.lines.start..=finding.lines.end));
    if let Some(help) = &finding.help {
        let _ = writeln!(out, "help: {help}");
    }
    if let Some(fix) = &finding.fix {
        let region = places.region(fix.span);
        let (line, column) = (region.line, region.column);
        let old = source.text.get(fix.span.start..fix.span.end).unwrap_or_default();
        let new = &fix.replacement;
        let _ = match (old.is_empty(), new.is_empty()) {
            (true, _) => writeln!(out, "fix: {line}:{column}: insert `{new}`"),
            (false, true) => writeln!(out, "fix: {line}:{column}: remove `{old}`"),
            (false, false) => writeln!(out, "fix: {line}:{column}: replace `{old}` by `{new}`"),
        };
    }
    out
}
