use std::path::Path;

use crate::error::{Error, Place};
use crate::fields::word;
use crate::interpolate::{Lookup, interpolate};
use crate::merge::{merge, normalise_service};
use crate::node::{Node, Value};

/// How many services can extend one another in a chain; more are a circle.
pub const MAX_EXTENDS: usize = 32;

/// How the text of another file is had: by its path, relative to the project.
pub(crate) type Load<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// A service with what it extends put beneath it.
///
/// `services` are those of the file it is in, `folder` is where paths in that file begin, relative to the
/// project; empty for its own files.
pub(crate) fn resolve(
    service: Node,
    services: &Node,
    folder: &Path,
    lookup: Lookup<'_>,
    load: Load<'_>,
    depth: usize,
) -> Result<Node, Error> {
    let mut service = service;
    let Value::Map(fields) = &mut service.value else { return Ok(service) };
    let Some(at) = fields.iter().position(|(key, _)| key == "extends") else { return Ok(service) };
    let (_, extends) = fields.remove(at);
    if depth == MAX_EXTENDS {
        return Err(unknown(&extends.place, "services extend each other in a circle".to_owned()));
    }
    let (name, file) = if let Value::Word(name) = &extends.value {
        (name.clone(), None)
    } else {
        let service = extends.get("service").ok_or_else(|| Error::Type {
            place: extends.place.clone(),
            what: "extends".to_owned(),
            expected: "the name of a service, or a mapping with `service`",
        })?;
        let file = extends.get("file").map(|file| word(file, "extends.file")).transpose()?;
        (word(service, "extends.service")?, file)
    };
    let mut base = match file {
        None => {
            let base = services.get(&name).cloned();
            let base = base.ok_or_else(|| no_service(&extends.place, &name))?;
            resolve(base, services, folder, lookup, load, depth + 1)?
        }
        Some(file) => {
            let path = folder.join(&file);
            let path_text = path.to_string_lossy();
            let text = load(&path_text)
                .map_err(|reason| unknown(&extends.place, format!("{path_text}: {reason}")))?;
            let mut other = Node::parse(&path_text, &text)?;
            interpolate(&mut other, lookup)?;
            let services = other.get("services").cloned().unwrap_or(other);
            let base = services.get(&name).cloned();
            let mut base = base.ok_or_else(|| no_service(&extends.place, &name))?;
            normalise_service(&mut base);
            // Its paths begin where it is.
            let own = Path::new(&file).parent().unwrap_or(Path::new(""));
            move_paths(&mut base, own);
            resolve(base, &services, &folder.join(own), lookup, load, depth + 1)?
        }
    };
    normalise_service(&mut base);
    merge(&mut base, service);
    Ok(base)
}

/// Lets the local folders of a `build` section begin at `folder`.
pub(crate) fn move_paths(service: &mut Node, folder: &Path) {
    let Value::Map(fields) = &mut service.value else { return };
    let Some((_, build)) = fields.iter_mut().find(|(key, _)| key == "build") else { return };
    let place = build.place.clone();
    let Value::Map(fields) = &mut build.value else { return };
    if !fields.iter().any(|(key, _)| key == "context") && folder != Path::new("") {
        fields.push(("context".to_owned(), Node::new(Value::Word(".".to_owned()), place)));
    }
    for (key, value) in fields {
        match (key.as_str(), &mut value.value) {
            ("context", Value::Word(path)) => move_path(path, folder),
            ("additional_contexts", Value::Map(contexts)) => {
                for (_, context) in contexts {
                    if let Value::Word(path) = &mut context.value {
                        move_path(path, folder);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Lets the file of a secret begin at `folder`.
pub(crate) fn move_secrets(secret: &mut Node, folder: &Path) {
    let Value::Map(fields) = &mut secret.value else { return };
    for (key, value) in fields {
        if let ("file", Value::Word(path)) = (key.as_str(), &mut value.value) {
            move_path(path, folder);
        }
    }
}

fn move_path(path: &mut String, folder: &Path) {
    // Addresses, images and services have a colon; folders on Linux hardly ever.
    if !path.contains(':') {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
}

fn no_service(place: &Place, name: &str) -> Error {
    unknown(place, format!("there is no service `{name}` to extend"))
}

pub(crate) fn unknown(place: &Place, reason: String) -> Error {
    Error::Unknown { place: place.clone(), reason }
}
