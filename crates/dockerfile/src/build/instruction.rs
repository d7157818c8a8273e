//! From a node to a typed instruction. The order of the checks is that of the reference implementation, so that the first
//! error is the same.

use super::flags::{Flags, Takes};
use super::{healthcheck, mount, transfer};
use crate::ast::{
    Arg, ArgDeclaration, Command, Expose, From, Instruction, InstructionKind, KeyValue, KeyValues,
    Maintainer, MountError, MountFlag, Network, Onbuild, Run, Security, Shell, Stopsignal, User,
    Volume, Workdir,
};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::node::Node;
use crate::quote::quote;
use crate::span::{Span, Spanned};
use crate::suggest;

const NAMES: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// Whether there is an instruction of this name.
pub(super) fn is_known(keyword: &str) -> bool {
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(keyword))
}

/// The error for a line that begins with no instruction.
pub(super) fn unknown(node: &Node) -> Diagnostic {
    let keyword = &node.keyword;
    let suggestion = suggest::closest_ignoring_case(&keyword.value, NAMES);
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

/// Types a node of a known instruction.
pub(super) fn read(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Instruction> {
    match kind(node, diagnostics) {
        Ok(kind) => Some(Instruction {
            span: node.span,
            head: node.head,
            lines: node.lines,
            keyword: node.keyword.clone(),
            comments: node.comments.clone(),
            original: node.original.trim().to_owned(),
            flags: node.flags.clone(),
            empty_continuations: node.empty_continuations.clone(),
            kind,
        }),
        Err(mut diagnostic) => {
            diagnostic.line.get_or_insert(node.lines.start);
            diagnostics.push(diagnostic);
            None
        }
    }
}

fn kind(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Result<InstructionKind, Diagnostic> {
    Ok(match node.keyword.value.to_ascii_lowercase().as_str() {
        "add" => InstructionKind::Add(transfer::add(node)?),
        "arg" => InstructionKind::Arg(arg(node)?),
        "cmd" => InstructionKind::Cmd(flagless_command(node)?),
        "copy" => InstructionKind::Copy(transfer::copy(node, diagnostics)?),
        "entrypoint" => InstructionKind::Entrypoint(flagless_command(node)?),
        "env" => InstructionKind::Env(key_values(node, "ENV")?),
        "expose" => InstructionKind::Expose(expose(node)?),
        "from" => InstructionKind::From(from(node)?),
        "healthcheck" => InstructionKind::Healthcheck(healthcheck::read(node)?),
        "label" => InstructionKind::Label(key_values(node, "LABEL")?),
        "maintainer" => {
            InstructionKind::Maintainer(Maintainer { name: exactly_one(node, "MAINTAINER")? })
        }
        "onbuild" => InstructionKind::Onbuild(onbuild(node, diagnostics)?),
        "run" => InstructionKind::Run(run(node)?),
        "shell" => InstructionKind::Shell(shell(node)?),
        "stopsignal" => {
            InstructionKind::Stopsignal(Stopsignal { signal: one(node, "STOPSIGNAL")? })
        }
        "user" => InstructionKind::User(User { user: exactly_one(node, "USER")? }),
        "volume" => InstructionKind::Volume(volume(node)?),
        _ => InstructionKind::Workdir(Workdir { path: exactly_one(node, "WORKDIR")? }),
    })
}

pub(super) fn at_least_one(node: &Node, keyword: &str) -> Diagnostic {
    let message = format!("{keyword} requires at least one argument");
    Diagnostic::error(DiagnosticKind::ArgumentCount, message, node.keyword.span)
}

/// The only argument, whatever the flags.
fn one(node: &Node, keyword: &str) -> Result<Spanned<String>, Diagnostic> {
    node.args.first().cloned().ok_or_else(|| {
        let message = format!("{keyword} requires exactly one argument");
        Diagnostic::error(DiagnosticKind::ArgumentCount, message, node.keyword.span)
    })
}

/// The only argument of an instruction that takes no flags.
fn exactly_one(node: &Node, keyword: &str) -> Result<Spanned<String>, Diagnostic> {
    let argument = one(node, keyword)?;
    Flags::read(&node.flags, &[])?;
    Ok(argument)
}

/// The command of a node, from its arguments on.
pub(super) fn command(node: &Node, args: &[Spanned<String>]) -> Command {
    match args {
        _ if node.json => Command::Exec(args.to_vec()),
        [] => Command::Shell(Spanned::new(String::new(), Span::at(node.args_span.end))),
        [text, ..] => Command::Shell(text.clone()),
    }
}

fn flagless_command(node: &Node) -> Result<Command, Diagnostic> {
    Flags::read(&node.flags, &[])?;
    Ok(command(node, &node.args))
}

/// The text behind a name in the comments above an instruction.
pub(super) fn doc(comments: &[Spanned<String>], name: &str) -> Option<String> {
    let behind = |comment: &Spanned<String>| {
        comment.value.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')).map(str::to_owned)
    };
    if name.is_empty() { None } else { comments.iter().find_map(behind) }
}

fn blank_name(keyword: &str, span: Span) -> Diagnostic {
    Diagnostic::error(DiagnosticKind::KeyValue, format!("{keyword} names can not be blank"), span)
}

/// `ARG` never looks at its flags.
fn arg(node: &Node) -> Result<Arg, Diagnostic> {
    if node.args.is_empty() {
        return Err(at_least_one(node, "ARG"));
    }
    let declarations: Result<_, _> =
        node.args.iter().map(|word| declaration(word, &node.comments)).collect();
    Ok(Arg { declarations: declarations? })
}

fn declaration(
    word: &Spanned<String>,
    comments: &[Spanned<String>],
) -> Result<ArgDeclaration, Diagnostic> {
    let (name, value) = match word.value.split_once('=') {
        Some(("", _)) => return Err(blank_name("ARG", word.span)),
        Some((name, value)) => (name, Some(value)),
        None => (word.value.as_str(), None),
    };
    let (name_span, value_span) = split_span(word, name.len());
    Ok(ArgDeclaration {
        name: Spanned::new(name.to_owned(), name_span),
        value: value.map(|value| Spanned::new(value.to_owned(), value_span)),
        doc: doc(comments, name),
    })
}

/// The spans before and behind the `=` of a word. A word with a continuation in it has one span for both.
fn split_span(word: &Spanned<String>, name_len: usize) -> (Span, Span) {
    let Span { start, end } = word.span;
    if word.span.len() == word.value.len() && name_len < word.value.len() {
        (Span::new(start, start + name_len), Span::new(start + name_len + 1, end))
    } else {
        (word.span, word.span)
    }
}

fn key_values(node: &Node, keyword: &str) -> Result<KeyValues, Diagnostic> {
    Flags::read(&node.flags, &[])?;
    let mut pairs = Vec::with_capacity(node.args.len() / 3);
    let mut legacy = false;
    for triple in node.args.chunks_exact(3) {
        let [key, value, separator] = triple else { continue };
        if key.value.is_empty() {
            return Err(blank_name(keyword, key.span.join(separator.span)));
        }
        legacy |= separator.value.is_empty();
        pairs.push(KeyValue { key: key.clone(), value: value.clone() });
    }
    if pairs.is_empty() {
        return Err(at_least_one(node, keyword));
    }
    Ok(KeyValues { pairs, legacy })
}

fn expose(node: &Node) -> Result<Expose, Diagnostic> {
    if node.args.is_empty() {
        return Err(at_least_one(node, "EXPOSE"));
    }
    Flags::read(&node.flags, &[])?;
    Ok(Expose { ports: node.args.clone() })
}

fn from(node: &Node) -> Result<From, Diagnostic> {
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
    if let Some((_, name)) = alias
        && !is_stage_name(&name.value.to_lowercase())
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
        platform: flags.text("platform").filter(|it| !it.value.is_empty()),
        as_keyword: alias.map(|(keyword, _)| keyword.clone()),
        name: alias.map(|(_, name)| name.clone().map(|it| it.to_lowercase())),
        name_as_written: alias.map(|(_, name)| name.value.clone()),
    })
}

fn is_stage_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|it| it.is_ascii_lowercase())
        && chars.all(|it| {
            it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '-' | '_' | '.')
        })
}

