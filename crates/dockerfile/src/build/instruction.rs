//! From a node to a typed instruction. The order of the checks is that of the reference implementation, so that the first
//! error is the same.

use std::borrow::Cow;
use std::ops::Range;

use super::flags::{Flags, Takes};
use super::{healthcheck, mount, transfer};
use crate::ast::{
    Arg, ArgDeclaration, Command, Expose, From, Instruction, InstructionKind, KeyValue, KeyValues,
    Maintainer, MountError, MountFlag, Network, Onbuild, Run, Security, Shell, Stopsignal, User,
    Volume, Workdir,
};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::Keyword;
use crate::node::Node;
use crate::parse::lines::{trim_end, trim_start};
use crate::quote::quote;
use crate::span::{Span, Spanned, Text, Word};
use crate::suggest;

/// The error for a line that begins with no instruction.
pub(super) fn unknown(node: &Node) -> Diagnostic {
    let keyword = &node.keyword;
    let suggestion = suggest::keyword(&keyword.value);
    let message = format!("unknown instruction: {}", keyword.value);
    let mut diagnostic =
        Diagnostic::error(DiagnosticKind::UnknownInstruction, message, keyword.span);
    diagnostic.line = Some(node.lines.start);
    if let Some(name) = &suggestion {
        diagnostic = diagnostic.with_fix(keyword.span, name);
    }
    if let Some(bad) = keyword.value.chars().find(|it| !it.is_ascii() && it.is_whitespace()) {
        diagnostic = diagnostic
            .with_help(format!("U+{:04X} looks like a space, but is none", u32::from(bad)));
    }
    diagnostic.with_suggestion(suggestion)
}

/// The payload of a known instruction, made of what it takes out of the node.
pub(super) fn read<'a>(
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<InstructionKind<'a>> {
    match kind(node, diagnostics) {
        Ok(kind) => Some(kind),
        Err(mut diagnostic) => {
            diagnostic.line.get_or_insert(node.lines.start);
            diagnostics.push(*diagnostic);
            None
        }
    }
}

/// Puts an instruction together from its payload and the rest of its node.
#[inline]
pub(super) fn finish<'a>(node: &mut Node<'a>, kind: InstructionKind<'a>) -> Instruction<'a> {
    Instruction {
        span: node.span,
        head: node.head,
        lines: node.lines,
        keyword: std::mem::take(&mut node.keyword),
        comments: std::mem::take(&mut node.comments),
        original: node.original.without_blanks(),
        flags: std::mem::take(&mut node.flags),
        empty_continuations: std::mem::take(&mut node.empty_continuations),
        kind,
    }
}

/// Without blanks at the ends.
fn trimmed(text: Text<'_>) -> Text<'_> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim_start(trim_end(text))),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The payload of an instruction, which takes what it needs out of the node.
fn kind<'a>(
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<InstructionKind<'a>, Box<Diagnostic>> {
    Ok(match node.name {
        Some(Keyword::Add) => InstructionKind::Add(transfer::add(node)?),
        Some(Keyword::Arg) => InstructionKind::Arg(arg(node)?),
        Some(Keyword::Cmd) => InstructionKind::Cmd(flagless_command(node)?),
        Some(Keyword::Copy) => InstructionKind::Copy(transfer::copy(node, diagnostics)?),
        Some(Keyword::Entrypoint) => InstructionKind::Entrypoint(flagless_command(node)?),
        Some(Keyword::Env) => InstructionKind::Env(key_values(node, "ENV")?),
        Some(Keyword::Expose) => InstructionKind::Expose(expose(node)?),
        Some(Keyword::From) => InstructionKind::From(from(node)?),
        Some(Keyword::Healthcheck) => InstructionKind::Healthcheck(healthcheck::read(node)?),
        Some(Keyword::Label) => InstructionKind::Label(key_values(node, "LABEL")?),
        Some(Keyword::Maintainer) => {
            InstructionKind::Maintainer(Maintainer { name: exactly_one(node, "MAINTAINER")? })
        }
        Some(Keyword::Onbuild) => InstructionKind::Onbuild(onbuild(node, diagnostics)?),
        Some(Keyword::Run) => InstructionKind::Run(run(node)?),
        Some(Keyword::Shell) => InstructionKind::Shell(shell(node)?),
        Some(Keyword::Stopsignal) => {
            InstructionKind::Stopsignal(Stopsignal { signal: one(node, "STOPSIGNAL")? })
        }
        Some(Keyword::User) => InstructionKind::User(User { user: exactly_one(node, "USER")? }),
        Some(Keyword::Volume) => InstructionKind::Volume(volume(node)?),
        Some(Keyword::Workdir) => {
            InstructionKind::Workdir(Workdir { path: exactly_one(node, "WORKDIR")? })
        }
        None => return Err(unknown(node).into()),
    })
}

