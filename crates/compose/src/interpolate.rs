use crate::error::Error;
use crate::node::{Node, Value};

/// How a variable is looked up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts variables into all words of `node`, as compose does: keys are left alone.
pub(crate) fn interpolate(node: &mut Node, lookup: Lookup<'_>) -> Result<(), Error> {
    match &mut node.value {
        Value::Null => {}
        Value::Word(word) => {
            if word.contains('$') {
                *word = expand(word, lookup)
                    .map_err(|reason| Error::Variable { place: node.place.clone(), reason })?;
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
/// in them again.
pub(crate) fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let mut scanner = Scanner { rest: text, lookup, depth: 0 };
    scanner.text(false)
}

/// Deeper ones nobody wrote.
const MAX_DEPTH: usize = 64;

struct Scanner<'a> {
    rest: &'a str,
    lookup: Lookup<'a>,
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
                    out.push_str(&(self.lookup)(name).unwrap_or_default());
                }
                _ => return Err("a `$` that begins no variable is written `$$`".to_owned()),
            }
        }
        out.push_str(self.rest);
        self.rest = "";
        Ok(out)
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
            Ok(value.unwrap_or_default())
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
            let found = expand(text, &lookup);
            assert_eq!(found.as_deref().map_err(String::as_str), expect, "{text}");
        }
        let deep = "${NONE:-".repeat(10_000);
        assert!(expand(&deep, &lookup).is_err());
    }
}