/// Whether an instruction may be a trigger at all.
pub(super) fn check_trigger(keyword: &Spanned<String>) -> Result<(), Diagnostic> {
    let name = keyword.value.to_uppercase();
    let message = match name.as_str() {
        "ONBUILD" => "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
        "MAINTAINER" | "FROM" => format!("{name} isn't allowed as an ONBUILD trigger"),
        _ => return Ok(()),
    };
    Err(Diagnostic::error(DiagnosticKind::Onbuild, message, keyword.span))
}

fn onbuild(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Result<Onbuild, Diagnostic> {
    let Some(child) = &node.child else { return Err(at_least_one(node, "ONBUILD")) };
    Flags::read(&node.flags, &[])?;
    check_trigger(&child.keyword)?;
    let behind = node.original.trim_start();
    let mut trigger =
        behind.get(node.keyword.value.len()..).unwrap_or_default().trim_start().to_owned();
    for heredoc in &node.heredocs {
        trigger.push('\n');
        trigger.push_str(&heredoc.content);
        trigger.push_str(&heredoc.name);
    }
    // The trigger is stored as text: what is wrong with it fails the builds that run it, not this one.
    let child = Node { heredocs: node.heredocs.clone(), lines: node.lines, ..(**child).clone() };
    let mut found = Vec::new();
    let instruction = if is_known(&child.keyword.value) {
        read(&child, &mut found)
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

fn run(node: &Node) -> Result<Run, Diagnostic> {
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
        Some(value) => match value.value.as_str() {
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
        Some(value) => match value.value.as_str() {
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
    let device = |text: Spanned<String>| {
        mount::parse_device(&text.value).map_err(|MountError { message, suggestion }| {
            Diagnostic::error(DiagnosticKind::Value, message, text.span).with_suggestion(suggestion)
        })
    };
    let devices: Result<_, _> = flags.texts("device").into_iter().map(device).collect();
    Ok(Run {
        command: command(node, &node.args),
        heredocs: node.heredocs.clone(),
        mounts,
        network,
        security,
        devices: devices?,
    })
}

fn shell(node: &Node) -> Result<Shell, Diagnostic> {
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
    Ok(Shell { words: node.args.clone() })
}

fn volume(node: &Node) -> Result<Volume, Diagnostic> {
    if node.args.is_empty() {
        return Err(at_least_one(node, "VOLUME"));
    }
    Flags::read(&node.flags, &[])?;
    let paths: Vec<_> =
        node.args.iter().map(|path| path.clone().map(|it| it.trim().to_owned())).collect();
    if let Some(empty) = paths.iter().find(|path| path.value.is_empty()) {
        let message = "VOLUME specified can not be an empty string";
        return Err(Diagnostic::error(DiagnosticKind::Value, message, empty.span));
    }
    Ok(Volume { paths, json: node.json })
}
