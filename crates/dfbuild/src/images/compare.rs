//! What is different between two images.

use std::collections::BTreeMap;
use std::iter::Peekable;

use dfbuild_image::{Entry, ImageConfig, Kind, Platform, TreePath};
use dfbuild_layer::View;
use serde_json::Value;

use crate::engine::Engine;
use crate::error::Error;
use crate::images::rootfs::Rootfs;

/// What is different between two images.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let text = "FROM scratch\nARG V\nLABEL version=$V\n";
/// let build = Build::new(BuildContext::Empty).dockerfile_text(text);
/// for version in ["1", "2"] {
///     let build = build.clone().build_arg("V", version).tag(format!("app:{version}"));
///     build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// }
/// let diff = engine.compare("app:1", "app:2", None, false)?;
/// assert!(diff.files.is_empty());
/// assert!(diff.config.iter().any(|part| part.name.contains("version")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImageDiff {
    /// The files, in the order of their paths.
    pub files: Vec<FileDiff>,
    /// The configuration, in the order of the names.
    pub config: Vec<ConfigDiff>,
}

/// A path that is different.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let before = "FROM scratch\n";
/// # let after = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n";
/// # for (text, name) in [(before, "before"), (after, "after")] {
/// #     let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag(name);
/// #     build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// # }
/// let diff = engine.compare("before", "after", None, false)?;
/// let paths: Vec<&str> = diff.files.iter().map(|file| file.path.as_str()).collect();
/// assert_eq!(paths, ["/greeting"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FileDiff {
    /// The absolute path.
    pub path: String,
    /// What is different.
    pub change: TreeChange,
}

/// What is different at a path.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let before = "FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n";
/// # let after = "FROM scratch\nCOPY --chmod=0600 <<EOF /greeting\nhello\nEOF\n";
/// # for (text, name) in [(before, "before"), (after, "after")] {
/// #     let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag(name);
/// #     build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// # }
/// use dfbuild::TreeChange;
///
/// for file in engine.compare("before", "after", None, false)?.files {
///     match file.change {
///         TreeChange::Added { size } => println!("+ {} ({size})", file.path),
///         TreeChange::Removed { size } => println!("- {} ({size})", file.path),
///         TreeChange::Changed { what } => {
///             assert_eq!(what, [("mode", "0644".to_owned(), "0600".to_owned())]);
///         }
///         _ => {}
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TreeChange {
    /// Only the second image has it.
    Added {
        /// Its length in bytes; 0 for what is no file.
        size: u64,
    },
    /// Only the first image has it.
    Removed {
        /// Its length in bytes; 0 for what is no file.
        size: u64,
    },
    /// Both have it.
    Changed {
        /// What of it, each with its value before and after: `mode`, `0644`, `0755`.
        what: Vec<(&'static str, String, String)>,
    },
}

/// A part of the configuration that is different.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # let (before, after) = ("FROM scratch\nUSER 0\n", "FROM scratch\nUSER 1000\n");
/// # for (text, name) in [(before, "before"), (after, "after")] {
/// #     let build = Build::new(BuildContext::Empty).dockerfile_text(text).tag(name);
/// #     build.run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// # }
/// let diff = engine.compare("before", "after", None, false)?;
/// let user = diff.config.iter().find(|part| part.name == "User").unwrap();
/// assert_eq!(user.before.as_ref().unwrap(), "0");
/// assert_eq!(user.after.as_ref().unwrap(), "1000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConfigDiff {
    /// Which one: `Cmd`, or `Env PATH`.
    pub name: String,
    /// Its value in the first image.
    pub before: Option<Value>,
    /// Its value in the second image.
    pub after: Option<Value>,
}

