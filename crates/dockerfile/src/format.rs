//! A common look for Dockerfiles, without a change of what they mean.
//!
//! Only blanks between words and the case of keywords change. Comments and heredocs stay as they are, byte for byte, and so
//! does the text of shell commands, in which every blank may matter.

use crate::ast::Syntax;
use crate::node::{Node, Tree};
use crate::parse::lines::before_continuation;
use crate::parse::tree;
use crate::span::{Span, Word};

/// What stands before the words of a line that goes on.
const INDENT: &str = "    ";

/// The formatted file. A file with errors at the level of [`crate::tree`] comes back as it was.
///
/// - Keywords are in upper case, the `AS` of a `FROM` too, unless all are in lower case.
/// - One blank stands between words, and four at the start of a line that goes on.
/// - No blanks at the ends of lines, no second blank line, none inside an instruction or at the end; a newline at the end.
///
/// [`crate::tree`] makes the same of the result as of `source`, and formatting it again changes nothing.
pub fn format(source: &str) -> String {
    let before = tree(source);
    if before.diagnostics.iter().any(crate::Diagnostic::is_error) {
        return source.to_owned();
    }
    let formatted = Formatter::new(source, &before).run(&before);
    // A file that is too odd for the rules above is better left alone.
    let after = tree(&formatted);
    if same_meaning(&before, &after) && Formatter::new(&formatted, &after).run(&after) == formatted
    {
        formatted
    } else {
        source.to_owned()
    }
}

/// Whether two trees say the same, places aside.
pub fn same_meaning(a: &Tree, b: &Tree) -> bool {
    let (left, right) = (&a.directives, &b.directives);
    let syntax = |it: &Syntax| it.command_line.value.to_string();
    left.syntax.as_ref().map(syntax) == right.syntax.as_ref().map(syntax)
        && left.escape.as_ref().map(|it| it.value) == right.escape.as_ref().map(|it| it.value)
        && left.check.as_ref().map(Word::as_str) == right.check.as_ref().map(Word::as_str)
        && a.nodes.len() == b.nodes.len()
        && a.nodes.iter().zip(&b.nodes).all(|(a, b)| same_node(a, b))
}

fn same_node(a: &Node, b: &Node) -> bool {
    let words =
        |a: &[Word], b: &[Word]| a.iter().map(|it| &it.value).eq(b.iter().map(|it| &it.value));
    let args = || match (alias_keyword(a), alias_keyword(b)) {
        (Some(_), Some(_)) => {
            words(&a.args[..1], &b.args[..1]) && words(&a.args[2..], &b.args[2..])
        }
        _ => words(&a.args, &b.args),
    };
    a.keyword.value.eq_ignore_ascii_case(&b.keyword.value)
        && a.json == b.json
        && words(&a.flags, &b.flags)
        && args()
        && a.comments.iter().map(|it| it.value).eq(b.comments.iter().map(|it| it.value))
        && a.heredocs.len() == b.heredocs.len()
        && a.heredocs.iter().zip(&b.heredocs).all(|(a, b)| {
            (&a.name, a.fd, a.expand, a.chomp, &a.content)
                == (&b.name, b.fd, b.expand, b.chomp, &b.content)
        })
        && match (&a.child, &b.child) {
            (Some(a), Some(b)) => same_node(a, b),
            (None, None) => true,
            _ => false,
        }
}

/// The `AS` of a `FROM`, a keyword in the place of an argument.
fn alias_keyword(node: &Node) -> Option<Span> {
    const AS: &str = "as";
    let word = node.args.get(1).filter(|word| word.as_str().eq_ignore_ascii_case(AS))?;
    let is_whole = word.span.end - word.span.start == AS.len();
    let is_alias = node.keyword.value.eq_ignore_ascii_case("from") && node.args.len() > 2;
    (is_alias && is_whole).then_some(word.span)
}

struct Formatter<'a> {
    source: &'a str,
    escape: u8,
    newline: &'static str,
    lower: bool,
    out: String,
}

