//! What commands print as their result.

use std::io::{self, Write};

use serde::Serialize;

use crate::template::Template;

/// Prints a result. A reader that went away, as in `dfbuild images | head`, is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A document for scripts, and for people to read.
pub(crate) fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Objects, one a line.
pub(crate) fn json_lines<T: Serialize>(
    values: impl IntoIterator<Item = T>,
) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for value in values {
        text.push_str(&serde_json::to_string(&value)?);
        text.push('\n');
    }
    Ok(text)
}

/// The digits that people see of an id.
pub(crate) fn short_id(id: &str) -> &str {
    match id.strip_prefix("sha256:") {
        Some(hex) => hex.get(..12).unwrap_or(hex),
        None => id,
    }
}

/// Objects as a template has them, one a line; `as_table` aligns what tabs part, under the names of
/// the fields.
pub(crate) fn templated<T: Serialize>(
    values: &[T],
    template: &Template,
    as_table: bool,
) -> Result<String, Box<dyn std::error::Error>> {
    let render = |value: &T| -> Result<String, Box<dyn std::error::Error>> {
        let line = template.render(&serde_json::to_value(value)?);
        line.map_err(|text| format!("--format: {text}").into())
    };
    let lines = values.iter().map(render).collect::<Result<Vec<_>, _>>()?;
    if !as_table {
        return Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect());
    }
    let header = template.header();
    let lines = std::iter::once(&header).chain(&lines);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    Ok(columns(&rows))
}

/// Columns as Go's `tabwriter` makes them for docker: at least 10 wide, 3 spaces between, nothing
/// behind the last.
pub(crate) fn columns<'t, R: AsRef<[&'t str]>>(table: &[R]) -> String {
    const NARROWEST: usize = 10;
    const PADDING: usize = 3;
    let count = table.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let mut widths = vec![NARROWEST; count];
    for row in table {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.chars().count() + PADDING);
        }
    }
    let mut text = String::new();
    for row in table {
        let row = row.as_ref();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if at + 1 < row.len() {
                text.push_str(&format!("{cell:width$}"));
            } else {
                text.push_str(cell);
            }
        }
        text.push('\n');
    }
    text
}