impl Engine {
    /// Finds what is different between two images of the store, each a name or the beginning of an
    /// id. Nothing is unpacked. Times count only with `times`.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let other = Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\ngoodbye\nEOF\n")
    ///     .tag("other");
    /// other.run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let difference = engine.compare("app", "other", None, false)?;
    /// assert_eq!(difference.files[0].path, "/greeting");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare(
        &self,
        before: &str,
        after: &str,
        platform: Option<&Platform>,
        times: bool,
    ) -> Result<ImageDiff, Error> {
        let _in_use = self.in_use();
        let look = |name: &str| {
            let image = self.local_image(name)?;
            let found = self.local_platform(&image.top, platform);
            let found = found.map_err(|error| Error::image(name, error))?;
            let layers = found.files(self).map_err(|error| Error::image(name, error))?;
            Ok::<_, Error>((Rootfs::new(self, layers), found.config))
        };
        let ((one, before_config), (two, after_config)) = (look(before)?, look(after)?);
        let files = if one.diff_ids() == two.diff_ids() {
            Vec::new()
        } else {
            let view = |rootfs: &Rootfs<'_>, name: &str| {
                rootfs.view().map(drop).map_err(|error| Error::image(name, error))
            };
            view(&one, before)?;
            view(&two, after)?;
            match (one.view(), two.view()) {
                (Ok(one), Ok(two)) => compare_files(one, two, times),
                _ => Vec::new(),
            }
        };
        Ok(ImageDiff { files, config: compare_configs(&before_config, &after_config) })
    }
}

fn compare_files(one: &View, two: &View, times: bool) -> Vec<FileDiff> {
    fn entries(view: &View) -> Peekable<impl Iterator<Item = Entry> + use<'_>> {
        let found = view.walk(&TreePath::ROOT).filter(|found| !found.entry.path.is_root());
        let entries = found.map(|found| {
            let origin = view.origin(&found);
            Entry { path: found.entry.path.clone(), ..origin.entry.clone() }
        });
        entries.peekable()
    }
    let (mut one, mut two) = (entries(one), entries(two));
    let mut files = Vec::new();
    let mut push = |path: &TreePath, change| {
        files.push(FileDiff { path: path.to_string(), change });
    };
    loop {
        let order = match (one.peek(), two.peek()) {
            (None, None) => return files,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.path.cmp(&b.path),
        };
        let before = if order.is_le() { one.next() } else { None };
        let after = if order.is_ge() { two.next() } else { None };
        match (before, after) {
            (Some(a), Some(b)) => {
                let what = changes(&a, &b, times);
                if !what.is_empty() {
                    push(&a.path, TreeChange::Changed { what });
                }
            }
            (Some(a), None) => push(&a.path, TreeChange::Removed { size: size_of(&a.kind) }),
            (None, Some(b)) => push(&b.path, TreeChange::Added { size: size_of(&b.kind) }),
            (None, None) => return files,
        }
    }
}

fn size_of(kind: &Kind) -> u64 {
    match kind {
        Kind::File { size, .. } => *size,
        _ => 0,
    }
}

fn changes(a: &Entry, b: &Entry, times: bool) -> Vec<(&'static str, String, String)> {
    let mut what = Vec::new();
    let mut compare = |name, a: String, b: String| {
        if a != b {
            what.push((name, a, b));
        }
    };
    compare("type", type_of(&a.kind), type_of(&b.kind));
    match (&a.kind, &b.kind) {
        (Kind::File { size: one, digest: x }, Kind::File { size: two, digest: y }) => {
            compare("size", one.to_string(), two.to_string());
            compare("content", x.short(), y.short());
        }
        (Kind::Symlink { target: one }, Kind::Symlink { target: two }) => {
            let text = |target: &[u8]| String::from_utf8_lossy(target).into_owned();
            compare("target", text(one), text(two));
        }
        _ => {}
    }
    compare("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode));
    let owner = |entry: &Entry| format!("{}:{}", entry.uid, entry.gid);
    compare("owner", owner(a), owner(b));
    let capability = |entry: &Entry| format!("{:?}", entry.capability);
    compare("capability", capability(a), capability(b));
    if times {
        let time = |entry: &Entry| dfbuild_image::Timestamp::from_seconds(entry.mtime).to_string();
        compare("time", time(a), time(b));
    }
    what
}

fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Directory { .. } => "folder".to_owned(),
        Kind::File { .. } | Kind::HardLink { .. } => "file".to_owned(),
        Kind::Symlink { .. } => "link".to_owned(),
        Kind::CharDevice { major, minor } => format!("character device {major}:{minor}"),
        Kind::BlockDevice { major, minor } => format!("block device {major}:{minor}"),
        Kind::Fifo => "pipe".to_owned(),
        Kind::Whiteout => "nothing".to_owned(),
    }
}