/// What stands between two words.
enum Gap<'a> {
    /// Blanks.
    Blanks,
    /// A line ends, and these comments follow.
    Lines(Vec<&'a str>),
}

impl<'a> Formatter<'a> {
    fn new(source: &'a str, tree: &Tree) -> Self {
        let is_lower =
            |node: &Node| !node.keyword.value.contains(|it: char| it.is_ascii_uppercase());
        Self {
            source,
            escape: tree.escape(),
            newline: if source.contains("\r\n") { "\r\n" } else { "\n" },
            lower: tree.nodes.iter().all(is_lower),
            out: String::with_capacity(source.len()),
        }
    }

    fn run(mut self, tree: &Tree) -> String {
        let mut at = 0;
        for node in &tree.nodes {
            let start = self.line_start(node.span.start);
            self.between(at, start);
            self.node(node);
            at = self.line_end(node.span.end);
        }
        self.between(at, self.source.len());
        let end = self.out.trim_end_matches(['\n', '\r', ' ', '\t']).len();
        // What ends the last line may be part of a comment.
        let rest = self.out[end..].find('\n').map_or(self.out.len(), |newline| end + newline);
        self.out.truncate(rest);
        if self.out.ends_with('\r') {
            self.out.pop();
        }
        if !self.out.is_empty() {
            self.out.push_str(self.newline);
        }
        self.out
    }

    fn line_start(&self, offset: usize) -> usize {
        self.source[..offset].rfind('\n').map_or(0, |at| at + 1)
    }

    /// The offset behind the line ending.
    fn line_end(&self, offset: usize) -> usize {
        self.source[offset..].find('\n').map_or(self.source.len(), |at| offset + at + 1)
    }

    /// Comments and blank lines between instructions.
    fn between(&mut self, start: usize, end: usize) {
        for line in self.source[start..end].split_inclusive('\n') {
            if !line.trim_start_matches('\u{feff}').trim().is_empty() {
                self.out.push_str(line);
                if !line.ends_with('\n') {
                    self.out.push_str(self.newline);
                }
                continue;
            }
            // A byte order mark is not worth keeping. A blank line at the top keeps comments from being directives.
            let blank_above = self.out.ends_with("\n\n") || self.out.ends_with("\n\r\n");
            let second_at_top = self.out == self.newline;
            if !blank_above && !second_at_top {
                self.out.push_str(self.newline);
            }
        }
    }

    fn node(&mut self, node: &Node) {
        // Blank lines at the very top matter only to comments.
        if self.out == self.newline {
            self.out.clear();
        }
        match self.head(node) {
            Some(head) => self.out.push_str(&head),
            None => self.verbatim(node),
        }
        self.out.push_str(self.newline);
        let body = self.line_end(node.head.end);
        let end = self.line_end(node.span.end);
        if body < end {
            self.out.push_str(&self.source[body..end]);
            if !self.out.ends_with('\n') {
                self.out.push_str(self.newline);
            }
        }
    }

    /// The instruction without its heredocs; `None` if it is too odd.
    fn head(&self, node: &Node) -> Option<String> {
        if node.keyword.span.start != node.span.start {
            return None;
        }
        let mut head = String::new();
        let end = self.push_words(&mut head, node)?;
        let rest = &self.source[end..node.head.end];
        if rest.trim().is_empty() { Some(head) } else { None }
    }

    /// Writes the words of an instruction: the offset behind the last one.
    fn push_words(&self, out: &mut String, node: &Node) -> Option<usize> {
        out.push_str(&self.keyword(&node.keyword.value));
        let mut end = node.keyword.span.end;
        for flag in &node.flags {
            end = self.push_word(out, end, flag.span)?;
        }
        if let Some(child) = &node.child {
            self.push_gap(out, self.source.get(end..child.keyword.span.start)?)?;
            return self.push_words(out, child);
        }
        let alias = alias_keyword(node);
        for span in self.words(node)? {
            end = self.push_word(out, end, span)?;
            if alias == Some(span) {
                let start = out.len() - (span.end - span.start);
                let keyword = self.keyword(&out[start..]);
                out.replace_range(start.., &keyword);
            }
        }
        Some(end)
    }

