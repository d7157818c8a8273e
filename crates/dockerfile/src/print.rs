//! From the low-level tree back to text.

use crate::node::{Node, Tree};
use crate::parse::lines::before_continuation;
use crate::span::Word;

impl Tree<'_> {
    /// The tree as a Dockerfile: each instruction on a line of its own, with its comments above and its heredocs below.
    /// Read again, it gives the same tree, places aside, if all instructions are known.
    pub fn print(&self) -> String {
        let mut out = String::new();
        let directives = &self.directives;
        let syntax = directives.syntax.as_ref().map(|it| it.command_line.as_str());
        let escape = directives.escape.as_ref().map(|it| it.value.to_string());
        let check = directives.check.as_ref().map(Word::as_str);
        let all = [("syntax", syntax), ("escape", escape.as_deref()), ("check", check)];
        for (key, value) in all {
            if let Some(value) = value {
                out.push_str(&format!("# {key}={value}\n"));
            }
        }
        // A comment right below a directive could be read as one.
        out.push('\n');
        for node in &self.nodes {
            for comment in node.comments.iter() {
                out.push_str(&format!("# {}\n", comment.value));
            }
            let start = out.len();
            push_node(&mut out, node);
            if before_continuation(&out[start..], self.escape()).is_some() {
                // The text ended so without going on because of a blank that only the trimming takes for one.
                out.push('\u{b}');
            }
            out.push('\n');
            for heredoc in &node.heredocs {
                out.push_str(&heredoc.content);
                out.push_str(&heredoc.name);
                out.push('\n');
            }
        }
        out
    }
}

impl Tree<'_> {
    /// The escape character, which is ASCII.
    pub(crate) fn escape(&self) -> u8 {
        match &self.directives.escape {
            Some(escape) if escape.value == '`' => b'`',
            _ => b'\\',
        }
    }
}

fn push_node(out: &mut String, node: &Node) {
    out.push_str(&node.keyword.value);
    for flag in &node.flags {
        out.push(' ');
        push_flag(out, &flag.value);
    }
    if let Some(child) = &node.child {
        out.push(' ');
        push_node(out, child);
        return;
    }
    push_args(out, node, &node.keyword.value.to_ascii_lowercase());
}

fn push_args(out: &mut String, node: &Node, keyword: &str) {
    let mut args = node.args.as_slice();
    // What would be taken for a flag stands behind the end of the flags.
    if args.first().is_some_and(|it| it.value.starts_with("--")) && !node.json {
        out.push_str(" --");
    }
    if keyword == "env" || keyword == "label" {
        for triple in args.chunks_exact(3) {
            let separator = if triple[2].value.is_empty() { " " } else { "=" };
            out.push_str(&format!(" {}{separator}{}", triple[0].value, triple[1].value));
        }
        return;
    }
    if keyword == "healthcheck"
        && let Some((kind, command)) = args.split_first()
    {
        out.push_str(&format!(" {}", kind.value));
        args = command;
    }
    if node.json {
        let strings: Vec<String> = args.iter().map(|it| json_string(&it.value)).collect();
        out.push_str(&format!(" [{}]", strings.join(", ")));
        return;
    }
    for arg in args.iter().filter(|it| !it.value.is_empty()) {
        out.push(' ');
        out.push_str(&arg.value);
    }
}

/// A flag with escapes where it needs them; the escape character in flags is always `\`.
fn push_flag(out: &mut String, flag: &str) {
    for char in flag.chars() {
        if char.is_whitespace() || matches!(char, '\\' | '"' | '\'') {
            out.push('\\');
        }
        out.push(char);
    }
}

/// A string of JSON.
pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}
