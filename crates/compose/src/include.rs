use std::path::Path;

use crate::env_file;
use crate::error::Error;
use crate::extends::{Load, MAX_EXTENDS, unknown};
use crate::fields::word;
use crate::interpolate::Lookup;
use crate::node::{Node, Value};
use crate::project::read_all;

/// Takes `include` out of a file, and returns what the files say that it names.
///
/// `folder` is where paths in this file begin, relative to the project.
pub(crate) fn take(
    file: &mut Node,
    folder: &Path,
    lookup: Lookup<'_>,
    load: Load<'_>,
    depth: usize,
) -> Result<Vec<Node>, Error> {
    let Value::Map(sections) = &mut file.value else { return Ok(Vec::new()) };
    let Some(at) = sections.iter().position(|(key, _)| key == "include") else {
        return Ok(Vec::new());
    };
    let (_, include) = sections.remove(at);
    if depth == MAX_EXTENDS {
        return Err(unknown(&include.place, "files include each other in a circle".to_owned()));
    }
    let entries = items(&include);
    entries.iter().map(|entry| read(entry, folder, lookup, load, depth)).collect()
}

/// What one entry stands for: a file, or several that go over each other.
fn read(
    entry: &Node,
    folder: &Path,
    lookup: Lookup<'_>,
    load: Load<'_>,
    depth: usize,
) -> Result<Node, Error> {
    let paths = entry.get("path").unwrap_or(entry);
    let text_of = |node: &Node, what: &str| -> Result<(String, String), Error> {
        let path = folder.join(word(node, what)?).to_string_lossy().into_owned();
        let text = load(&path);
        let text = text.map_err(|reason| unknown(&node.place, format!("{path}: {reason}")))?;
        Ok((path, text))
    };
    let files = items(paths).iter().map(|path| text_of(path, "include.path"));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let own = match entry.get("project_directory") {
        Some(own) => folder.join(word(own, "include.project_directory")?),
        None => {
            files.first().and_then(|(path, _)| Path::new(path).parent()).unwrap_or(folder).into()
        }
    };
    let mut variables = Vec::new();
    if let Some(files) = entry.get("env_file") {
        for file in items(files) {
            let (path, text) = text_of(file, "include.env_file")?;
            variables.extend(env_file::parse(&path, &text, lookup.get)?);
        }
    }
    let get = |name: &str| {
        let own = || variables.iter().rev().find(|(known, _)| known == name);
        (lookup.get)(name).or_else(|| own().map(|(_, value)| value.clone()))
    };
    read_all(&files, &own, Lookup { get: &get, ..lookup }, load, depth + 1)
}

/// The items of a list; anything else is one item.
fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

#[cfg(test)]
mod tests {
    use crate::project::{ComposeFile, Project, SecretSource};

    fn read(files: &[&str]) -> Result<Project, String> {
        let files: Vec<_> =
            files.iter().map(|text| ComposeFile::new("compose.yml", *text)).collect();
        let load = |path: &str| {
            Ok(match path {
                "db/compose.yml" => "include: [more/tools.yml]\nservices: {db: {build: {context: ., args: {V: '${V:-none}'}}}}\nsecrets: {key: {file: ./key}}\n",
                "db/over.yml" => "services: {db: {build: {target: fast}}}\n",
                "db/more/tools.yml" => "services: {tool: {build: {dockerfile_inline: FROM scratch}}}\n",
                "db/.env" => "V=7\n",
                "circle.yml" => "include: circle.yml\n",
                _ => return Err("no such file".to_owned()),
            }
            .to_owned())
        };
        Project::read(&files, "dir", &|_| None, &load).map_err(|error| error.to_string())
    }

    #[test]
    fn files_that_are_included() {
        let project = read(&["include: [{path: [db/compose.yml, db/over.yml], env_file: db/.env}]\nservices: {web: {build: .}}\n"]).unwrap();
        let build = |name: &str| project.services[name].build.clone().unwrap();
        assert_eq!(build("web").context, ".");
        let db = build("db");
        assert_eq!((db.context.as_str(), db.target.as_deref()), ("db/.", Some("fast")));
        assert_eq!(db.args, [("V".to_owned(), Some("7".to_owned()))]);
        assert_eq!(build("tool").context, "db/more/.");
        assert_eq!(project.secrets["key"], SecretSource::File("db/./key".to_owned()));
        let elsewhere = "include: [{path: db/compose.yml, project_directory: other}]\n";
        let project = read(&[elsewhere]);
        // Paths begin in that folder, and so does what is included from there.
        assert!(project.unwrap_err().contains("other/more/tools.yml: no such file"));
    }

    #[test]
    fn includes_that_cannot_be() {
        for (text, expect) in [
            ("include: x.yml\n", "compose.yml:1:10: x.yml: no such file"),
            ("include: circle.yml\n", "files include each other in a circle"),
            (
                "include: db/compose.yml\nservices: {db: {image: a}}\n",
                "compose.yml:2:16: service db is in an included file as well",
            ),
        ] {
            let error = read(&[text]).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn tags() {
        let base = "services: {web: {image: a, build: {context: ., args: {A: 1, B: 2}, tags: [a, b], target: t}}}";
        let over = "services: {web: {build: {args: !override {C: 3}, tags: !override [c], target: !reset null}}}";
        let project = read(&[base, over]).unwrap();
        let web = project.services["web"].build.clone().unwrap();
        assert_eq!(web.args, [("C".to_owned(), Some("3".to_owned()))]);
        assert_eq!((web.tags, web.target), (vec!["c".to_owned()], None));
        let alone = read(&["services: {web: {build: {context: ., target: !reset t}}}"]).unwrap();
        assert_eq!(alone.services["web"].build.clone().unwrap().target, None);
    }
}
