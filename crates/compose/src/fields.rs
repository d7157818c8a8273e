use crate::error::Error;
use crate::node::{Node, Value};

/// A word.
pub(crate) fn word(node: &Node, what: &str) -> Result<String, Error> {
    match &node.value {
        Value::Word(word) => Ok(word.clone()),
        _ => Err(wrong(node, what, "a word")),
    }
}

/// A truth value, as compose reads it.
pub(crate) fn flag(node: &Node, what: &str) -> Result<bool, Error> {
    match word(node, what)?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(wrong(node, what, "true or false")),
    }
}

/// A list of words; a single word is a list of one.
pub(crate) fn words(node: &Node, what: &str) -> Result<Vec<String>, Error> {
    match &node.value {
        Value::Null => Ok(Vec::new()),
        Value::Word(word) => Ok(vec![word.clone()]),
        Value::List(items) => items.iter().map(|item| word(item, what)).collect(),
        Value::Map(_) => Err(wrong(node, what, "a list of words")),
    }
}

/// Names with values: a mapping, or a list in which one of `separators` stands between the two.
pub(crate) fn pairs(
    node: &Node,
    what: &str,
    separators: &[char],
) -> Result<Vec<(String, Option<String>)>, Error> {
    const EXPECTED: &str = "a mapping, or a list of NAME=VALUE";
    match &node.value {
        Value::Null => Ok(Vec::new()),
        Value::Word(_) => Err(wrong(node, what, EXPECTED)),
        Value::List(items) => {
            let items = items.iter().map(|item| {
                let word = word(item, what)?;
                Ok(match word.split_once(separators) {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (word, None),
                })
            });
            items.collect()
        }
        Value::Map(fields) => {
            let fields = fields.iter().map(|(name, value)| match &value.value {
                Value::Null => Ok((name.clone(), None)),
                Value::Word(word) => Ok((name.clone(), Some(word.clone()))),
                _ => Err(wrong(value, &format!("{what}.{name}"), "a word")),
            });
            fields.collect()
        }
    }
}

/// The fields of a mapping; none if it is empty.
pub(crate) fn fields<'n>(node: &'n Node, what: &str) -> Result<&'n [(String, Node)], Error> {
    match &node.value {
        Value::Null => Ok(&[]),
        Value::Map(fields) => Ok(fields),
        _ => Err(wrong(node, what, "a mapping")),
    }
}

pub(crate) fn wrong(node: &Node, what: &str, expected: &'static str) -> Error {
    Error::Type { place: node.place.clone(), what: what.to_owned(), expected }
}
