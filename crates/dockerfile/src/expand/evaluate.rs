//! From the pieces of a word to its value.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Lookup;
use super::pattern::{self, Problem};
use super::word::{Kind, Op, Piece, Variable};

/// What a word is worth.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    pub(super) value: String,
    pub(super) words: Vec<(String, Range<usize>)>,
}

/// Why a word is worth nothing, and whether the reader had come to the end of the word by then.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    at_end: bool,
}

impl Failure {
    /// An error at the very end of an operand in braces is reported as the missing end of the operand.
    fn inside(self, missing: &str) -> Self {
        if self.at_end {
            Self { reason: format!("syntax error: missing {missing}"), at_end: true }
        } else {
            self
        }
    }
}

/// Evaluates pieces against an environment.
pub(super) struct Evaluator<'a> {
    pub(super) env: &'a Lookup<'a>,
    pub(super) skip_unset: bool,
    /// The longest value.
    pub(super) limit: usize,
    pub(super) matched: BTreeSet<String>,
    pub(super) unmatched: BTreeSet<String>,
}

impl Evaluator<'_> {
    /// The value as one word and as several.
    pub(super) fn evaluate(&mut self, pieces: &[Piece]) -> Result<Evaluated, Failure> {
        let mut value = String::new();
        let mut splitter = Splitter::default();
        for piece in pieces {
            let text = self.piece(piece)?;
            match &piece.kind {
                Kind::Text(_) => splitter.split(&text, &piece.at, text.len() == piece.at.len()),
                Kind::Variable(_) => splitter.split(&text, &piece.at, false),
                Kind::Quoted(_) | Kind::Double(_) | Kind::Broken(_) => {
                    splitter.append(&text, &piece.at);
                }
            }
            self.push(&mut value, &text, piece.at_end)?;
        }
        Ok(Evaluated { value, words: splitter.finish() })
    }

    fn value(&mut self, pieces: &[Piece]) -> Result<String, Failure> {
        let mut value = String::new();
        for piece in pieces {
            let text = self.piece(piece)?;
            self.push(&mut value, &text, piece.at_end)?;
        }
        Ok(value)
    }

    fn piece(&mut self, piece: &Piece) -> Result<String, Failure> {
        match &piece.kind {
            Kind::Text(text) | Kind::Quoted(text) => Ok(text.clone()),
            Kind::Double(pieces) => self.value(pieces),
            Kind::Variable(variable) => self.variable(variable, piece.at_end),
            Kind::Broken(reason) => Err(Failure { reason: reason.clone(), at_end: piece.at_end }),
        }
    }

    /// Appends to a value that must not become too long.
    fn push(&self, value: &mut String, text: &str, at_end: bool) -> Result<(), Failure> {
        if value.len() + text.len() > self.limit {
            return Err(Failure { reason: super::too_long(), at_end });
        }
        value.push_str(text);
        Ok(())
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = (self.env)(name);
        let names = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        names.insert(name.to_owned());
        value
    }

    fn variable(&mut self, variable: &Variable, at_end: bool) -> Result<String, Failure> {
        let name = &variable.name;
        let fail = |reason| Err(Failure { reason, at_end });
        match &variable.op {
            Op::Bare => Ok(match self.look_up(name) {
                None if self.skip_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            }),
            Op::Braced => Ok(match self.look_up(name) {
                None if self.skip_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            Op::Word { colon, op, word } => {
                let word = self.value(word).map_err(|failure| failure.inside("'}'"))?;
                let value = self.look_up(name);
                if value.is_none() && self.skip_unset {
                    return Ok(format!("${{{name}{}{op}{word}}}", if *colon { ":" } else { "" }));
                }
                with_word(name, value, *colon, *op, word).or_else(fail)
            }
            Op::Replace { all, pattern, replacement } => {
                let pattern =
                    self.value(pattern).map_err(|failure| failure.inside("'/' in ${}"))?;
                let replacement =
                    self.value(replacement).map_err(|failure| failure.inside("'}'"))?;
                let value = self.look_up(name);
                if value.is_none() && self.skip_unset {
                    return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
                }
                pattern::replace(
                    &value.unwrap_or_default(),
                    &pattern,
                    &replacement,
                    *all,
                    self.limit,
                )
                .or_else(|bad| fail(bad.in_substitution()))
            }
        }
    }
}

fn with_word(
    name: &str,
    value: Option<String>,
    colon: bool,
    op: char,
    word: String,
) -> Result<String, String> {
    let is_set = value.is_some();
    let value = value.unwrap_or_default();
    let counts_as_set = is_set && !(colon && value.is_empty());
    match op {
        '-' => Ok(if counts_as_set { value } else { word }),
        '+' => Ok(if counts_as_set { word } else { String::new() }),
        '?' if counts_as_set => Ok(value),
        '?' if !word.is_empty() => Err(format!("{name}: {word}")),
        '?' if is_set => Err(format!("{name}: is not allowed to be empty")),
        '?' => Err(format!("{name}: is not allowed to be unset")),
        '#' | '%' => {
            let longest = word.starts_with(op);
            let pattern = if longest { &word[1..] } else { word.as_str() };
            let trim = if op == '#' { pattern::trim_prefix } else { pattern::trim_suffix };
            trim(&value, pattern, longest).map_err(|bad: Problem| bad.in_substitution())
        }
        op => Err(format!(
            "unsupported modifier ({}{op}) in substitution",
            if colon { ":" } else { "" }
        )),
    }
}

/// Collects words and where they stand.
#[derive(Debug, Default)]
struct Splitter {
    words: Vec<(String, Range<usize>)>,
    word: String,
    at: Option<Range<usize>>,
}

impl Splitter {
    fn append(&mut self, text: &str, at: &Range<usize>) {
        self.word.push_str(text);
        let start = self.at.as_ref().map_or(at.start, |it| it.start);
        self.at = Some(start..at.end);
    }

    /// Appends text that splits words at blanks. `exact` text stands as it is at `at`.
    fn split(&mut self, text: &str, at: &Range<usize>, exact: bool) {
        for (offset, char) in text.char_indices() {
            if char.is_whitespace() {
                self.end_word();
                continue;
            }
            let start = if exact { at.start + offset } else { at.start };
            let end = if exact { start + char.len_utf8() } else { at.end };
            let mut buffer = [0; 4];
            self.append(char.encode_utf8(&mut buffer), &(start..end));
        }
    }

    fn end_word(&mut self) {
        let at = self.at.take().unwrap_or_default();
        if !self.word.is_empty() {
            self.words.push((std::mem::take(&mut self.word), at));
        }
    }

    fn finish(mut self) -> Vec<(String, Range<usize>)> {
        self.end_word();
        self.words
    }
}