pub(super) fn at_least_one(node: &Node, keyword: &str) -> Diagnostic {
    let message = format!("{keyword} requires at least one argument");
    Diagnostic::error(DiagnosticKind::ArgumentCount, message, node.keyword.span)
}

/// The only argument, whatever the flags.
#[inline]
fn one<'a>(node: &mut Node<'a>, keyword: &str) -> Result<Word<'a>, Diagnostic> {
    node.args.truncate(1);
    node.args.pop().ok_or_else(|| not_one(node, keyword))
}

#[cold]
fn not_one(node: &Node, keyword: &str) -> Diagnostic {
    let message = format!("{keyword} requires exactly one argument");
    Diagnostic::error(DiagnosticKind::ArgumentCount, message, node.keyword.span)
}

/// The only argument of an instruction that takes no flags.
#[inline]
fn exactly_one<'a>(node: &mut Node<'a>, keyword: &str) -> Result<Word<'a>, Diagnostic> {
    if node.args.is_empty() {
        return Err(not_one(node, keyword));
    }
    Flags::read(&node.flags, &[])?;
    one(node, keyword)
}

/// The command of a node, from its arguments on.
pub(super) fn command<'a>(node: &mut Node<'a>) -> Command<'a> {
    if node.json {
        return Command::Exec(std::mem::take(&mut node.args));
    }
    let nothing = Span::at(node.args_span.end);
    node.args.truncate(1);
    let text = node.args.pop();
    Command::Shell(text.unwrap_or_else(|| Spanned::new(Cow::Borrowed(""), nothing)))
}

fn flagless_command<'a>(node: &mut Node<'a>) -> Result<Command<'a>, Diagnostic> {
    Flags::read(&node.flags, &[])?;
    Ok(command(node))
}

/// The text behind a name in the comments above an instruction.
pub(super) fn doc<'a>(comments: &[Word<'a>], name: &str) -> Option<Text<'a>> {
    let behind = |comment: &Word<'a>| {
        comment.value.strip_prefix(name)?.strip_prefix(' ')?;
        Some(part(&comment.value, name.len() + 1..comment.value.len()))
    };
    if name.is_empty() { None } else { comments.iter().find_map(behind) }
}

/// A part of a text, which is borrowed if the text is.
fn part<'a>(text: &Text<'a>, range: Range<usize>) -> Text<'a> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
    }
}

fn blank_name(keyword: &str, span: Span) -> Diagnostic {
    Diagnostic::error(DiagnosticKind::KeyValue, format!("{keyword} names can not be blank"), span)
}

/// `ARG` never looks at its flags.
fn arg<'a>(node: &Node<'a>) -> Result<Arg<'a>, Diagnostic> {
    if node.args.is_empty() {
        return Err(at_least_one(node, "ARG"));
    }
    let mut declarations = Vec::with_capacity(node.args.len());
    for word in &node.args {
        declarations.push(declaration(word, &node.comments)?);
    }
    Ok(Arg { declarations })
}

fn declaration<'a>(
    word: &Word<'a>,
    comments: &[Word<'a>],
) -> Result<ArgDeclaration<'a>, Diagnostic> {
    let equals = memchr::memchr(b'=', word.value.as_bytes());
    if equals == Some(0) {
        return Err(blank_name("ARG", word.span));
    }
    let end = equals.unwrap_or(word.value.len());
    let (name_span, value_span) = split_span(word, end);
    let value = equals.map(|equals| part(&word.value, equals + 1..word.value.len()));
    Ok(ArgDeclaration {
        name: Spanned::new(part(&word.value, 0..end), name_span),
        value: value.map(|value| Spanned::new(value, value_span)),
        doc: doc(comments, &word.value[..end]),
    })
}

