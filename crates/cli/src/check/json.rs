//! A list of objects.

use std::io::{self, Write};

use dfbuild::Diagnostic;
use dfbuild::dockerfile::lint::{Finding, Level};
use serde::{Serialize, Serializer};

use super::{Checked, SYNTAX, SYNTAX_DOC};
use crate::place::{Places, Region};

/// A finding. Fields may be added, not taken away.
#[derive(Serialize)]
struct Entry<'a> {
    rule: &'a str,
    name: &'a str,
    /// `warning` or `advice`.
    level: &'a str,
    detail: &'a str,
    doc: &'a str,
    url: Option<&'a str>,
    file: &'a str,
    /// The lines that BuildKit names.
    line: usize,
    end_line: usize,
    /// The exact place.
    place: Region,
    help: Option<&'a str>,
    fix: Option<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    place: Region,
    text: &'a str,
}

/// Writes one entry after the other, since a file may have a million.
pub(super) fn write(out: &mut dyn Write, checked: &Checked) -> io::Result<()> {
    let places = Places::new(&checked.source);
    let entries = checked.report.findings.iter().map(|finding: &Finding| Entry {
        rule: finding.rule,
        name: finding.name,
        level: finding.level.name(),
        detail: &finding.detail,
        doc: finding.doc,
        url: finding.url,
        file: &checked.source.name,
        line: finding.lines.start,
        end_line: finding.lines.end,
        place: places.region(finding.span),
        help: finding.help.as_deref(),
        fix: finding
            .fix
            .as_ref()
            .map(|fix| Change { place: places.region(fix.span), text: &fix.replacement }),
    });
    let doubts = checked.doubts().map(|doubt: &Diagnostic| {
        let place = places.region(doubt.span);
        Entry {
            rule: SYNTAX,
            name: SYNTAX,
            level: Level::Warning.name(),
            detail: &doubt.message,
            doc: SYNTAX_DOC,
            url: None,
            file: &checked.source.name,
            line: place.line,
            end_line: place.end_line,
            place,
            help: None,
            fix: None,
        }
    });
    serde_json::Serializer::pretty(&mut *out).collect_seq(entries.chain(doubts))?;
    out.write_all(b"\n")
}
