//! The grammar of words: quotes, escapes and variables.
//!
//! Reading never fails. Where the grammar is broken a list of pieces ends with [`Kind::Broken`], so that evaluation meets
//! the pieces before it first, in the order in which the reference implementation would.

use std::ops::Range;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{anychar, char};
use nom::combinator::{opt, recognize, verify};
use nom::sequence::{pair, preceded};
use nom::{IResult, Parser};

/// How deep `${a:-${b:-…}}` may nest. Words that people write stay below five.
const MAX_DEPTH: usize = 128;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// What it is.
    pub(super) kind: Kind,
    /// Where it stands in the word.
    pub(super) at: Range<usize>,
    /// Whether nothing follows it.
    pub(super) at_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Plain text: blanks in it split words.
    Text(String),
    /// Escaped or quoted text.
    Quoted(String),
    /// Text in double quotes.
    Double(Vec<Piece>),
    /// `$name` or `${name…}`.
    Variable(Variable),
    /// Here the grammar is broken.
    Broken(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) op: Op,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// `$name`.
    Bare,
    /// `${name}`.
    Braced,
    /// `${name:-word}` and its like.
    Word { colon: bool, op: char, word: Vec<Piece> },
    /// `${name/pattern/replacement}`.
    Replace { all: bool, pattern: Vec<Piece>, replacement: Vec<Piece> },
}

/// The switches that change what is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switches {
    pub(super) escape: char,
    pub(super) raw_quotes: bool,
    pub(super) raw_escapes: bool,
    pub(super) skip_process_quotes: bool,
}

/// Reads a whole word.
pub(super) fn read(word: &str, switches: Switches) -> Vec<Piece> {
    let mut reader = Reader { word, rest: word, switches, depth: 0 };
    // The scanner of the reference implementation drops a byte order mark.
    reader.take(char('\u{feff}'));
    reader.pieces(None, switches.raw_escapes)
}