/// The spans before and behind the `=` of a word. A word with a continuation in it has one span for both.
fn split_span(word: &Word, name_len: usize) -> (Span, Span) {
    let Span { start, end } = word.span;
    if word.span.len() == word.value.len() && name_len < word.value.len() {
        (Span::new(start, start + name_len), Span::new(start + name_len + 1, end))
    } else {
        (word.span, word.span)
    }
}

fn key_values<'a>(node: &mut Node<'a>, keyword: &str) -> Result<KeyValues<'a>, Diagnostic> {
    Flags::read(&node.flags, &[])?;
    let mut pairs = Vec::with_capacity(node.args.len() / 3);
    let mut legacy = false;
    let mut words = node.args.drain(..);
    while let (Some(key), Some(value), Some(separator)) = (words.next(), words.next(), words.next())
    {
        if key.value.is_empty() {
            return Err(blank_name(keyword, key.span.join(separator.span)));
        }
        legacy |= separator.value.is_empty();
        pairs.push(KeyValue { key, value });
    }
    drop(words);
    if pairs.is_empty() {
        return Err(at_least_one(node, keyword));
    }
    Ok(KeyValues { pairs, legacy })
}

fn expose<'a>(node: &mut Node<'a>) -> Result<Expose<'a>, Diagnostic> {
    if node.args.is_empty() {
        return Err(at_least_one(node, "EXPOSE"));
    }
    Flags::read(&node.flags, &[])?;
    Ok(Expose { ports: std::mem::take(&mut node.args) })
}

fn from<'a>(node: &Node<'a>) -> Result<From<'a>, Diagnostic> {
    let (image, alias) = match node.args.as_slice() {
        [image] => (image, None),
        [image, keyword, name] if keyword.value.eq_ignore_ascii_case("as") => {
            (image, Some((keyword, name)))
        }
        args => {
            let message = "FROM requires either one or three arguments";
            let span = if args.is_empty() { node.keyword.span } else { node.args_span };
            let diagnostic = Diagnostic::error(DiagnosticKind::ArgumentCount, message, span);
            return Err(match args {
                [image, name] => diagnostic.with_help(format!(
                    "write `FROM {} AS {}` to name the stage",
                    image.value, name.value
                )),
                args if args.iter().any(|it| it.value.starts_with('#')) => {
                    diagnostic.with_help("a comment needs a line of its own")
                }
                _ => diagnostic.with_help("write `FROM image` or `FROM image AS name`"),
            });
        }
    };
    let lower = alias.map(|(_, name)| Spanned::new(lowercase(&name.value), name.span));
    if let (Some((_, name)), Some(lower)) = (alias, &lower)
        && !is_stage_name(&lower.value)
    {
        let message = format!(
            "invalid name for build stage: {}, name can't start with a number or contain symbols",
            quote(&name.value)
        );
        return Err(Diagnostic::error(DiagnosticKind::StageName, message, name.span)
            .with_help("a name is letters, digits, `-`, `_` and `.`, and begins with a letter"));
    }
    let flags = Flags::read(&node.flags, &[("platform", Takes::Text)])?;
    Ok(From {
        image: image.clone(),
        platform: flags.text("platform").filter(|it| !it.value.is_empty()).map(Box::new),
        as_keyword: alias.map(|(keyword, _)| Box::new(keyword.clone())),
        name: lower,
        name_as_written: alias.map(|(_, name)| name.value.clone()),
    })
}

fn lowercase<'a>(text: &Text<'a>) -> Text<'a> {
    if text.bytes().all(|it| it.is_ascii() && !it.is_ascii_uppercase()) {
        text.clone()
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

fn is_stage_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|it| it.is_ascii_lowercase())
        && chars.all(|it| {
            it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '-' | '_' | '.')
        })
}

/// Whether an instruction may be a trigger at all.
pub(super) fn check_trigger(node: &Node) -> Result<(), Diagnostic> {
    let message = match node.name {
        Some(Keyword::Onbuild) => "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
        Some(name @ (Keyword::Maintainer | Keyword::From)) => {
            format!("{} isn't allowed as an ONBUILD trigger", name.name())
        }
        _ => return Ok(()),
    };
    Err(Diagnostic::error(DiagnosticKind::Onbuild, message, node.keyword.span))
}

