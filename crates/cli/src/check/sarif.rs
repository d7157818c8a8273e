//! SARIF 2.1.0, the format of code scanning services.

use dfbuild::dockerfile::lint::{Finding, Level};
use dfbuild::{Diagnostic, Fix};
use serde_json::{Value, json};

use super::Checked;
use super::place::{Places, Region};

/// The rule that errors of the file itself go by.
const SYNTAX: &str = "DockerfileSyntax";

pub(super) fn render(checked: &Checked) -> String {
    let places = Places::new(&checked.source);
    let file = checked.source.name.as_str();
    let findings = &checked.report.findings;
    let mut rules: Vec<&Finding> = Vec::new();
    for finding in findings {
        if !rules.iter().any(|rule| rule.rule == finding.rule) {
            rules.push(finding);
        }
    }
    let index = |finding: &Finding| rules.iter().position(|rule| rule.rule == finding.rule);
    let mut results: Vec<Value> = Vec::new();
    for finding in findings {
        let mut result = json!({
            "ruleId": finding.rule,
            "ruleIndex": index(finding),
            "level": level(finding.level),
            "message": { "text": message(finding) },
            "locations": [location(file, places.region(finding.span))],
        });
        if let Some(fix) = &finding.fix {
            result["fixes"] = json!([change(file, fix, &places)]);
        }
        results.push(result);
    }
    let mut descriptions: Vec<Value> = rules.iter().map(|rule| describe(rule)).collect();
    if !checked.diagnostics.is_empty() {
        descriptions.push(json!({
            "id": SYNTAX,
            "shortDescription": { "text": "The Dockerfile has an error, or very likely means something else" },
        }));
        let index = descriptions.len() - 1;
        let places = &places;
        results.extend(checked.diagnostics.iter().map(|it| syntax(it, index, file, places)));
    }
    let document = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "dfbuild",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": descriptions,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}\n")
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

fn syntax(diagnostic: &Diagnostic, index: usize, file: &str, places: &Places) -> Value {
    let mut result = json!({
        "ruleId": SYNTAX,
        "ruleIndex": index,
        "level": if diagnostic.is_error() { "error" } else { "warning" },
        "message": { "text": diagnostic.text() },
        "locations": [location(file, places.region(diagnostic.span))],
    });
    if let Some(fix) = &diagnostic.fix {
        result["fixes"] = json!([change(file, fix, places)]);
    }
    result
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
