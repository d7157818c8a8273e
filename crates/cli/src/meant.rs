//! What was likely meant by a path that leads nowhere.

use std::fs;
use std::path::Path;

use dfbuild::dockerfile::suggest;

/// The question whether a folder beside `path` was meant.
pub(crate) fn folder(path: &Path) -> Option<String> {
    let parent = path.parent()?;
    let beside = if parent == Path::new("") { Path::new(".") } else { parent };
    let folders = fs::read_dir(beside).ok()?.flatten().filter(|entry| entry.path().is_dir());
    let names: Vec<String> =
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let name = suggest::closest(path.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(format!("did you mean {}?", parent.join(name).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("context")).unwrap();
        fs::write(root.path().join("contents"), "").unwrap();
        let meant = folder(&root.path().join("contxt")).unwrap();
        assert_eq!(meant, format!("did you mean {}?", root.path().join("context").display()));
        assert_eq!(folder(&root.path().join("else")), None);
    }
}
