//! What to say of a source that is not there.

use std::collections::VecDeque;

use dfbuild_dockerfile::suggest;
use dfbuild_image::{Kind, TreePath};

use crate::error::StepError;
use crate::steps::tree::Tree;

/// The error for a source that is not there: what to call it, and where it would be.
pub(crate) fn not_found(tree: &dyn Tree, path: impl Into<String>, found: &TreePath) -> StepError {
    let is_there = || tree.without_rules()?.get(found).ok()?;
    let ignored = tree.ignored_by(found).filter(|_| is_there().is_some());
    let path = path.into();
    let leads_to = is_beyond_a_link(tree, &TreePath::new(&path), found).then(|| found.to_string());
    let close = if ignored.is_some() || leads_to.is_some() { None } else { close(tree, found) };
    StepError::NotFound { path, leads_to, ignored, within: None, above: false, close }
}

/// Whether the way from one path to the other is a link.
fn is_beyond_a_link(tree: &dyn Tree, path: &TreePath, found: &TreePath) -> bool {
    let is_link = |path: TreePath| {
        tree.get(&path)
            .is_ok_and(|entry| entry.is_some_and(|it| matches!(it.kind, Kind::Symlink { .. })))
    };
    let mut parent = Some(path.clone());
    path != found
        && std::iter::from_fn(|| {
            let path = parent.take()?;
            parent = path.parent();
            Some(path)
        })
        .any(is_link)
}

/// What is in the same folder under nearly the same name, else what has this name elsewhere.
fn close(tree: &dyn Tree, path: &TreePath) -> Option<String> {
    let parent = path.parent()?;
    let wanted = path.name()?;
    let names = tree.read_dir(&parent).unwrap_or_default();
    let names = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
    let near = std::str::from_utf8(wanted).ok().and_then(|wanted| suggest::closest(wanted, names));
    let near = near.map(|name| parent.join(name.as_bytes()));
    near.or_else(|| elsewhere(tree, wanted)).map(|path| path.to_string())
}

/// The file or folder of that name that is the least deep. Gives up in large trees: it is only a hint.
fn elsewhere(tree: &dyn Tree, wanted: &[u8]) -> Option<TreePath> {
    const MOST_FOLDERS: usize = 500;
    let mut folders = VecDeque::from([TreePath::ROOT]);
    for _ in 0..MOST_FOLDERS {
        let folder = folders.pop_front()?;
        for name in tree.read_dir(&folder).unwrap_or_default() {
            let path = folder.join(&name);
            if name == wanted {
                return Some(path);
            }
            if tree.is_directory(&path) {
                folders.push_back(path);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dfbuild_context::{Context, StatCache};
    use dfbuild_pattern::{PatternSet, parse_ignore_file};

    use super::*;

    #[test]
    fn what_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        for file in ["src/app.py", "src/deep/config.yaml", "token.env"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let rules = PatternSet::new(parse_ignore_file(b"# none\n*.env\n")).unwrap();
        let context = Context::new(folder.path(), rules, StatCache::default())
            .with_ignore_file("./.dockerignore");
        for (path, text, hint) in [
            ("src/ap.py", "\"/src/ap.py\": not found", Some("did you mean /src/app.py?")),
            ("app.py", "\"/app.py\": not found", Some("did you mean /src/app.py?")),
            ("srv/app.py", "\"/srv/app.py\": not found", Some("did you mean /src/app.py?")),
            (
                "config.yaml",
                "\"/config.yaml\": not found",
                Some("did you mean /src/deep/config.yaml?"),
            ),
            ("nothing", "\"/nothing\": not found", None),
            (
                "token.env",
                "\"/token.env\": not found: .dockerignore:2 leaves it out (*.env)",
                Some("a line `!token.env` below that one takes it back"),
            ),
        ] {
            let path = TreePath::new(path);
            let error = not_found(&context, path.to_string(), &path);
            assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (text, hint));
        }
        std::os::unix::fs::symlink("../../etc/passwd", folder.path().join("src/link")).unwrap();
        let error = not_found(&context, "/src/link", &TreePath::new("etc/passwd"));
        assert_eq!(error.to_string(), r#""/src/link": not found: a link leads to "/etc/passwd""#);
        assert_eq!(error.hint(), None);
    }
}
