//! From text to a template.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

use super::functions::NAMES;
use super::{Argument, Base, Call, Head, Node, Pipeline};

/// Reads the whole of a text.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    match block(&mut pieces)? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::Else(_)) => Err("`{{else}}` belongs to nothing".to_owned()),
        (_, Stop::End) => Err("`{{end}}` ends nothing".to_owned()),
    }
}

/// What ended a block.
enum Stop {
    Text,
    /// With what stands behind it, as `if .A`.
    Else(String),
    End,
}

enum Piece {
    Text(String),
    Action(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let (mut rest, mut trim) = (text, false);
    while let Some((before, behind)) = rest.split_once("{{") {
        let (action, behind) = behind.split_once("}}").ok_or("`{{` without `}}`")?;
        let before = if trim { before.trim_start() } else { before };
        let (before, action) = match action.strip_prefix("- ") {
            Some(action) => (before.trim_end(), action),
            None => (before, action),
        };
        let (action, next) = match action.strip_suffix(" -") {
            Some(action) => (action, true),
            None => (action, false),
        };
        pieces.push(Piece::Text(before.to_owned()));
        let action = action.trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            pieces.push(Piece::Action(action.to_owned()));
        }
        (rest, trim) = (behind, next);
    }
    pieces.push(Piece::Text(if trim { rest.trim_start() } else { rest }.to_owned()));
    Ok(pieces)
}

fn block(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, Stop), String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = first_word(&action);
        nodes.push(match word {
            "end" => return Ok((nodes, Stop::End)),
            "else" => return Ok((nodes, Stop::Else(rest.to_owned()))),
            _ => match control(&action, pieces)? {
                Some(node) => node,
                None => Node::Print(head(&action)?),
            },
        });
    }
    Ok((nodes, Stop::Text))
}

/// `range` and `.Names` of `range .Names`, and of `range.Names`.
fn first_word(action: &str) -> (&str, &str) {
    let end = action.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(action.len());
    let (word, rest) = action.split_at(end);
    (word, rest.trim_start())
}

/// What has an `{{end}}`, if the action begins such a thing.
fn control(action: &str, pieces: &mut dyn Iterator<Item = Piece>) -> Result<Option<Node>, String> {
    let (word, rest) = first_word(action);
    if !matches!(word, "if" | "with" | "range") {
        return Ok(None);
    }
    let head = head(rest)?;
    let (then, otherwise) = branches(pieces)?;
    Ok(Some(match word {
        "if" => Node::If { head, then, otherwise },
        "with" => Node::With { head, then, otherwise },
        _ => Node::Range { head, then, otherwise },
    }))
}

/// What stands up to `{{end}}`, and behind an `{{else}}`.
fn branches(mut pieces: &mut dyn Iterator<Item = Piece>) -> Result<(Vec<Node>, Vec<Node>), String> {
    const MISSING: &str = "`{{end}}` is missing";
    let (first, stop) = block(&mut pieces)?;
    let second = match stop {
        Stop::End => Vec::new(),
        Stop::Text => return Err(MISSING.to_owned()),
        Stop::Else(rest) if rest.is_empty() => match block(&mut pieces)? {
            (second, Stop::End) => second,
            _ => return Err(MISSING.to_owned()),
        },
        Stop::Else(rest) => {
            vec![control(&rest, pieces)?.ok_or_else(|| format!("`else {rest}` is nothing"))?]
        }
    };
    Ok((first, second))
}

/// A pipeline, and the variables that are set to it: `$key, $value := .Labels`.
fn head(text: &str) -> Result<Head, String> {
    let is_name = |name: &&str| {
        let rest = name.strip_prefix('$').unwrap_or_default();
        !rest.is_empty() && rest.chars().all(|it| it.is_alphanumeric() || it == '_')
    };
    for sign in [":=", "="] {
        let Some((names, value)) = text.split_once(sign) else { continue };
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        if names.len() <= 2 && names.iter().all(is_name) {
            let names = names.into_iter().map(str::to_owned).collect();
            return Ok(Head { names, declares: sign == ":=", pipeline: pipeline(value)? });
        }
    }
    Ok(Head { names: Vec::new(), declares: false, pipeline: pipeline(text)? })
}

fn pipeline(text: &str) -> Result<Pipeline, String> {
    let mut letters = text.chars().peekable();
    let pipeline = calls(&mut letters)?;
    match letters.next() {
        None => Ok(pipeline),
        Some(letter) => Err(format!("`{letter}` is out of place in `{{{{{text}}}}}`")),
    }
}

fn calls(letters: &mut Peekable<Chars<'_>>) -> Result<Pipeline, String> {
    let mut calls = vec![call(letters)?];
    while letters.next_if_eq(&'|').is_some() {
        calls.push(call(letters)?);
    }
    Ok(calls)
}

fn call(letters: &mut Peekable<Chars<'_>>) -> Result<Call, String> {
    let mut call = Call { function: None, arguments: Vec::new() };
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let Some(letter) = letters.peek().copied().filter(|letter| !"|)".contains(*letter)) else {
            break;
        };
        let argument = match letter {
            '(' => {
                letters.next();
                let nested = calls(letters)?;
                letters.next_if_eq(&')').ok_or("a parenthesis is not closed")?;
                let behind = word(letters);
                match behind.strip_prefix('.') {
                    Some(names) => Argument::Field(Base::Nested(nested), fields(names)),
                    None if behind.is_empty() => Argument::Field(Base::Nested(nested), Vec::new()),
                    None => return Err(format!("`{behind}` is out of place behind `)`")),
                }
            }
            '"' | '`' => Argument::Literal(quoted(letters)?.into()),
            _ => {
                let word = word(letters);
                if call.function.is_none() && call.arguments.is_empty() && is_name(&word) {
                    call.function = Some(function(&word)?);
                    continue;
                }
                operand(&word)?
            }
        };
        call.arguments.push(argument);
    }
    if call.function.is_none() && call.arguments.is_empty() {
        return Err("an action is empty".to_owned());
    }
    Ok(call)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && !matches!(word, "true" | "false" | "nil")
}

fn quoted(letters: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let end = letters.next();
    let mut text = String::new();
    loop {
        match letters.next() {
            letter if letter == end => return Ok(text),
            Some('\\') if end == Some('"') => text.extend(letters.next()),
            Some(letter) => text.push(letter),
            None => return Err("a quote is not closed".to_owned()),
        }
    }
}

fn word(letters: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(letter) = letters.next_if(|it| !it.is_whitespace() && !"|()\"`".contains(*it)) {
        word.push(letter);
    }
    word
}

fn fields(names: &str) -> Vec<String> {
    names.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn operand(word: &str) -> Result<Argument, String> {
    if let Some(names) = word.strip_prefix('.') {
        return Ok(Argument::Field(Base::Here, fields(names)));
    }
    if word.starts_with('$') {
        let (name, names) = word.split_once('.').unwrap_or((word, ""));
        return Ok(Argument::Field(Base::Variable(name.to_owned()), fields(names)));
    }
    if word == "nil" {
        return Ok(Argument::Literal(Value::Null));
    }
    let literal: Result<Value, _> = serde_json::from_str(word);
    literal.map(Argument::Literal).map_err(|_| format!("`{word}` is no field, number or text"))
}

fn function(name: &str) -> Result<&'static str, String> {
    NAMES.iter().copied().find(|known| *known == name).ok_or_else(|| {
        let names = NAMES.join(", ");
        format!("there is no `{name}`: there are {names}, if, with and range; a field is `.{name}`")
    })
}
