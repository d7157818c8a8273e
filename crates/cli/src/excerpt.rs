use std::ops::RangeInclusive;

use dfbuild::LineIndex;

use crate::source::Source;

/// The lines of an instruction and those around it, as BuildKit prints them. Empty if the text is
/// not there.
pub(crate) fn of(source: &Source, index: &LineIndex, marked: RangeInclusive<usize>) -> String {
    const RULE: &str = "--------------------";
    const AROUND: usize = 2;
    let line = *marked.start();
    let count = if source.text.is_empty() { 0 } else { index.line_count() };
    if line == 0 || line > count {
        return String::new();
    }
    let first = line.saturating_sub(AROUND).max(1);
    let last = (marked.end() + AROUND).min(count);
    let mut text = format!("{}:{line}\n{RULE}\n", source.name);
    for number in first..=last {
        let mark = if marked.contains(&number) { ">>>" } else { "   " };
        let span = index.line_span(number).unwrap_or_default();
        let shown = format!("{number:>4} | {mark} {}", &source.text[span.start..span.end]);
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text.push_str(RULE);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, marked: RangeInclusive<usize>) -> String {
        let source = Source::standard_input(text);
        of(&source, &LineIndex::new(text), marked)
    }

    #[test]
    fn an_instruction_over_several_lines() {
        assert_eq!(
            excerpt("FROM a\n\nRUN x && \\\n  # why\n  y\nRUN z\n\nRUN w\n", 3..=5),
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
    fn nothing_to_show() {
        assert_eq!(excerpt("", 1..=1), "");
        assert_eq!(excerpt("FROM a", 0..=0), "");
        assert_eq!(excerpt("FROM a", 2..=2), "");
    }
}
