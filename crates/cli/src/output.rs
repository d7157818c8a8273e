//! What commands print as their result.

use std::io::{self, Write};

use serde::Serialize;

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

/// Columns as Go's `tabwriter` makes them for docker: at least 10 wide, 3 spaces between, nothing
/// behind the last.
pub(crate) fn columns<const N: usize>(table: &[[&str; N]]) -> String {
    const NARROWEST: usize = 10;
    const PADDING: usize = 3;
    let mut widths = [NARROWEST; N];
    for row in table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count() + PADDING);
        }
    }
    let mut text = String::new();
    for row in table {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            if at + 1 < N {
                text.push_str(&format!("{cell:width$}"));
            } else {
                text.push_str(cell);
            }
        }
        text.push('\n');
    }
    text
}
