//! From a template and a value to text.

use serde_json::Value;

use super::{Argument, Call, Function, Node};

/// What names stand for at one place of a template.
#[derive(Clone, Copy)]
pub(super) struct Scope<'v> {
    /// What all began with.
    pub(super) root: &'v Value,
    /// What `.` is.
    pub(super) here: &'v Value,
}

impl Scope<'_> {
    pub(super) fn render(self, nodes: &[Node], out: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipeline) => out.push_str(&shown(&self.pipeline(pipeline)?)),
                Node::If { condition, then, otherwise } => {
                    let branch =
                        if is_empty(&self.pipeline(condition)?) { otherwise } else { then };
                    self.render(branch, out)?;
                }
                Node::Range { over, each, otherwise } => {
                    let items = match self.pipeline(over)? {
                        Value::Array(items) => items,
                        Value::Object(map) => map.into_iter().map(|(_, value)| value).collect(),
                        Value::Null => Vec::new(),
                        other => return Err(format!("`{}` has no items", shown(&other))),
                    };
                    if items.is_empty() {
                        self.render(otherwise, out)?;
                    }
                    for item in &items {
                        Scope { root: self.root, here: item }.render(each, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn pipeline(self, calls: &[Call]) -> Result<Value, String> {
        let mut last = None;
        for call in calls {
            let mut arguments = Vec::new();
            for argument in &call.arguments {
                arguments.push(self.argument(argument)?);
            }
            arguments.extend(last);
            last = Some(match call.function {
                Some(function) => apply(function, &arguments)?,
                None if arguments.len() == 1 => arguments.remove(0),
                None => return Err("a field takes no arguments".to_owned()),
            });
        }
        Ok(last.unwrap_or(Value::Null))
    }

    fn argument(self, argument: &Argument) -> Result<Value, String> {
        match argument {
            Argument::Literal(value) => Ok(value.clone()),
            Argument::Nested(calls) => self.pipeline(calls),
            Argument::Field(names) => match names.split_first() {
                Some((first, names)) if first == "$" => field(self.root, names),
                _ => field(self.here, names),
            },
        }
    }
}

/// A field that the outermost value does not have is a slip. Those below come and go with what an
/// image sets, and are empty when they are not there.
fn field(value: &Value, names: &[String]) -> Result<Value, String> {
    let Some((first, rest)) = names.split_first() else { return Ok(value.clone()) };
    let Some(mut found) = value.get(first) else {
        let known = match value {
            Value::Object(map) => map.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            other => return Err(format!("`{}` has no `.{first}`", shown(other))),
        };
        return Err(format!("there is no `.{first}`; there are {known}"));
    };
    for name in rest {
        found = found.get(name).unwrap_or(&Value::Null);
    }
    Ok(found.clone())
}

fn apply(function: Function, arguments: &[Value]) -> Result<Value, String> {
    match (function, arguments) {
        (Function::Json, [value]) => Ok(value.to_string().into()),
        (Function::Lower, [value]) => Ok(shown(value).to_lowercase().into()),
        (Function::Upper, [value]) => Ok(shown(value).to_uppercase().into()),
        (Function::Len, [Value::Array(items)]) => Ok(items.len().into()),
        (Function::Len, [Value::Object(map)]) => Ok(map.len().into()),
        (Function::Len, [Value::String(text)]) => Ok(text.len().into()),
        (Function::Len, [Value::Null]) => Ok(0.into()),
        (Function::Join, [Value::Array(items), Value::String(between)]) => {
            Ok(items.iter().map(shown).collect::<Vec<_>>().join(between).into())
        }
        (Function::Join, [Value::Null, _]) => Ok("".into()),
        (Function::Index, [value, keys @ ..]) => {
            keys.iter().try_fold(value.clone(), |value, key| match (&value, key) {
                (Value::Array(items), Value::Number(at)) => {
                    let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
                    let item = at.and_then(|at| items.get(at)).cloned();
                    item.ok_or_else(|| format!("there is no item {key}: there are {}", items.len()))
                }
                (Value::Object(map), Value::String(key)) => {
                    Ok(map.get(key).cloned().unwrap_or_default())
                }
                (Value::Null, Value::String(_)) => Ok(Value::Null),
                (value, key) => Err(format!("`{}` has no item {key}", shown(value))),
            })
        }
        (function, _) => {
            Err(format!("{} does not take that", format!("{function:?}").to_lowercase()))
        }
    }
}

fn is_empty(value: &Value) -> bool {
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
fn shown(value: &Value) -> String {
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
