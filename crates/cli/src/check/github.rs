//! Commands of a GitHub workflow, which become annotations.

use std::fmt::Write;

use dfbuild::dockerfile::lint::Level;

use super::Checked;
use crate::place::Places;
use crate::workflow::{escape, property};

pub(super) fn render(checked: &Checked) -> String {
    let mut out = String::new();
    let file = checked.source.name.as_str();
    let places = Places::new(&checked.source);
    for diagnostic in &checked.diagnostics {
        let command = if diagnostic.is_error() { "error" } else { "notice" };
        let region = places.region(diagnostic.span);
        line(
            &mut out,
            command,
            file,
            (region.line, region.end_line),
            "Dockerfile",
            &diagnostic.text(),
        );
    }
    for finding in &checked.report.findings {
        let command = match finding.level {
            Level::Warning => "warning",
            Level::Advice if checked.strict => "warning",
            Level::Advice => "notice",
        };
        let lines = (finding.lines.start, finding.lines.end);
        let text = match (&finding.help, finding.url) {
            (Some(help), _) => format!("{}\n{help}", finding.detail),
            (None, Some(url)) => format!("{}\n{url}", finding.detail),
            (None, None) => finding.detail.clone(),
        };
        line(&mut out, command, file, lines, finding.rule, &text);
    }
    if let Some(violation) = &checked.report.violation {
        line(&mut out, "error", file, (1, 1), "check", violation);
    }
    out
}

fn line(
    out: &mut String,
    command: &str,
    file: &str,
    lines: (usize, usize),
    title: &str,
    text: &str,
) {
    let (first, last) = lines;
    let _ = writeln!(
        out,
        "::{command} file={},line={first},endLine={last},title={}::{}",
        property(file),
        property(title),
        escape(text)
    );
}