    /// The places of the words, `name=value` and JSON being one.
    fn words(&self, node: &Node) -> Option<Vec<Span>> {
        let spans = || node.args.iter().map(|it| it.span);
        match node.keyword.value.to_ascii_lowercase().as_str() {
            _ if node.args.is_empty() && !node.json => Some(Vec::new()),
            // Whatever stands in brackets stays as it is.
            "healthcheck" if node.json => {
                let first = node.args.first()?.span;
                let rest = self.source.get(first.end..node.args_span.end)?;
                let start = first.end + rest.find('[')?;
                Some(vec![first, Span::new(start, node.args_span.end)])
            }
            _ if node.json => Some(vec![node.args_span]),
            "env" | "label" => {
                let triples = node.args.chunks_exact(3);
                let words = triples.flat_map(|triple| {
                    if triple[2].value.is_empty() {
                        vec![triple[0].span, triple[1].span]
                    } else {
                        vec![triple[0].span.join(triple[2].span).join(triple[1].span)]
                    }
                });
                Some(words.filter(|it| !it.is_empty()).collect())
            }
            _ => Some(spans().filter(|it| !it.is_empty()).collect()),
        }
    }

    fn push_word(&self, out: &mut String, end: usize, span: Span) -> Option<usize> {
        self.push_gap(out, self.source.get(end..span.start)?)?;
        self.push_lines(out, self.source.get(span.start..span.end)?);
        Some(span.end)
    }

    /// Writes what separates two words.
    fn push_gap(&self, out: &mut String, gap: &'a str) -> Option<()> {
        match self.read_gap(gap)? {
            Gap::Blanks => out.push(' '),
            Gap::Lines(comments) => {
                out.push(' ');
                out.push(char::from(self.escape));
                out.push_str(self.newline);
                for comment in comments {
                    out.push_str(comment);
                }
                out.push_str(INDENT);
            }
        }
        Some(())
    }

    fn read_gap(&self, gap: &'a str) -> Option<Gap<'a>> {
        let is_blank =
            |text: &str| text.bytes().all(|it| matches!(it, b' ' | b'\t' | b'\r' | 0x0b | 0x0c));
        let mut lines: Vec<&str> = gap.split_inclusive('\n').collect();
        if gap.is_empty() {
            return None;
        }
        if !gap.contains('\n') {
            return is_blank(gap).then_some(Gap::Blanks);
        }
        let last = if gap.ends_with('\n') { "" } else { lines.pop()? };
        let (first, middle) = lines.split_first()?;
        let continues = |line: &str| {
            before_continuation(line.trim_end_matches(['\r', '\n']), self.escape)
                .is_some_and(is_blank)
        };
        if !is_blank(last) || !continues(first) {
            return None;
        }
        let mut comments = Vec::new();
        for line in middle {
            if line.trim_start().starts_with('#') {
                comments.push(*line);
            } else if !continues(line) && !line.trim().is_empty() {
                return None;
            }
        }
        Some(Gap::Lines(comments))
    }

    /// Writes text that may go over several lines: without blanks behind the escape character and without blank lines.
    fn push_lines(&self, out: &mut String, text: &str) {
        let mut lines = text.split_inclusive('\n');
        if let Some(first) = lines.next() {
            out.push_str(&self.without_trailing_blanks(first));
        }
        for line in lines {
            if line.trim_start().starts_with('#') {
                out.push_str(line);
            } else if !line.trim().is_empty() {
                out.push_str(&self.without_trailing_blanks(line));
            }
        }
    }

    fn without_trailing_blanks(&self, line: &str) -> String {
        let text = line.trim_end_matches(['\r', '\n']);
        match before_continuation(text, self.escape) {
            Some(before) if text.len() < line.len() => {
                format!("{before}{}{}", char::from(self.escape), &line[text.len()..])
            }
            _ => line.to_owned(),
        }
    }

    /// Writes an odd instruction as it is, with its keyword in the right case.
    fn verbatim(&mut self, node: &Node) {
        let keyword = self.keyword(&node.keyword.value);
        let before = &self.source[self.line_start(node.span.start)..node.keyword.span.start];
        let behind = &self.source[node.keyword.span.end..node.head.end];
        self.out.push_str(before.trim_start_matches([' ', '\t']));
        self.out.push_str(&keyword);
        self.out.push_str(behind);
    }

    fn keyword(&self, keyword: &str) -> String {
        if self.lower { keyword.to_ascii_lowercase() } else { keyword.to_ascii_uppercase() }
    }
}

#[cfg(test)]
mod tests {
    use super::format;

