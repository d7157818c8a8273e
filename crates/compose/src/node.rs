use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::error::{Error, Place};

/// A value of a compose file, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    pub(crate) tag: Option<Tag>,
    /// Where its key is, if it stands in a mapping.
    pub(crate) key: Option<Place>,
}

/// What compose does with a value when files go over each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// `!reset`: the field is taken away.
    Reset,
    /// `!override`: what was there before does not count.
    Override,
}

/// What of YAML compose files are made of. Numbers and truth values are words: where they come in
/// builds, their text is what counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Word(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads a document. Anchors, aliases and merge keys are resolved; an empty document is null.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let options = serde_saphyr::options! {
            // YAML 1.2, as in compose: `yes` and `on` are words.
            strict_booleans: true,
            duplicate_keys: DuplicateKeyPolicy::Error,
            with_snippet: false,
        };
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let place = error.location();
                let (line, column) = place.map_or((0, 0), |at| (at.line(), at.column()));
                let reason = match error.without_snippet() {
                    serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
                        format!("the key `{key}` is there twice")
                    }
                    serde_saphyr::Error::NullIntoString { .. } => {
                        "a key is null: a null is for values".to_owned()
                    }
                    // The place is told once.
                    other => other
                        .to_string()
                        .split(" at line ")
                        .next()
                        .map(str::to_owned)
                        .unwrap_or_default(),
                };
                Error::Yaml { place: Place { file: file.to_owned(), line, column }, reason }
            })?;
        Ok(Self::read(file, text, raw))
    }

    /// A value without a tag.
    pub(crate) fn new(value: Value, place: Place) -> Self {
        Self { value, place, tag: None, key: None }
    }

    fn read(file: &str, text: &str, raw: Spanned<Raw>) -> Self {
        let (line, column) = (raw.defined.line(), raw.defined.column());
        let tag = tag_before(text, line, column);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Word(word) => Value::Word(word),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| Self::read(file, text, item)).collect())
            }
            Raw::Map(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(key, value)| {
                    let (line, column) = (key.defined.line(), key.defined.column());
                    let place = Place { file: file.to_owned(), line, column };
                    (key.value, Self { key: Some(place), ..Self::read(file, text, value) })
                });
                Value::Map(fields.collect())
            }
        };
        Self { value, place: Place { file: file.to_owned(), line, column }, tag, key: None }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(fields) = &self.value else { return None };
        fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

/// The tag of the value at a place. The parser reads over tags, so they are looked for in the text,
/// in front of the value or where it begins.
fn tag_before(text: &str, line: u64, column: u64) -> Option<Tag> {
    let index = |number: u64| usize::try_from(number).ok()?.checked_sub(1);
    let at_line = text.split_inclusive('\n').take(index(line)?).map(str::len).sum::<usize>();
    let rest = text.get(at_line..)?;
    let at_column = rest.char_indices().nth(index(column)?).map_or(rest.len(), |(at, _)| at);
    let (before, behind) = text.split_at_checked(at_line + at_column)?;
    let before = before.trim_end();
    let tags = [("!reset", Tag::Reset), ("!override", Tag::Override)];
    let found = tags.iter().find(|(name, _)| before.ends_with(name) || behind.starts_with(name));
    found.map(|(_, tag)| *tag)
}

/// A value as YAML has it.
#[derive(Debug)]
enum Raw {
    Null,
    Word(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Word(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Word(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Word(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Word(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Word(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Raw::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(node: &Node) -> String {
        match &node.value {
            Value::Null => "~".to_owned(),
            Value::Word(word) => word.clone(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(words).collect::<Vec<_>>().join(" "))
            }
            Value::Map(fields) => {
                let fields = fields.iter().map(|(key, value)| format!("{key}={}", words(value)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn what_yaml_has() {
        for (text, expect) in [
            ("", "~"),
            (
                "a: 1\nb: yes\nc: true\nd: ~\ne: 1.5\nf: '1.10'",
                "{a=1 b=yes c=true d=~ e=1.5 f=1.10}",
            ),
            ("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n", "{x={a=1 b=2} y={a=1 b=3}}"),
            ("a: [1, two, *b]\n", "error"),
            ("- a\n- [b, c]\n", "[a [b c]]"),
            ("a: |\n  two\n  lines\n", "{a=two\nlines\n}"),
        ] {
            let found = Node::parse("f", text).map_or("error".to_owned(), |node| {
                // The order of what is merged in is not ours.
                let mut node = node;
                if let Value::Map(fields) = &mut node.value {
                    for (_, field) in fields {
                        if let Value::Map(fields) = &mut field.value {
                            fields.sort_by(|a, b| a.0.cmp(&b.0));
                        }
                    }
                }
                words(&node)
            });
            assert_eq!(found, expect, "{text}");
        }
    }

    #[test]
    fn tags() {
        let text = "a: !reset []\nb: !override\n  - x\nc: !reset null\nd: !override {e: f}\ng: !reset\nh: i\n";
        let node = Node::parse("f", text).unwrap_or_else(|e| panic!("{e}"));
        let tag = |key: &str| node.get(key).and_then(|node| node.tag);
        let (reset, over) = (Some(Tag::Reset), Some(Tag::Override));
        let found = ["a", "b", "c", "d", "g", "h"].map(tag);
        assert_eq!(found, [reset, over, reset, over, reset, None]);
    }

    #[test]
    fn places() {
        let node = Node::parse("f.yml", "a:\n  b: [x,\n    y]\n").unwrap_or_else(|e| panic!("{e}"));
        let list = node.get("a").and_then(|a| a.get("b")).map(|b| b.value.clone());
        let Some(Value::List(items)) = list else { panic!("no list") };
        assert_eq!(items[1].place.to_string(), "f.yml:3:5");
        let error = Node::parse("f.yml", "a: 1\nb: [\n").map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("read f.yml:"), "{error}");
        let null = Node::parse("f.yml", "a:\n  ~: 1\n").map(|_| ()).unwrap_err().to_string();
        assert_eq!(null, "read f.yml:2:3: a key is null: a null is for values");
        let twice = Node::parse("f.yml", "a: 1\na: 2\n").map(|_| ()).unwrap_err().to_string();
        assert!(
            twice.contains("f.yml:2:1") && twice.ends_with("the key `a` is there twice"),
            "{twice}"
        );
    }
}
