//! From a template and a value to text.

use serde_json::Value;

use super::functions::{apply, is_empty, shown};
use super::{Argument, Base, Call, Head, Node};

/// What names stand for at one place of a template.
pub(super) struct Scope {
    /// What `.` is.
    here: Value,
    /// The first is `$`, what all began with.
    variables: Vec<(String, Value)>,
    /// Whether `.` is what all began with.
    at_root: bool,
}

impl Scope {
    pub(super) fn new(value: &Value) -> Self {
        let variables = vec![("$".to_owned(), value.clone())];
        Self { here: value.clone(), variables, at_root: true }
    }

    pub(super) fn render(&mut self, nodes: &[Node], out: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(head) => {
                    let value = self.pipeline(&head.pipeline)?;
                    match head.names.as_slice() {
                        [] => out.push_str(&shown(&value)),
                        [name] => self.set(name, head.declares, value)?,
                        _ => return Err("only range sets two variables".to_owned()),
                    }
                }
                Node::If { head, then, otherwise } | Node::With { head, then, otherwise } => {
                    let value = self.pipeline(&head.pipeline)?;
                    let holds = !is_empty(&value);
                    let there = (holds && matches!(node, Node::With { .. })).then(|| value.clone());
                    let items = head.names.iter().map(|_| value.clone()).collect();
                    self.inner(head, items, there, if holds { then } else { otherwise }, out)?;
                }
                Node::Range { head, then, otherwise } => {
                    let items = items(self.pipeline(&head.pipeline)?)?;
                    if items.is_empty() {
                        self.inner(head, Vec::new(), None, otherwise, out)?;
                    }
                    for (key, item) in items {
                        let values = match head.names.len() {
                            2 => vec![key, item.clone()],
                            _ => vec![item.clone()],
                        };
                        self.inner(head, values, Some(item), then, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What stands in a block: variables that it declares end with it.
    fn inner(
        &mut self,
        head: &Head,
        values: Vec<Value>,
        here: Option<Value>,
        nodes: &[Node],
        out: &mut String,
    ) -> Result<(), String> {
        let (known, at_root) = (self.variables.len(), self.at_root);
        for (name, value) in head.names.iter().zip(values) {
            self.set(name, head.declares, value)?;
        }
        let outside = here.map(|here| std::mem::replace(&mut self.here, here));
        self.at_root &= outside.is_none();
        let rendered = self.render(nodes, out);
        if let Some(outside) = outside {
            self.here = outside;
        }
        self.at_root = at_root;
        self.variables.truncate(known);
        rendered
    }

    fn set(&mut self, name: &str, declares: bool, value: Value) -> Result<(), String> {
        if declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let known = self.variables.iter_mut().rfind(|(known, _)| known == name);
        known.ok_or_else(|| unknown(name))?.1 = value;
        Ok(())
    }

    fn pipeline(&self, calls: &[Call]) -> Result<Value, String> {
        let mut last = None;
        for call in calls {
            let mut arguments = Vec::new();
            let mut is_decided = false;
            for argument in &call.arguments {
                let value = self.argument(argument)?;
                // As in Go, what stands behind it need not even make sense.
                is_decided = match call.function {
                    Some("and") => is_empty(&value),
                    Some("or") => !is_empty(&value),
                    _ => false,
                };
                arguments.push(value);
                if is_decided {
                    break;
                }
            }
            arguments.extend(last.filter(|_| !is_decided));
            last = Some(match call.function {
                Some(function) => apply(function, &arguments)?,
                None if arguments.len() == 1 => arguments.remove(0),
                None => return Err("a field takes no arguments".to_owned()),
            });
        }
        Ok(last.unwrap_or(Value::Null))
    }

    fn argument(&self, argument: &Argument) -> Result<Value, String> {
        let (base, names) = match argument {
            Argument::Literal(value) => return Ok(value.clone()),
            Argument::Field(base, names) => (base, names),
        };
        match base {
            Base::Here => field(&self.here, names, self.at_root),
            Base::Nested(calls) => field(&self.pipeline(calls)?, names, false),
            Base::Variable(name) => {
                let known = self.variables.iter().rfind(|(known, _)| known == name);
                let (_, value) = known.ok_or_else(|| unknown(name))?;
                field(value, names, name == "$")
            }
        }
    }
}

fn unknown(name: &str) -> String {
    format!("there is no variable `{name}`")
}

/// Keys with their items. Keys of maps are sorted, as Go sorts them.
fn items(value: Value) -> Result<Vec<(Value, Value)>, String> {
    Ok(match value {
        Value::Array(items) => {
            items.into_iter().enumerate().map(|(at, item)| (at.into(), item)).collect()
        }
        Value::Object(map) => map.into_iter().map(|(key, value)| (key.into(), value)).collect(),
        Value::Null => Vec::new(),
        other => return Err(format!("`{}` has no items", shown(&other))),
    })
}

/// A field that the outermost value does not have is a slip. Those below come and go with what an
/// image sets, and are empty when they are not there.
fn field(value: &Value, names: &[String], outermost: bool) -> Result<Value, String> {
    let mut found = value;
    for (at, name) in names.iter().enumerate() {
        found = match found {
            Value::Object(map) => match map.get(name) {
                Some(value) => value,
                None if outermost && at == 0 => {
                    let known = map.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                    return Err(format!("there is no `.{name}`; there are {known}"));
                }
                None => &Value::Null,
            },
            Value::Null => &Value::Null,
            other => return Err(format!("`{}` has no `.{name}`", shown(other))),
        };
    }
    Ok(found.clone())
}