struct Reader<'a> {
    word: &'a str,
    rest: &'a str,
    switches: Switches,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn pos(&self) -> usize {
        self.word.len() - self.rest.len()
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Runs a nom parser; on failure nothing is consumed.
    fn take<O>(
        &mut self,
        mut parser: impl Parser<&'a str, Output = O, Error = nom::error::Error<&'a str>>,
    ) -> Option<O> {
        let (rest, found) = parser.parse(self.rest).ok()?;
        self.rest = rest;
        Some(found)
    }

    fn next(&mut self) -> Option<char> {
        self.take(anychar)
    }

    fn piece(&self, kind: Kind, start: usize) -> Piece {
        Piece { kind, at: start..self.pos(), at_end: self.rest.is_empty() }
    }

    /// Reads up to `stop`, which is consumed, or up to the end.
    fn pieces(&mut self, stop: Option<char>, raw_escapes: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        loop {
            let start = self.pos();
            let Some(found) = self.peek() else { break };
            if stop == Some(found) {
                self.next();
                return pieces;
            }
            let kind = match found {
                '$' => self.dollar(),
                '\'' if !self.switches.skip_process_quotes => self.single(),
                '"' if !self.switches.skip_process_quotes => self.double(raw_escapes),
                found if found == self.switches.escape => {
                    self.next();
                    let mut text = String::new();
                    if raw_escapes {
                        text.push(found);
                    }
                    let escaped = self.next();
                    text.extend(escaped);
                    if text.is_empty() { Kind::Text(text) } else { Kind::Quoted(text) }
                }
                _ => self.plain(stop),
            };
            let piece = self.piece(kind, start);
            let broken = piece.is_broken();
            pieces.push(piece);
            if broken {
                return pieces;
            }
        }
        if let Some(stop) = stop {
            let reason = format!("unexpected end of statement while looking for matching {stop}");
            pieces.push(self.piece(broken(reason), self.pos()));
        }
        pieces
    }

    fn plain(&mut self, stop: Option<char>) -> Kind {
        let Switches { escape, skip_process_quotes, .. } = self.switches;
        let is_plain = move |found: char| {
            Some(found) != stop
                && found != escape
                && found != '$'
                && (skip_process_quotes || (found != '\'' && found != '"'))
        };
        let text = self.take(take_while1(is_plain)).unwrap_or_default();
        Kind::Text(text.to_owned())
    }

    fn single(&mut self) -> Kind {
        let text = |input| (char('\''), take_while(|found| found != '\''), char('\'')).parse(input);
        match self.take(text) {
            Some((_, text, _)) if self.switches.raw_quotes => Kind::Quoted(format!("'{text}'")),
            Some((_, text, _)) => Kind::Quoted(text.to_owned()),
            None => {
                self.rest = "";
                broken("unexpected end of statement while looking for matching single-quote")
            }
        }
    }

    fn double(&mut self, raw_escapes: bool) -> Kind {
        let escape = self.switches.escape;
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut start = self.pos();
        self.next();
        if self.switches.raw_quotes {
            text.push('"');
        }
        loop {
            let Some(found) = self.peek() else {
                let reason = "unexpected end of statement while looking for matching double-quote";
                pieces.push(self.piece(broken(reason), start));
                return Kind::Double(pieces);
            };
            match found {
                '"' => {
                    self.next();
                    if self.switches.raw_quotes {
                        text.push('"');
                    }
                    pieces.push(self.piece(Kind::Quoted(text), start));
                    return Kind::Double(pieces);
                }
                '$' => {
                    pieces.push(self.piece(Kind::Quoted(std::mem::take(&mut text)), start));
                    start = self.pos();
                    let kind = self.dollar();
                    pieces.push(self.piece(kind, start));
                    if pieces.last().is_some_and(Piece::is_broken) {
                        return Kind::Double(pieces);
                    }
                    start = self.pos();
                }
                found if found == escape => {
                    self.next();
                    if raw_escapes {
                        text.push(found);
                    }
                    // Only these can be escaped here; before anything else the escape character is text.
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == escape => {
                            text.extend(self.next());
                        }
                        Some(_) => text.push(found),
                    }
                }
                _ => {
                    let plain =
                        take_while1(move |found| found != '"' && found != '$' && found != escape);
                    text.push_str(self.take(plain).unwrap_or_default());
                }
            }
        }
    }

    fn dollar(&mut self) -> Kind {
        self.next();
        if self.take(char('{')).is_none() {
            return match self.take(name) {
                Some(name) => Kind::Variable(Variable { name: name.to_owned(), op: Op::Bare }),
                None => Kind::Text("$".to_owned()),
            };
        }
        match self.peek() {
            None => return broken("syntax error: missing '}'"),
            Some('{' | '}' | ':') => return broken("syntax error: bad substitution"),
            Some(_) => {}
        }
        if self.depth >= MAX_DEPTH {
            return broken("syntax error: substitutions are nested too deeply");
        }
        self.depth += 1;
        let kind = self.braced();
        self.depth -= 1;
        kind
    }

    /// What follows `${`.
    fn braced(&mut self) -> Kind {
        let name = self.take(name).unwrap_or_default().to_owned();
        let variable = |op| Kind::Variable(Variable { name: name.clone(), op });
        let Some(first) = self.next() else {
            return broken("unsupported modifier (\u{fffd}) in substitution");
        };
        match first {
            '}' => variable(Op::Braced),
            ':' => match self.next() {
                Some(op @ ('#' | '%')) => {
                    broken(format!("unsupported modifier (:{op}) in substitution"))
                }
                Some(op) => variable(Op::Word { colon: true, op, word: self.operand('}', false) }),
                None => broken("syntax error: missing '}'"),
            },
            '+' | '-' | '?' | '#' | '%' => {
                let raw_escapes = first == '#' || first == '%';
                variable(Op::Word { colon: false, op: first, word: self.operand('}', raw_escapes) })
            }
            '/' => {
                let all = self.take(char('/')).is_some();
                let pattern = self.operand('/', true);
                let broken = pattern.last().is_some_and(Piece::is_broken);
                let replacement = if broken { Vec::new() } else { self.operand('}', true) };
                variable(Op::Replace { all, pattern, replacement })
            }
            other => broken(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    /// A word inside braces. Its escapes are kept or dropped whatever the outer word does.
    fn operand(&mut self, stop: char, raw_escapes: bool) -> Vec<Piece> {
        self.pieces(Some(stop), raw_escapes)
    }
}

impl Piece {
    /// Whether reading ended inside this piece.
    pub(super) fn is_broken(&self) -> bool {
        match &self.kind {
            Kind::Broken(_) => true,
            Kind::Double(pieces) => pieces.last().is_some_and(Self::is_broken),
            Kind::Variable(Variable { op, .. }) => match op {
                Op::Bare | Op::Braced => false,
                Op::Word { word, .. } => word.last().is_some_and(Self::is_broken),
                Op::Replace { pattern, replacement, .. } => {
                    pattern.iter().chain(replacement).next_back().is_some_and(Self::is_broken)
                }
            },
            Kind::Text(_) | Kind::Quoted(_) => false,
        }
    }
}

fn broken(reason: impl Into<String>) -> Kind {
    Kind::Broken(reason.into())
}

/// The name of a variable: digits, one special character, or letters, digits and `_`.
fn name(input: &str) -> IResult<&str, &str> {
    let special = verify(anychar, |found| "@*#?-$!0".contains(*found));
    let is_digit = |found: char| found.is_ascii_digit();
    let is_letter = |found: char| found == '_' || found.is_alphabetic();
    alt((
        take_while1(is_digit),
        recognize(special),
        recognize(pair(
            verify(anychar, move |found| is_letter(*found)),
            take_while(move |found| is_letter(found) || is_digit(found)),
        )),
    ))
    .parse(input)
}

/// Reads the name and its braces, if any, of a variable in a template of Go's `regexp`: what follows a `$`.
pub(super) fn template_name(input: &str) -> IResult<&str, &str> {
    let inner =
        |input| take_while1(|found: char| found == '_' || found.is_alphanumeric()).parse(input);
    alt(((tag("{"), inner, tag("}")).map(|(_, name, _)| name), inner)).parse(input)
}

/// The number before `<<`, the `-` after it, and the rest, of a word that begins a heredoc.
pub(crate) fn heredoc_word(input: &str) -> IResult<&str, (&str, bool, &str)> {
    let digits = take_while(|found: char| found.is_ascii_digit());
    let blanks = take_while(|found: char| matches!(found, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
    (
        digits,
        preceded(tag("<<"), opt(char('-'))),
        preceded(blanks, take_while(|found| found != '<')),
    )
        .map(|(fd, dash, rest)| (fd, dash.is_some(), rest))
        .parse(input)
}
