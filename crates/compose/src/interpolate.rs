use std::cell::RefCell;

use crate::error::{Error, Place};
use crate::node::{Node, Value};
use crate::notice::Notice;

/// How variables are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) get: &'a dyn Fn(&str) -> Option<String>,
    /// Those that are not set and have no default, each once.
    pub(crate) notices: &'a RefCell<Vec<Notice>>,
}

impl Lookup<'_> {
    fn note(&self, place: &Place, unset: Vec<String>) {
        let mut notices = self.notices.borrow_mut();
        for new in unset {
            let told =
                |notice: &Notice| matches!(notice, Notice::Unset { name, .. } if *name == new);
            if !notices.iter().any(told) {
                notices.push(Notice::Unset { place: place.clone(), name: new });
            }
        }
    }
}

/// Puts variables into all words of `node`, as compose does: keys are left alone.
pub(crate) fn interpolate(node: &mut Node, lookup: Lookup<'_>) -> Result<(), Error> {
    match &mut node.value {
        Value::Null => {}
        Value::Word(word) => {
            if word.contains('$') {
                let mut unset = Vec::new();
                *word = expand(word, lookup.get, &mut unset)
                    .map_err(|reason| Error::Variable { place: node.place.clone(), reason })?;
                lookup.note(&node.place, unset);
            }
        }
        Value::List(items) => {
            items.iter_mut().try_for_each(|item| interpolate(item, lookup))?;
        }
        Value::Map(fields) => {
            fields.iter_mut().try_for_each(|(_, value)| interpolate(value, lookup))?;
        }
    }
    Ok(())
}

/// Puts variables into a text (compose specification, "Interpolation"):
///
/// ```text
/// $NAME ${NAME} ${NAME:-word} ${NAME-word} ${NAME:?error} ${NAME?error} ${NAME:+word} ${NAME+word} $$
/// ```
///
/// With a colon a variable that is empty counts as one that is not set. Words may have variables
/// in them again. `unset` gets the names of those that are not set and have no default.
pub(crate) fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
) -> Result<String, String> {
    let mut scanner = Scanner { rest: text, lookup, unset, depth: 0 };
    scanner.text(false)
}

/// Deeper ones nobody wrote.
const MAX_DEPTH: usize = 64;

struct Scanner<'a> {
    rest: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: &'a mut Vec<String>,
    depth: usize,
}

impl Scanner<'_> {
    /// Up to the end, or to the brace that ends a word.
    fn text(&mut self, in_braces: bool) -> Result<String, String> {
        let mut out = String::new();
        while let Some(at) = self.rest.find(['$', '}']) {
            out.push_str(&self.rest[..at]);
            let is_brace = self.rest[at..].starts_with('}');
            if is_brace && in_braces {
                self.rest = &self.rest[at..];
                return Ok(out);
            }
            self.rest = &self.rest[at + 1..];
            match self.rest.chars().next() {
                _ if is_brace => out.push('}'),
                Some('$') => {
                    out.push('$');
                    self.rest = &self.rest[1..];
                }
                Some('{') => {
                    self.rest = &self.rest[1..];
                    out.push_str(&self.braces()?);
                }
                Some(first) if first == '_' || first.is_ascii_alphabetic() => {
                    let name = self.name();
                    let value = (self.lookup)(name);
                    out.push_str(&self.or_blank(name, value));
                }
                _ => return Err("a `$` that begins no variable is written `$$`".to_owned()),
            }
        }
        out.push_str(self.rest);
        self.rest = "";
        Ok(out)
    }

    fn or_blank(&mut self, name: &str, value: Option<String>) -> String {
        value.unwrap_or_else(|| {
            self.unset.push(name.to_owned());
            String::new()
        })
    }

    fn name<'s>(&mut self) -> &'s str
    where
        Self: 's,
    {
        let length = self
            .rest
            .find(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name
    }

    /// What stands in braces, after the first one.
    fn braces(&mut self) -> Result<String, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("variables are nested too deeply".to_owned());
        }
        let name = self.name().to_owned();
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!("`${{{}` names no variable", first_word(&name, self.rest)));
        }
        let value = (self.lookup)(&name);
        let empty_counts = self.eat(":");
        let set = value.as_deref().filter(|value| !(empty_counts && value.is_empty()));
        let set = set.map(str::to_owned);
        let result = if self.eat("-") {
            let word = self.text(true)?;
            Ok(set.unwrap_or(word))
        } else if self.eat("?") {
            let word = self.text(true)?;
            set.ok_or_else(|| match word.as_str() {
                "" => format!("the required variable {name} has no value"),
                word => format!("the required variable {name} has no value: {word}"),
            })
        } else if self.eat("+") {
            let word = self.text(true)?;
            Ok(set.map(|_| word).unwrap_or_default())
        } else if empty_counts {
            Err(format!("`${{{name}:` must go on with -, ? or +"))
        } else {
            Ok(self.or_blank(&name, value))
        };
        let result = result?;
        if !self.eat("}") {
            return Err(format!("`${{{name}` has no closing brace"));
        }
        self.depth -= 1;
        Ok(result)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

fn first_word(name: &str, rest: &str) -> String {
    let rest = rest.split(['}', ' ', '\n']).next().unwrap_or_default();
    format!("{name}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            "_9" => Some("nine".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables() {
        for (text, expect) in [
            ("plain", Ok("plain")),
            ("$A-${A}-$_9", Ok("a-a-nine")),
            ("$NONE.${NONE}", Ok(".")),
            ("$$A $$", Ok("$A $")),
            ("${NONE:-x}${NONE-y}${EMPTY:-z}${EMPTY-w}${A:-v}", Ok("xyza")),
            ("${NONE:+x}${A:+y}${EMPTY:+z}${EMPTY+w}", Ok("yw")),
            ("${NONE:-${A}${NONE-}} }", Ok("a }")),
            ("${NONE:-a:b-c?d}", Ok("a:b-c?d")),
            ("${A:?no}${EMPTY?no}", Ok("a")),
            ("${NONE:?say why}", Err("the required variable NONE has no value: say why")),
            ("${EMPTY:?}", Err("the required variable EMPTY has no value")),
            ("${A", Err("`${A` has no closing brace")),
            ("${A:x}", Err("`${A:` must go on with -, ? or +")),
            ("${}", Err("`${` names no variable")),
            ("${1x}", Err("`${1x` names no variable")),
            ("cost $ 5", Err("a `$` that begins no variable is written `$$`")),
            ("ü$A", Ok("üa")),
        ] {
            let found = expand(text, &lookup, &mut Vec::new());
            assert_eq!(found.as_deref().map_err(String::as_str), expect, "{text}");
        }
        let deep = "${NONE:-".repeat(10_000);
        assert!(expand(&deep, &lookup, &mut Vec::new()).is_err());
    }
}
