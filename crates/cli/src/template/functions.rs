//! The functions of templates: Go's own (`text/template`), and those that docker adds.

use std::cmp::Ordering;

use serde_json::Value;

/// All there are.
pub(super) const NAMES: [&str; 23] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

pub(super) fn apply(function: &str, arguments: &[Value]) -> Result<Value, String> {
    match (function, arguments) {
        ("json", [value]) => Ok(value.to_string().into()),
        ("lower", [value]) => Ok(shown(value).to_lowercase().into()),
        ("upper", [value]) => Ok(shown(value).to_uppercase().into()),
        ("title", [value]) => Ok(title(&shown(value)).into()),
        ("pad", [text, before, behind]) => {
            let (before, behind) = (width(before)?, width(behind)?);
            Ok(format!("{:before$}{}{:behind$}", "", shown(text), "").into())
        }
        ("truncate", [text, most]) => {
            Ok(shown(text).chars().take(count(most)?).collect::<String>().into())
        }
        ("split", [text, between]) => match (shown(text).as_str(), shown(between).as_str()) {
            (text, "") => Ok(text.chars().map(String::from).collect()),
            (text, between) => Ok(text.split(between).collect()),
        },
        ("join", [Value::Array(items), Value::String(between)]) => {
            Ok(items.iter().map(shown).collect::<Vec<_>>().join(between).into())
        }
        ("join", [Value::Null, _]) => Ok("".into()),
        ("len", [Value::Array(items)]) => Ok(items.len().into()),
        ("len", [Value::Object(map)]) => Ok(map.len().into()),
        ("len", [Value::String(text)]) => Ok(text.len().into()),
        ("len", [Value::Null]) => Ok(0.into()),
        ("index", [value, keys @ ..]) => {
            keys.iter().try_fold(value.clone(), |value, key| index(&value, key))
        }
        ("slice", [value, bounds @ ..]) if bounds.len() <= 2 => slice(value, bounds),
        ("and", [.., last]) => Ok(arguments.iter().find(|it| is_empty(it)).unwrap_or(last).clone()),
        ("or", [.., last]) => Ok(arguments.iter().find(|it| !is_empty(it)).unwrap_or(last).clone()),
        ("not", [value]) => Ok(is_empty(value).into()),
        ("eq", [value, others @ ..]) if !others.is_empty() => {
            Ok(others.iter().any(|other| equal(value, other)).into())
        }
        ("ne", [a, b]) => Ok((!equal(a, b)).into()),
        ("lt", [a, b]) => Ok(order(a, b)?.is_lt().into()),
        ("le", [a, b]) => Ok(order(a, b)?.is_le().into()),
        ("gt", [a, b]) => Ok(order(a, b)?.is_gt().into()),
        ("ge", [a, b]) => Ok(order(a, b)?.is_ge().into()),
        ("print", _) => Ok(print(arguments).into()),
        ("println", _) => {
            let words: Vec<String> = arguments.iter().map(shown).collect();
            Ok((words.join(" ") + "\n").into())
        }
        ("printf", [Value::String(format), arguments @ ..]) => {
            Ok(printf(format, arguments)?.into())
        }
        (function, _) => Err(format!("{function} does not take that")),
    }
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match (value, key) {
        (Value::Array(items), Value::Number(_)) => {
            let item = items.get(count(key)?).cloned();
            item.ok_or_else(|| format!("there is no item {key}: there are {}", items.len()))
        }
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or_default()),
        (Value::Null, Value::String(_)) => Ok(Value::Null),
        (value, key) => Err(format!("`{}` has no item {key}", shown(value))),
    }
}

/// As in Go, a text is cut by bytes.
fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let from = bounds.first().map_or(Ok(0), count)?;
    let to = |len| bounds.get(1).map_or(Ok(len), count);
    let (cut, len) = match value {
        Value::String(text) => (text.get(from..to(text.len())?).map(Value::from), text.len()),
        Value::Array(items) => (items.get(from..to(items.len())?).map(Value::from), items.len()),
        other => return Err(format!("`{}` has no slices", shown(other))),
    };
    cut.ok_or_else(|| format!("there is no such slice of {len}"))
}

fn count(value: &Value) -> Result<usize, String> {
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| format!("`{}` is no count", shown(value)))
}