    fn check(source: &str, expect: &str) {
        let formatted = format(source);
        assert_eq!(formatted, expect, "{source}");
        assert_eq!(format(&formatted), formatted, "again");
    }

    #[test]
    fn blanks_and_keywords() {
        check(
            "\n\n  from   a  as b \nEnv a=1\tb=\"x  y\"   \n\n\n\n# why\n  run  --network=none   x  y  \nExpose  1   2\n\n",
            "FROM a AS b\nENV a=1 b=\"x  y\"\n\n# why\nRUN --network=none x  y\nEXPOSE 1 2\n",
        );
        check("from a\nrun  b", "from a\nrun b\n");
        check("from a AS As\n", "from a as As\n");
        check("FROM --platform=x a \\\n  as b\n", "FROM --platform=x a \\\n    AS b\n");
        check("FROM a A\\\nS b\n", "FROM a A\\\nS b\n");
        check(
            "FROM a\nCMD [ \"a\",\"b\" ]\nonbuild  run  x\n",
            "FROM a\nCMD [ \"a\",\"b\" ]\nONBUILD RUN x\n",
        );
        check(
            "FROM a\nHEALTHCHECK   --retries=1    CMD   [\"a\"]\nHEALTHCHECK  NONE\n",
            "FROM a\nHEALTHCHECK --retries=1 CMD [\"a\"]\nHEALTHCHECK NONE\n",
        );
    }

    #[test]
    fn continuations() {
        check(
            "FROM a\nENV a=1 \\  \n  # why  \n\n\tb=2 \\\n   c=3\nRUN a \\ \n\n  && b  \nCOPY \\\n a \\\n b\n",
            "FROM a\nENV a=1 \\\n  # why  \n    b=2 \\\n    c=3\nRUN a \\\n  && b\nCOPY \\\n    a \\\n    b\n",
        );
        check("# escape=`\nFROM a\nENV a=1 `\n b=2\n", "# escape=`\nFROM a\nENV a=1 `\n    b=2\n");
    }

    #[test]
    fn what_stays() {
        // Comments, heredocs and line endings.
        check(
            "FROM a\r\n  # c  \r\nRUN   <<E\r\n x  \r\n\r\n\r\nE\r\n\r\n\r\nUSER  b\r\n",
            "FROM a\r\n  # c  \r\nRUN <<E\r\n x  \r\n\r\n\r\nE\r\n\r\nUSER b\r\n",
        );
        // A blank line at the top keeps a comment from being a directive.
        check("\n\n# escape=`\nFROM a\n", "\n# escape=`\nFROM a\n");
        check("# escape=`\n\n\n\nFROM a\n", "# escape=`\n\nFROM a\n");
        // Odd things.
        check("FROM a\nCOPY  --  a b\n", "FROM a\nCOPY  --  a b\n");
        check("FROM a\nFOO  b\n", "FROM a\nFOO b\n");
        check("FROM a\nRUN <<E\n", "FROM a\nRUN <<E\n");
        check("", "");
    }
}
