use std::ops::RangeInclusive;

use crate::source::Source;

/// The instruction that begins at `line` and the lines around it, as BuildKit prints them. Empty if
/// the text is not there.
pub(crate) fn of(source: &Source, line: usize) -> String {
    const RULE: &str = "--------------------";
    const AROUND: usize = 2;
    let lines: Vec<&str> = source.text.lines().collect();
    if line == 0 || line > lines.len() {
        return String::new();
    }
    let marked = instruction(&lines, line);
    let first = line.saturating_sub(AROUND).max(1);
    let last = (marked.end() + AROUND).min(lines.len());
    let mut text = format!("{}:{line}\n{RULE}\n", source.name);
    for number in first..=last {
        let mark = if marked.contains(&number) { ">>>" } else { "   " };
        let shown = format!("{number:>4} | {mark} {}", lines[number - 1]);
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text.push_str(RULE);
    text.push('\n');
    text
}

/// The lines of the instruction that begins at `line`: while they end with a backslash, with the
/// comments between, and up to the ends of its heredocs. Only for showing: the parser knows better.
fn instruction(lines: &[&str], line: usize) -> RangeInclusive<usize> {
    let mut last = line;
    while last < lines.len() && continues(lines[last - 1], last > line) {
        last += 1;
    }
    let words = lines[line - 1..last].iter().flat_map(|line| line.split_whitespace());
    for delimiter in words.filter_map(heredoc_delimiter) {
        let rest = &lines[last..];
        if let Some(end) = rest.iter().position(|line| line.trim_start_matches('\t') == delimiter) {
            last += end + 1;
        }
    }
    line..=last
}

fn continues(line: &str, inside: bool) -> bool {
    let line = line.trim();
    line.ends_with('\\') || (inside && (line.is_empty() || line.starts_with('#')))
}

fn heredoc_delimiter(word: &str) -> Option<&str> {
    let (_, delimiter) = word.split_once("<<")?;
    let delimiter = delimiter.strip_prefix('-').unwrap_or(delimiter);
    let delimiter = delimiter.trim_matches(['"', '\'']);
    let plain = delimiter.chars().all(|c| c.is_alphanumeric() || c == '_');
    (!delimiter.is_empty() && plain).then_some(delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, line: usize) -> String {
        of(&Source { name: "Dockerfile".into(), text: text.into() }, line)
    }

    #[test]
    fn an_instruction_over_several_lines() {
        assert_eq!(
            excerpt("FROM a\n\nRUN x && \\\n  # why\n  y\nRUN z\n\nRUN w\n", 3),
            "\
Dockerfile:3
--------------------
   1 |     FROM a
   2 |
   3 | >>> RUN x && \\
   4 | >>>   # why
   5 | >>>   y
   6 |     RUN z
   7 |
--------------------
"
        );
    }

    #[test]
    fn a_heredoc() {
        let text = excerpt("FROM a\nRUN <<-EOF\n\tx\n\tEOF\nRUN y", 2);
        let marked = text.lines().filter(|line| line.contains(">>>"));
        assert_eq!(
            marked.collect::<Vec<_>>(),
            ["   2 | >>> RUN <<-EOF", "   3 | >>> \tx", "   4 | >>> \tEOF"]
        );
    }

    #[test]
    fn nothing_to_show() {
        assert_eq!(excerpt("", 1), "");
        assert_eq!(excerpt("FROM a", 0), "");
        assert_eq!(excerpt("FROM a", 2), "");
    }
}
