use crate::node::{Node, Tag, Value};

/// Puts what `over` says over `base`, as compose puts one file over another: mappings go into each
/// other, lists grow by what they do not have, words are replaced. `!override` replaces all of it.
pub(crate) fn merge(base: &mut Node, over: Node) {
    if over.tag == Some(Tag::Override) {
        *base = without_resets(over);
        return;
    }
    match (&mut base.value, over.value) {
        // A section without content says nothing.
        (Value::Map(_) | Value::List(_), Value::Null) => {}
        (Value::Map(fields), Value::Map(new)) => {
            for (key, value) in new {
                if value.tag == Some(Tag::Reset) {
                    fields.retain(|(known, _)| *known != key);
                    continue;
                }
                match fields.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, known)) => merge(known, value),
                    None => fields.push((key, without_resets(value))),
                }
            }
        }
        (Value::List(items), Value::List(new)) => {
            for item in new {
                if !items.iter().any(|known| known.value == item.value) {
                    items.push(item);
                }
            }
        }
        (_, value) => *base = without_resets(Node::new(value, over.place)),
    }
}

/// The node without what `!reset` takes away, where there is nothing to take it from.
pub(crate) fn without_resets(mut node: Node) -> Node {
    if let Value::Map(fields) = &mut node.value {
        fields.retain(|(_, value)| value.tag != Some(Tag::Reset));
        let kept = std::mem::take(fields).into_iter();
        *fields = kept.map(|(key, value)| (key, without_resets(value))).collect();
    }
    node
}

/// Brings the forms that a service can have into one, so that services can be put over each other: a
/// `build` that is a folder becomes a mapping, lists of `NAME=VALUE` too.
pub(crate) fn normalise_service(service: &mut Node) {
    let Value::Map(fields) = &mut service.value else { return };
    let Some((_, build)) = fields.iter_mut().find(|(key, _)| key == "build") else { return };
    if let Value::Word(context) = &build.value {
        let context = Node::new(Value::Word(context.clone()), build.place.clone());
        build.value = Value::Map(vec![("context".to_owned(), context)]);
    }
    let Value::Map(fields) = &mut build.value else { return };
    for (key, value) in fields {
        if PAIRS.contains(&key.as_str()) {
            pairs_to_map(value);
        }
    }
}

/// The fields of `build` that are lists of `NAME=VALUE` or mappings.
const PAIRS: [&str; 3] = ["args", "labels", "additional_contexts"];

fn pairs_to_map(node: &mut Node) {
    let Value::List(items) = &mut node.value else { return };
    let mut fields: Vec<(String, Node)> = Vec::new();
    for item in items.drain(..) {
        let Value::Word(word) = &item.value else {
            // Whoever reads the mapping tells that this is none.
            fields.push((String::new(), item));
            continue;
        };
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Value::Word(value.to_owned())),
            None => (word.clone(), Value::Null),
        };
        fields.retain(|(known, _)| *known != name);
        fields.push((name, Node::new(value, item.place)));
    }
    node.value = Value::Map(fields);
}
