use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use dfbuild::Diagnostic;
use dfbuild::dockerfile::ast::Heredoc;
use dfbuild::dockerfile::lint::{LintOptions, expanded};
use dfbuild::dockerfile::node::{Node, Tree};
use dfbuild::dockerfile::{Word, parse, tree};
use dfbuild::{DiagnosticKind, Severity, Span};
use serde_json::{Value, json};

use crate::args::{ParseArgs, ParseFormat};
use crate::check::{self, Places};
use crate::source::Source;
use crate::{diagnostics, report};

/// Prints the tree of a Dockerfile.
pub(crate) fn run(args: &ParseArgs, environment: &dyn Fn(&str) -> Option<String>) -> ExitCode {
    let source = match Source::open(&args.file, &mut io::stdin().lock()) {
        Ok(source) => source,
        Err(text) => return report::error(&text),
    };
    let tree = tree(&source.text);
    let parsed = parse(&source.text);
    let mut found = parsed.diagnostics.clone();
    let text = if args.expand {
        let options = LintOptions {
            all_stages: true,
            ..check::options(&args.build_arg, None, None, environment)
        };
        let (instructions, error) = expanded(&source.text, &parsed, &options);
        if let Some(error) = error.filter(|_| !found.iter().any(Diagnostic::is_error)) {
            let kind = DiagnosticKind::Value;
            found.push(Diagnostic::new(Severity::Error, kind, error.message, error.span));
        }
        match args.format {
            ParseFormat::Sexpr => {
                let lines: Vec<&str> = instructions.iter().map(|it| it.text.as_str()).collect();
                lines.join("\n") + "\n"
            }
            ParseFormat::Json => {
                let entry = |it: &dfbuild::dockerfile::lint::ExpandedInstruction| {
                    json!({
                        "instruction": it.keyword,
                        "text": it.text,
                        "line": it.lines.start,
                        "end_line": it.lines.end,
                    })
                };
                let list: Vec<Value> = instructions.iter().map(entry).collect();
                format!("{:#}\n", Value::from(list))
            }
        }
    } else {
        match args.format {
            // BuildKit has no tree of a file that its parser refuses.
            ParseFormat::Sexpr if tree.diagnostics.iter().any(Diagnostic::is_error) => {
                String::new()
            }
            ParseFormat::Sexpr => format!("{}\n", tree.dump()),
            ParseFormat::Json => format!("{:#}\n", document(&source, &tree, &found)),
        }
    };
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let in_document = args.format == ParseFormat::Json && !args.expand;
    if !found.is_empty() && !in_document {
        let colour = io::stderr().is_terminal() && environment("NO_COLOR").is_none();
        let text = diagnostics::render(&source, &found, colour);
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
    if found.iter().any(Diagnostic::is_error) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn document(source: &Source, tree: &Tree, found: &[Diagnostic]) -> Value {
    let shown = Shown { places: Places::new(source) };
    let directives = &tree.directives;
    let text = |it: &Option<Word>| it.as_ref().map(|it| shown.word(it));
    json!({
        "file": source.name,
        "escape": directives.escape.as_ref().map_or('\\', |it| it.value),
        "directives": {
            "syntax": text(&directives.syntax.as_ref().map(|it| it.command_line.clone())),
            "check": text(&directives.check),
        },
        "instructions": tree.nodes.iter().map(|it| shown.node(it)).collect::<Vec<_>>(),
        "diagnostics": found.iter().map(|it| shown.diagnostic(it)).collect::<Vec<_>>(),
    })
}

/// Turns parts of a tree into JSON.
struct Shown<'a> {
    places: Places<'a>,
}

impl Shown<'_> {
    /// Bytes of the file, and lines and columns from 1.
    fn span(&self, span: Span) -> Value {
        let region = self.places.region(span);
        json!({
            "start": span.start,
            "end": span.end,
            "line": region.line,
            "column": region.column,
            "end_line": region.end_line,
            "end_column": region.end_column,
        })
    }

    fn word(&self, word: &Word) -> Value {
        json!({ "value": word.value, "span": self.span(word.span) })
    }

    fn words(&self, words: &[Word]) -> Vec<Value> {
        words.iter().map(|it| self.word(it)).collect()
    }

    fn node(&self, node: &Node) -> Value {
        json!({
            "keyword": self.word(&node.keyword),
            "flags": self.words(&node.flags),
            "args": self.words(&node.args),
            "json": node.json,
            "original": node.original,
            "comments": self.words(&node.comments),
            "heredocs": node.heredocs.iter().map(|it| self.heredoc(it)).collect::<Vec<_>>(),
            "onbuild": node.child.as_ref().map(|it| self.node(it)),
            "lines": [node.lines.start, node.lines.end],
            "span": self.span(node.span),
        })
    }

    fn heredoc(&self, heredoc: &Heredoc) -> Value {
        json!({
            "name": heredoc.name,
            "fd": heredoc.fd,
            "expand": heredoc.expand,
            "chomp": heredoc.chomp,
            "content": heredoc.content,
            "span": self.span(heredoc.span),
        })
    }

    fn diagnostic(&self, diagnostic: &Diagnostic) -> Value {
        let fix = diagnostic.fix.as_ref();
        json!({
            "severity": if diagnostic.is_error() { "error" } else { "warning" },
            "message": diagnostic.text(),
            "span": self.span(diagnostic.span),
            "help": diagnostic.help,
            "labels": diagnostic.labels.iter()
                .map(|it| json!({ "text": it.text, "span": self.span(it.span) }))
                .collect::<Vec<_>>(),
            "fix": fix.map(|fix| json!({ "span": self.span(fix.span), "text": fix.replacement })),
        })
    }
}
