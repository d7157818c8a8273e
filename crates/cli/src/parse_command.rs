use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use dfbuild::Diagnostic;
use dfbuild::dockerfile::ast::Heredoc;
use dfbuild::dockerfile::lint::{LintOptions, expanded};
use dfbuild::dockerfile::node::{Node, Tree};
use dfbuild::dockerfile::{Word, parse, tree};
use dfbuild::{DiagnosticKind, Severity, Span};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{ParseArgs, ParseFormat};
use crate::check;
use crate::place::{Places, Region};
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
    if !args.expand {
        // BuildKit's parser takes a variable where none is expanded; only its conversion, which is next, does not.
        for diagnostic in found.iter_mut().filter(|it| it.kind == DiagnosticKind::NoExpansion) {
            diagnostic.severity = Severity::Warning;
        }
    }
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
            ParseFormat::Json => {
                let mut text = Vec::new();
                let _ = write_document(&mut text, &source, &tree, &found);
                String::from_utf8_lossy(&text).into_owned()
            }
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

/// The tree as one object, with each instruction on a line of its own.
fn write_document(
    out: &mut dyn Write,
    source: &Source,
    tree: &Tree,
    found: &[Diagnostic],
) -> io::Result<()> {
    let shown = Shown { places: Places::new(source) };
    let directives = &tree.directives;
    let directives = Directives {
        syntax: directives.syntax.as_ref().map(|it| shown.word(&it.command_line)),
        check: directives.check.as_ref().map(|it| shown.word(it)),
    };
    let escape = tree.directives.escape.as_ref().map_or('\\', |it| it.value);
    writeln!(out, "{{\n\"file\": {},", serde_json::to_string(&source.name)?)?;
    writeln!(out, "\"escape\": {},", serde_json::to_string(&escape)?)?;
    writeln!(out, "\"directives\": {},", serde_json::to_string(&directives)?)?;
    write_list(out, "instructions", tree.nodes.iter().map(|it| shown.node(it)))?;
    out.write_all(b",\n")?;
    write_list(out, "diagnostics", found.iter().map(|it| shown.diagnostic(it)))?;
    out.write_all(b"\n}\n")
}

fn write_list<T: Serialize>(
    out: &mut dyn Write,
    name: &str,
    items: impl Iterator<Item = T>,
) -> io::Result<()> {
    write!(out, "\"{name}\": [")?;
    for (index, item) in items.enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &item)?;
    }
    out.write_all(b"]")
}

#[derive(Serialize)]
struct Directives<'a> {
    syntax: Option<Text<'a>>,
    check: Option<Text<'a>>,
}

/// Bytes of the file, and lines and columns from 1.
#[derive(Serialize)]
struct Place {
    start: usize,
    end: usize,
    #[serde(flatten)]
    region: Region,
}

#[derive(Serialize)]
struct Text<'a> {
    value: &'a str,
    span: Place,
}

#[derive(Serialize)]
struct Instruction<'a> {
    keyword: Text<'a>,
    flags: Vec<Text<'a>>,
    args: Vec<Text<'a>>,
    json: bool,
    original: Cow<'a, str>,
    comments: Vec<Text<'a>>,
    heredocs: Vec<Inline<'a>>,
    onbuild: Option<Box<Instruction<'a>>>,
    lines: [usize; 2],
    span: Place,
}

#[derive(Serialize)]
struct Inline<'a> {
    name: &'a str,
    fd: u64,
    expand: bool,
    chomp: bool,
    content: &'a str,
    span: Place,
}

#[derive(Serialize)]
struct Said<'a> {
    severity: &'a str,
    message: String,
    span: Place,
    help: Option<&'a str>,
    labels: Vec<Label<'a>>,
    fix: Option<Label<'a>>,
}

#[derive(Serialize)]
struct Label<'a> {
    text: &'a str,
    span: Place,
}

/// Turns parts of a tree into what is shown of them.
struct Shown<'a> {
    places: Places<'a>,
}

impl Shown<'_> {
    fn place(&self, span: Span) -> Place {
        Place { start: span.start, end: span.end, region: self.places.region(span) }
    }

    fn text<'t>(&self, value: &'t str, span: Span) -> Text<'t> {
        Text { value, span: self.place(span) }
    }

    fn word<'w>(&self, word: &'w Word) -> Text<'w> {
        self.text(&word.value, word.span)
    }

    fn words<'w>(&self, words: &'w [Word]) -> Vec<Text<'w>> {
        words.iter().map(|it| self.word(it)).collect()
    }

    fn node<'n>(&self, node: &'n Node) -> Instruction<'n> {
        Instruction {
            keyword: self.word(&node.keyword),
            flags: self.words(&node.flags),
            args: self.words(&node.args),
            json: node.json,
            original: node.original.text(),
            comments: node.comments.iter().map(|it| self.text(it.value, it.span)).collect(),
            heredocs: node.heredocs.iter().map(|it| self.heredoc(it)).collect(),
            onbuild: node.child.as_ref().map(|it| Box::new(self.node(it))),
            lines: [node.lines.start, node.lines.end],
            span: self.place(node.span),
        }
    }

    fn heredoc<'h>(&self, heredoc: &'h Heredoc) -> Inline<'h> {
        Inline {
            name: &heredoc.name,
            fd: heredoc.fd,
            expand: heredoc.expand,
            chomp: heredoc.chomp,
            content: &heredoc.content,
            span: self.place(heredoc.span),
        }
    }

    fn diagnostic<'d>(&self, diagnostic: &'d Diagnostic) -> Said<'d> {
        let label = |text, span| Label { text, span: self.place(span) };
        Said {
            severity: if diagnostic.is_error() { "error" } else { "warning" },
            message: diagnostic.text(),
            span: self.place(diagnostic.span),
            help: diagnostic.help.as_deref(),
            labels: diagnostic.labels.iter().map(|it| label(it.text.as_str(), it.span)).collect(),
            fix: diagnostic.fix.as_ref().map(|it| label(it.replacement.as_str(), it.span)),
        }
    }
}
