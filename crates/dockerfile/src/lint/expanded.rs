//! Instructions as they are after expansion, for showing.

use super::LintOptions;
use super::convert;
use super::linter::Linter;
use super::{Problem, linter};
use crate::Parsed;
use crate::ast::{
    Add, Command, Copy, Heredoc, Instruction, InstructionKind, KeyValues, MountFlag, Run, Source,
};
use crate::csv;
use crate::expand::Expander;
use crate::print::json_string;
use crate::quote::quote;
use crate::span::{LineIndex, LineRange, Span, Word};

/// An instruction after expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandedInstruction {
    /// The keyword in upper case.
    pub keyword: &'static str,
    /// The text with variables and quotes resolved; heredocs stand below it. Read as a Dockerfile with `\` as its
    /// escape character, it means the same.
    pub text: String,
    /// Where it stands in the file.
    pub span: Span,
    /// Its lines.
    pub lines: LineRange,
}

/// Expands the instructions of all stages, or of those that a target needs, as a build does: in the order of the file and
/// up to the first error.
pub fn expanded(
    source: &str,
    parsed: &Parsed,
    options: &LintOptions,
) -> (Vec<ExpandedInstruction>, Option<Problem>) {
    let index = LineIndex::new(source);
    let mut linter = linter::Linter::recording(source, &index, options);
    let error = convert::run(&mut linter, parsed, options).err();
    let mut expanded = linter.recorded();
    expanded.sort_by_key(|it| it.span.start);
    (expanded, error)
}

/// Expands one word.
pub(super) type Expand<'a> = dyn FnMut(&str) -> Option<String> + 'a;

impl Linter<'_> {
    /// Notes an instruction. Words that have no value make an error elsewhere, and no note here.
    pub(super) fn record(&mut self, instruction: &Instruction, expand: &mut Expand) {
        if !self.is_recording() {
            return;
        }
        if let Some(text) = text(instruction, expand) {
            self.record_text(instruction, text);
        }
    }

    /// Notes an instruction that is text already.
    pub(super) fn record_text(&mut self, instruction: &Instruction, text: String) {
        if self.is_recording() {
            self.push_record(ExpandedInstruction {
                keyword: instruction.kind.name(),
                text,
                span: instruction.span,
                lines: instruction.lines,
            });
        }
    }
}

fn text(instruction: &Instruction, expand: &mut Expand) -> Option<String> {
    let keyword = instruction.keyword_text();
    let mut words = vec![keyword.to_string()];
    match &instruction.kind {
        InstructionKind::Add(Add { sources, dest, json, flags })
        | InstructionKind::Copy(Copy { sources, dest, json, flags }) => {
            for flag in flags {
                words.push(transfer_flag(&flag.value, expand)?);
            }
            words.push(paths(sources, dest, *json, expand)?);
            return with_heredocs(&words.join(" "), sources, expand);
        }
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            words.extend(key_values(pairs, expand)?);
        }
        InstructionKind::Expose(expose) => {
            for port in &expose.ports {
                words.push(expand(&port.value)?);
                words.pop_if(|it| it.is_empty());
            }
        }
        InstructionKind::From(from) => {
            if let Some(platform) = &from.platform {
                words.push(format!("--platform={}", expand(&platform.value)?));
            }
            words.push(expand(&from.image.value)?);
            if let Some(alias) = &from.alias {
                words.extend(alias.text().split_whitespace().map(str::to_owned));
            }
        }
        InstructionKind::Run(run) => return self::run(instruction, run, expand),
        InstructionKind::Stopsignal(it) => words.push(expand(&it.signal.value)?),
        InstructionKind::User(it) => words.push(expand(&it.user.value)?),
        InstructionKind::Volume(volume) => {
            let paths: Option<Vec<_>> = volume.paths.iter().map(|it| expand(&it.value)).collect();
            words.push(list(&paths?, volume.json));
        }
        InstructionKind::Workdir(it) => words.push(expand(&it.path.value)?),
        _ => return Some(instruction.original.text().into_owned()),
    }
    Some(words.join(" "))
}

fn key_values(pairs: &KeyValues, expand: &mut Expand) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for pair in &pairs.pairs {
        let (key, value) = (expand(&pair.key.value)?, expand(&pair.value.value)?);
        words.push(format!("{}={}", quoted(&key), quoted(&value)));
    }
    Some(words)
}