fn compare_configs(before: &ImageConfig, after: &ImageConfig) -> Vec<ConfigDiff> {
    let (before, after) = (parts(before), parts(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let diff = |name: &String| ConfigDiff {
        name: name.clone(),
        before: before.get(name).cloned(),
        after: after.get(name).cloned(),
    };
    changed.map(diff).collect()
}

/// The parts of a configuration that say how containers run, variables and labels one by one.
fn parts(config: &ImageConfig) -> BTreeMap<String, Value> {
    let mut parts = BTreeMap::new();
    let fields = serde_json::to_value(&config.config).unwrap_or_default();
    for (name, value) in fields.as_object().cloned().unwrap_or_default() {
        match (name.as_str(), &value) {
            ("Env", Value::Array(variables)) => {
                for variable in variables.iter().filter_map(Value::as_str) {
                    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
                    parts.insert(format!("Env {name}"), Value::from(value));
                }
            }
            ("Labels" | "ExposedPorts" | "Volumes", Value::Object(items)) => {
                for (key, value) in items {
                    parts.insert(format!("{name} {key}"), value.clone());
                }
            }
            // Other builders write out what means nothing.
            _ if is_nothing(&value) => {}
            _ => drop(parts.insert(name, value)),
        }
    }
    parts.insert("Platform".to_owned(), Value::from(config.platform().to_string()));
    parts
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dfbuild_image::Digest;
    use dfbuild_layer::Index;

    use super::*;

    fn view(entries: Vec<Entry>) -> View {
        View::new(vec![Arc::new(Index::new(entries).unwrap())])
    }

    fn file(path: &str, content: &str, mode: u32) -> Entry {
        let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
        Entry::new(path, kind, mode, 0)
    }

    #[test]
    fn files() {
        let one = view(vec![file("a", "x", 0o644), file("b", "y", 0o644), file("d/e", "z", 0o600)]);
        let two =
            view(vec![file("a", "x", 0o644), file("b", "yy", 0o755), file("c", "new", 0o644)]);
        let found = compare_files(&one, &two, false);
        let shown: Vec<String> =
            found.iter().map(|it| format!("{} {:?}", it.path, it.change)).collect();
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert!(
            shown[0].starts_with("/b Changed")
                && shown[0].contains("(\"mode\", \"0644\", \"0755\")")
        );
        assert!(shown[0].contains("(\"size\", \"1\", \"2\")") && shown[0].contains("content"));
        assert_eq!(shown[1..3], ["/c Added { size: 3 }", "/d Removed { size: 0 }"]);
        assert_eq!(compare_files(&one, &one, true), []);
    }

    #[test]
    fn configurations() {
        let mut one = ImageConfig::default();
        one.config.env = vec!["A=1".into(), "B=2".into()];
        let mut two = one.clone();
        two.config.env = vec!["B=2".into(), "A=3".into()];
        two.config.user = "7".into();
        let found = compare_configs(&one, &two);
        let shown: Vec<(&str, Option<&Value>)> =
            found.iter().map(|it| (it.name.as_str(), it.after.as_ref())).collect();
        assert_eq!(shown, [("Env A", Some(&Value::from("3"))), ("User", Some(&Value::from("7")))]);
        assert_eq!(found[1].before, None);
    }
}
