//! SARIF 2.1.0, the format of code scanning services.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};

use dfbuild::dockerfile::lint::{Finding, Level};
use dfbuild::{Diagnostic, Fix, Span};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{Checked, SYNTAX, SYNTAX_DOC};
use crate::place::{Places, Region};

/// The whole document.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Value,
    column_kind: &'static str,
    results: Results<'a>,
}

/// The results, each made when it is written, since a file may have a million.
struct Results<'a> {
    checked: &'a Checked,
    places: Places<'a>,
    /// The numbers of the rules.
    rules: HashMap<&'static str, usize>,
}

/// Writes the document.
pub(super) fn write(out: &mut dyn Write, checked: &Checked) -> io::Result<()> {
    let mut rules = HashMap::new();
    let mut descriptions = Vec::new();
    for finding in &checked.report.findings {
        if let Entry::Vacant(entry) = rules.entry(finding.rule) {
            entry.insert(descriptions.len());
            descriptions.push(describe(finding));
        }
    }
    if !checked.diagnostics.is_empty() {
        rules.insert(SYNTAX, descriptions.len());
        descriptions.push(json!({
            "id": SYNTAX,
            "shortDescription": { "text": SYNTAX_DOC },
        }));
    }
    let tool = json!({ "driver": {
        "name": "dfbuild",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": descriptions,
    } });
    let results = Results { checked, places: Places::new(&checked.source), rules };
    let document = Document {
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        version: "2.1.0",
        runs: [Run { tool, column_kind: "unicodeCodePoints", results }],
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let findings = self.checked.report.findings.iter().map(|it| self.finding(it));
        let diagnostics = self.checked.diagnostics.iter().map(|it| self.diagnostic(it));
        serializer.collect_seq(findings.chain(diagnostics))
    }
}

impl Results<'_> {
    fn finding(&self, finding: &Finding) -> Value {
        let level = level(finding.level);
        self.result(finding.rule, level, &message(finding), finding.span, finding.fix.as_ref())
    }

    fn diagnostic(&self, diagnostic: &Diagnostic) -> Value {
        let level = if diagnostic.is_error() { "error" } else { "warning" };
        self.result(SYNTAX, level, &diagnostic.text(), diagnostic.span, diagnostic.fix.as_ref())
    }

    fn result(&self, rule: &str, level: &str, text: &str, span: Span, fix: Option<&Fix>) -> Value {
        let file = self.checked.source.name.as_str();
        let mut result = json!({
            "ruleId": rule,
            "ruleIndex": self.rules.get(rule),
            "level": level,
            "message": { "text": text },
            "locations": [location(file, self.places.region(span))],
        });
        if let Some(fix) = fix {
            result["fixes"] = json!([change(file, fix, &self.places)]);
        }
        result
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Warning => "warning",
        Level::Advice => "note",
    }
}

fn message(finding: &Finding) -> String {
    match &finding.help {
        Some(help) => format!("{}. {help}", finding.detail),
        None => finding.detail.clone(),
    }
}

fn describe(rule: &Finding) -> Value {
    let mut description = json!({
        "id": rule.rule,
        "name": rule.name,
        "shortDescription": { "text": rule.doc },
        "defaultConfiguration": { "level": level(rule.level) },
    });
    if let Some(url) = rule.url {
        description["helpUri"] = url.into();
    }
    description
}

fn location(file: &str, region: Region) -> Value {
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(file) },
        "region": self::region(region),
    } })
}

fn region(region: Region) -> Value {
    json!({
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    })
}

fn change(file: &str, fix: &Fix, places: &Places) -> Value {
    json!({ "artifactChanges": [{
        "artifactLocation": { "uri": uri(file) },
        "replacements": [{
            "deletedRegion": region(places.region(fix.span)),
            "insertedContent": { "text": fix.replacement },
        }],
    }] })
}

/// A path as a relative reference.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