/// A flag of `COPY` or `ADD`; only some have a value that is expanded.
fn transfer_flag(flag: &str, expand: &mut Expand) -> Option<String> {
    Some(match flag.split_once('=') {
        Some((name @ ("--chown" | "--chmod" | "--checksum"), value)) => {
            format!("{name}={}", expand(value)?)
        }
        _ => flag.to_owned(),
    })
}

fn paths(sources: &[Source], dest: &Word, json: bool, expand: &mut Expand) -> Option<String> {
    let mut words = Vec::new();
    for source in sources {
        words.push(match source {
            Source::Path(path) => expand(&path.value)?,
            Source::Heredoc(heredoc) => marker(heredoc),
        });
    }
    words.push(expand(&dest.value)?);
    Some(list(&words, json))
}

/// The body has been expanded, so nothing in it may be expanded again.
fn marker(heredoc: &Heredoc) -> String {
    format!("<<'{}'", heredoc.name)
}

fn with_heredocs(head: &str, sources: &[Source], expand: &mut Expand) -> Option<String> {
    let mut text = head.to_owned();
    for source in sources {
        let Source::Heredoc(heredoc) = source else { continue };
        // The expander of words is not that of bodies; variables that are set are what matters for showing.
        let body = heredoc.text();
        let body = if heredoc.expand { expand_body(&body, expand)?.into() } else { body };
        text.push_str(&format!("\n{body}{}", heredoc.name));
    }
    Some(text)
}

/// Expands a body by asking for each variable alone.
fn expand_body(body: &str, expand: &mut Expand) -> Option<String> {
    let values = std::cell::RefCell::new(expand);
    let lookup = |name: &str| {
        // A variable that is not set stays different from an empty one.
        let set = (values.borrow_mut())(&format!("${{{name}+x}}"))?;
        if set.is_empty() { None } else { (values.borrow_mut())(&format!("${{{name}}}")) }
    };
    Expander::heredoc().expand_word(body, &lookup).ok()
}

fn run(instruction: &Instruction, run: &Run, expand: &mut Expand) -> Option<String> {
    let mut words = vec![instruction.keyword_text().into_owned()];
    let mut mounts = run.mounts();
    for flag in &run.flags {
        let mount = if flag.value.starts_with("--mount=") { mounts.next() } else { None };
        words.push(match mount {
            Some(mount) => format!("--mount={}", mount_text(&mount, expand)?),
            None => flag.value.to_string(),
        });
    }
    words.push(match &run.command {
        Command::Shell(text) => text.value.text().into_owned(),
        Command::Exec(words) => json(words.iter().map(Word::as_str)),
    });
    let mut text = words.join(" ");
    for heredoc in &run.heredocs {
        text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
    }
    Some(text)
}

fn mount_text(mount: &MountFlag, expand: &mut Expand) -> Option<String> {
    let mut fields = Vec::new();
    for field in csv::fields(&mount.text.value).ok()? {
        let field = match field.split_once('=') {
            Some((key, value)) if key != "from" => format!("{key}={}", expand(value)?),
            _ => field,
        };
        let plain = !field.contains([',', '"']);
        fields.push(if plain { field } else { format!("\"{}\"", field.replace('"', "\"\"")) });
    }
    Some(fields.join(","))
}

/// Words one after the other, or as JSON if they were, or if one of them has blanks.
fn list(words: &[String], json_form: bool) -> String {
    let blank = |word: &String| word.is_empty() || word.contains(char::is_whitespace);
    if json_form || words.iter().any(blank) {
        json(words.iter().map(String::as_str))
    } else {
        words.join(" ")
    }
}

fn json<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(json_string).collect();
    format!("[{}]", words.join(", "))
}

/// A value that is read back as it is.
pub(super) fn quoted(value: &str) -> String {
    let special = |it: char| it.is_whitespace() || matches!(it, '"' | '\'' | '\\' | '$');
    if !value.is_empty() && !value.contains(special) {
        return value.to_owned();
    }
    // A newline cannot stand in a word; Go's quotes show it at least.
    if value.contains('\n') {
        return quote(value);
    }
    let mut out = String::from('"');
    for char in value.chars() {
        if matches!(char, '"' | '\\' | '$') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
    out
}
