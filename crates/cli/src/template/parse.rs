//! From text to a template.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

use super::{Argument, Call, Function, Node, Pipeline};

/// Reads the whole of a text.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    match block(&mut pieces)? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::Else) => Err("`{{else}}` belongs to nothing".to_owned()),
        (_, Stop::End) => Err("`{{end}}` ends nothing".to_owned()),
    }
}

/// What ended a block.
#[derive(PartialEq, Eq)]
enum Stop {
    Text,
    Else,
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
        pieces.push(Piece::Action(action.trim().to_owned()));
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
        let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
        nodes.push(match word {
            "end" => return Ok((nodes, Stop::End)),
            "else" => return Ok((nodes, Stop::Else)),
            "if" => {
                let condition = pipeline(rest)?;
                let (then, otherwise) = branches(pieces)?;
                Node::If { condition, then, otherwise }
            }
            "range" => {
                let over = pipeline(rest)?;
                let (each, otherwise) = branches(pieces)?;
                Node::Range { over, each, otherwise }
            }
            _ => Node::Print(pipeline(&action)?),
        });
    }
    Ok((nodes, Stop::Text))
}

/// What stands up to `{{end}}`, and behind an `{{else}}`.
fn branches(pieces: &mut impl Iterator<Item = Piece>) -> Result<(Vec<Node>, Vec<Node>), String> {
    let (first, mut end) = block(pieces)?;
    let mut second = Vec::new();
    if end == Stop::Else {
        (second, end) = block(pieces)?;
    }
    match end {
        Stop::End => Ok((first, second)),
        _ => Err("`{{end}}` is missing".to_owned()),
    }
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
                Argument::Nested(nested)
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

fn operand(word: &str) -> Result<Argument, String> {
    let path = word.strip_prefix('$').unwrap_or(word);
    if let Some(fields) = path.strip_prefix('.') {
        // The value that all began with is called `$`.
        let root = word.starts_with('$').then(|| "$".to_owned());
        let fields = fields.split('.').filter(|name| !name.is_empty()).map(str::to_owned);
        return Ok(Argument::Field(root.into_iter().chain(fields).collect()));
    }
    if word == "$" {
        return Ok(Argument::Field(vec![word.to_owned()]));
    }
    let literal: Result<Value, _> = serde_json::from_str(word);
    literal.map(Argument::Literal).map_err(|_| format!("`{word}` is no field, number or text"))
}

fn function(name: &str) -> Result<Function, String> {
    Ok(match name {
        "index" => Function::Index,
        "join" => Function::Join,
        "json" => Function::Json,
        "len" => Function::Len,
        "lower" => Function::Lower,
        "upper" => Function::Upper,
        _ => {
            return Err(format!(
                "there is no `{name}`: there are index, join, json, len, lower, upper, if and range; a field is `.{name}`"
            ));
        }
    })
}