/// How far something is padded: `format!` panics over a width that takes more bits.
fn width(value: &Value) -> Result<usize, String> {
    let width = value.as_u64().and_then(|width| u16::try_from(width).ok());
    width.map(usize::from).ok_or_else(|| format!("`{}` is no width", shown(value)))
}

/// Numbers are equal by value, and what a field lacks is an empty text.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Null, Value::String(text)) | (Value::String(text), Value::Null) => text.is_empty(),
        (a, b) => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    let order = match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    order.ok_or_else(|| format!("`{}` and `{}` have no order", shown(a), shown(b)))
}

/// Go's `Sprint`: a space only where neither side is a text.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| &arguments[at]);
        if before.is_some_and(|before| !before.is_string()) && !value.is_string() {
            out.push(' ');
        }
        out.push_str(&shown(value));
    }
    out
}

fn title(text: &str) -> String {
    let mut inside = false;
    let letters = text.chars().flat_map(|letter| {
        let first = !std::mem::replace(&mut inside, letter.is_alphanumeric() || letter == '\'');
        if first { letter.to_uppercase().collect::<Vec<_>>() } else { vec![letter] }
    });
    letters.collect()
}

fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let (mut out, mut arguments) = (String::new(), arguments.iter());
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let at = behind.find(|letter: char| !"+-# 0123456789.".contains(letter));
        let at = at.ok_or("printf: a `%` at the end")?;
        let (options, behind) = behind.split_at(at);
        let verb = behind.chars().next().unwrap_or('%');
        rest = &behind[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("printf: nothing for `%{verb}`"))?;
        out.push_str(&Directive::of(options)?.format(verb, value)?);
    }
    out.push_str(rest);
    match arguments.next() {
        None => Ok(out),
        Some(value) => Err(format!("printf: no `%` for `{}`", shown(value))),
    }
}

/// What stands between a `%` and its letter.
struct Directive {
    left: bool,
    plus: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
}

impl Directive {
    fn of(text: &str) -> Result<Self, String> {
        let digits = text.trim_start_matches(['+', '-', '#', ' ', '0']);
        let flags = &text[..text.len() - digits.len()];
        let (width, precision) =
            digits.split_once('.').map_or((digits, None), |(width, rest)| (width, Some(rest)));
        let number = |text: &str| match text {
            "" => Ok(0),
            _ => text.parse::<u16>().map(usize::from).map_err(|_| format!("printf: `%{text}`")),
        };
        Ok(Self {
            left: flags.contains('-'),
            plus: flags.contains('+'),
            zeros: flags.contains('0'),
            width: number(width)?,
            precision: precision.map(number).transpose()?,
        })
    }

    fn format(&self, verb: char, value: &Value) -> Result<String, String> {
        let wrong = || format!("printf: `%{verb}` does not take `{}`", shown(value));
        let cut = |text: String| match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        };
        let mut text = match verb {
            'v' => shown(value),
            's' => cut(shown(value)),
            'q' => Value::from(cut(shown(value))).to_string(),
            'd' => value.as_i64().ok_or_else(wrong)?.to_string(),
            't' => value.as_bool().ok_or_else(wrong)?.to_string(),
            'f' => format!("{:.*}", self.precision.unwrap_or(6), value.as_f64().ok_or_else(wrong)?),
            'x' => format!("{:x}", value.as_u64().ok_or_else(wrong)?),
            _ => {
                return Err(format!("printf knows %v, %s, %q, %d, %f, %t, %x and %%, not %{verb}"));
            }
        };
        if self.plus && value.is_number() && !text.starts_with('-') {
            text.insert(0, '+');
        }
        let width = self.width;
        Ok(match (self.left, self.zeros && value.is_number()) {
            (true, _) => format!("{text:<width$}"),
            (false, true) => {
                let digits = text.trim_start_matches(['+', '-']);
                let sign = &text[..text.len() - digits.len()];
                format!("{sign}{digits:0>0$}", width.saturating_sub(sign.len()))
            }
            (false, false) => format!("{text:>width$}"),
        })
    }
}

/// What `if` takes for false.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// A value as Go prints it.
pub(super) fn shown(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(shown).collect())),
        Value::Object(map) => {
            let fields = map.iter().map(|(key, value)| format!("{key}:{}", shown(value)));
            format!("map[{}]", joined(fields.collect()))
        }
        other => other.to_string(),
    }
}