fn onbuild<'a>(
    node: &mut Node<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Onbuild<'a>, Diagnostic> {
    let Some(child) = node.child.take() else { return Err(at_least_one(node, "ONBUILD")) };
    Flags::read(&node.flags, &[])?;
    check_trigger(&child)?;
    let text = node.original.without_blanks().text();
    let behind = text.get(node.keyword.value.len()..).unwrap_or_default().trim_start();
    let mut trigger = part(&text, text.len() - behind.len()..text.len());
    for heredoc in &node.heredocs {
        let whole = trigger.to_mut();
        whole.push('\n');
        whole.push_str(&heredoc.content);
        whole.push_str(&heredoc.name);
    }
    // The trigger is stored as text: what is wrong with it fails the builds that run it, not this one.
    let mut child = Node { heredocs: node.heredocs.clone(), lines: node.lines, ..*child };
    let mut found = Vec::new();
    let instruction = if child.name.is_some() {
        read(&mut child, &mut found).map(|kind| finish(&mut child, kind))
    } else {
        found.push(unknown(&child));
        None
    };
    diagnostics.extend(found.into_iter().map(|mut diagnostic| {
        diagnostic.severity = crate::Severity::Warning;
        diagnostic.line = None;
        diagnostic
    }));
    Ok(Onbuild { trigger, instruction: instruction.map(Box::new) })
}

fn run<'a>(node: &mut Node<'a>) -> Result<Run<'a>, Diagnostic> {
    let known = [
        ("device", Takes::Texts),
        ("mount", Takes::Texts),
        ("network", Takes::Text),
        ("security", Takes::Text),
    ];
    let flags = Flags::read(&node.flags, &known)?;
    let value_error =
        |message: String, span| Diagnostic::error(DiagnosticKind::Value, message, span);
    let mounts: Vec<MountFlag> =
        flags.texts("mount").into_iter().map(|text| MountFlag { text }).collect();
    for flag in &mounts {
        mount::check_unexpanded(&flag.text.value)
            .map_err(|message| Diagnostic::error(DiagnosticKind::Mount, message, flag.text.span))?;
    }
    let network = match flags.text("network") {
        None => Network::Default,
        Some(value) => match &*value.value {
            "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => {
                return Err(value_error(
                    format!("invalid network mode {}", quote(other)),
                    value.span,
                ));
            }
        },
    };
    let security = match flags.text("security") {
        None => Security::Sandbox,
        Some(value) => match &*value.value {
            "sandbox" => Security::Sandbox,
            "insecure" => Security::Insecure,
            other => {
                return Err(value_error(
                    format!("security {} is not valid", quote(other)),
                    value.span,
                ));
            }
        },
    };
    let device = |text: Word| {
        mount::parse_device(&text.value).map_err(|MountError { message, suggestion }| {
            Diagnostic::error(DiagnosticKind::Value, message, text.span).with_suggestion(suggestion)
        })
    };
    let devices: Result<_, _> = flags.texts("device").into_iter().map(device).collect();
    Ok(Run {
        command: command(node),
        heredocs: std::mem::take(&mut node.heredocs),
        mounts,
        network,
        security,
        devices: devices?,
    })
}

fn shell<'a>(node: &mut Node<'a>) -> Result<Shell<'a>, Diagnostic> {
    Flags::read(&node.flags, &[])?;
    if node.args.is_empty() {
        return Err(at_least_one(node, "SHELL"));
    }
    if !node.json {
        let message = "SHELL requires the arguments to be in JSON form";
        let words: Vec<String> = node.args[0].value.split_whitespace().map(quote).collect();
        return Err(Diagnostic::error(DiagnosticKind::Json, message, node.args_span)
            .with_help(format!("write `SHELL [{}]`", words.join(", "))));
    }
    Ok(Shell { words: std::mem::take(&mut node.args) })
}

fn volume<'a>(node: &mut Node<'a>) -> Result<Volume<'a>, Diagnostic> {
    if node.args.is_empty() {
        return Err(at_least_one(node, "VOLUME"));
    }
    Flags::read(&node.flags, &[])?;
    let paths: Vec<_> =
        std::mem::take(&mut node.args).into_iter().map(|path| path.map(trimmed)).collect();
    if let Some(empty) = paths.iter().find(|path| path.value.is_empty()) {
        let message = "VOLUME specified can not be an empty string";
        return Err(Diagnostic::error(DiagnosticKind::Value, message, empty.span));
    }
    Ok(Volume { paths, json: node.json })
}
