//! A list of objects.

use dfbuild::dockerfile::lint::Finding;
use serde::Serialize;

use super::Checked;
use super::place::{Places, Region};

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

pub(super) fn render(checked: &Checked) -> String {
    let places = Places::new(&checked.source);
    let entry = |finding: &'_ Finding| -> serde_json::Value {
        let fix = finding.fix.as_ref();
        let entry = Entry {
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
            fix: fix.map(|fix| Change { place: places.region(fix.span), text: &fix.replacement }),
        };
        serde_json::to_value(entry).expect("the fields are texts and numbers")
    };
    let entries: Vec<serde_json::Value> = checked.report.findings.iter().map(entry).collect();
    format!("{:#}\n", serde_json::Value::from(entries))
}
