//! `CopyIgnoredFile`.

use dfbuild_pattern::PatternSet;

use super::linter::{Linter, Place};
use super::rule::COPY_IGNORED_FILE;
use crate::quote::quote;

/// Looks at one source in the context. Patterns with `!` may take back what is inside, so nothing is said about them.
pub(super) fn check(
    linter: &mut Linter,
    place: Place,
    ignore: Option<&PatternSet>,
    command: &str,
    source: &str,
) {
    let Some(ignore) = ignore.filter(|it| !it.has_exclusions()) else { return };
    let path = clean(source);
    // The root itself is never ignored; these patterns ignore all that is in it. As a path, `/` is no name for `*`.
    let everything: &[&[u8]] = match path.as_str() {
        "." => &[b"*", b"**", b"**/*"],
        "/" => &[b"**", b"**/*"],
        _ => &[],
    };
    let ignored = ignore.matches(path.as_bytes()).ignored
        || ignore.patterns().iter().any(|it| everything.contains(&it.text.as_slice()));
    if ignored {
        let detail = format!(
            "Attempting to {command} file {} that is excluded by .dockerignore",
            quote(&path)
        );
        linter.warn(&COPY_IGNORED_FILE, place, detail);
    }
}

/// Go's `filepath.Clean`.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|it| *it != "..") => {
                names.pop();
            }
            ".." if rooted => {}
            name => names.push(name),
        }
    }
    let joined = names.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths_are_cleaned() {
        for (path, expect) in [
            ("", "."),
            ("./a//b/", "a/b"),
            ("a/../..", ".."),
            ("/../a", "/a"),
            ("../../a", "../../a"),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), expect, "{path}");
        }
    }
}
