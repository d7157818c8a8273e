use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path inside a root file system or a build context: relative to its root, cleaned, without a
/// leading or trailing slash. The root itself is the empty path. Names are bytes; they need not be
/// UTF-8.
///
/// The order is that of a walk which sorts the names of each directory, as tar entries of a layer
/// are sorted: `a`, `a/b`, `a-b` (a slash sorts before every other byte).
///
/// A clone is another reference to the same bytes: the lists of a build name each file several times.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(
    /// None for the root, and never empty.
    Option<Arc<[u8]>>,
);

impl TreePath {
    /// The root.
    pub const ROOT: Self = Self(None);

    /// Cleans `path`, taken from the root: empty and `.` names go, `..` takes the name before it
    /// with it and stops at the root.
    pub fn new(path: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        if is_clean(path) {
            return Self::from_clean(path);
        }
        let mut clean = Vec::with_capacity(path.len());
        for name in path.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => clean.truncate(parent_length(&clean)),
                name => {
                    if !clean.is_empty() {
                        clean.push(b'/');
                    }
                    clean.extend_from_slice(name);
                }
            }
        }
        Self::from_clean(&clean)
    }

    fn from_clean(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| bytes.into()))
    }

    /// The bytes, `usr/bin` for `/usr/bin`.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The relative path for the operating system; `.` for the root.
    pub fn to_path(&self) -> &Path {
        match &self.0 {
            Some(bytes) => Path::new(OsStr::from_bytes(bytes)),
            None => Path::new("."),
        }
    }

    /// This path below the directory `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        match &self.0 {
            Some(bytes) => root.join(OsStr::from_bytes(bytes)),
            None => root.to_owned(),
        }
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_none()
    }

    /// The names from the root down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.as_bytes().split(|&byte| byte == b'/').filter(|name| !name.is_empty())
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.names().next_back()
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let own = self.0.as_deref()?;
        Some(Self::from_clean(&own[..parent_length(own)]))
    }

    /// The parents from the root's child down to the direct parent, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        let own = self.as_bytes();
        let slashes = own.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        slashes.map(|(at, _)| Self::from_clean(&own[..at]))
    }

    /// The path `name` in this directory. `name` is a single name, or several joined by slashes,
    /// and is taken as it is.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Self {
        let (own, name) = (self.as_bytes(), name.as_ref());
        if name.is_empty() {
            return self.clone();
        }
        let slash: &[u8] = if own.is_empty() { b"" } else { b"/" };
        let length = own.len() + slash.len() + name.len();
        let mut short = [0; SHORT];
        let Some(buffer) = short.get_mut(..length) else {
            return Self::from_clean(&[own, slash, name].concat());
        };
        let (start, end) = buffer.split_at_mut(own.len() + slash.len());
        start[..own.len()].copy_from_slice(own);
        start[own.len()..].copy_from_slice(slash);
        end.copy_from_slice(name);
        Self::from_clean(buffer)
    }

    /// This path, taken from `directory` and not from the root.
    #[must_use]
    pub fn inside(&self, directory: &Self) -> Self {
        if directory.is_root() { self.clone() } else { directory.join(self.as_bytes()) }
    }

    /// What is left of this path below `directory`; `None` if it is not below it or the same.
    pub fn strip_prefix(&self, directory: &Self) -> Option<Self> {
        if directory.is_root() {
            return Some(self.clone());
        }
        match self.as_bytes().strip_prefix(directory.as_bytes())? {
            [] => Some(Self::ROOT),
            [b'/', rest @ ..] => Some(Self::from_clean(rest)),
            _ => None,
        }
    }

    /// Whether this is `directory` or lies below it.
    pub fn starts_with(&self, directory: &Self) -> bool {
        directory.is_root()
            || self
                .as_bytes()
                .strip_prefix(directory.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// Appends a name.
    pub fn push(&mut self, name: &[u8]) {
        *self = self.join(name);
    }

    /// Removes the last name; the root stays the root.
    pub fn pop(&mut self) {
        *self = self.parent().unwrap_or_default();
    }
}

/// Paths up to here are put together on the stack.
const SHORT: usize = 256;

/// Whether a path has no name that goes.
fn is_clean(path: &[u8]) -> bool {
    path.is_empty()
        || path.split(|&byte| byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
}

/// The length of the path without its last name.
fn parent_length(path: &[u8]) -> usize {
    path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)
}

/// As a sequence of bytes.
impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_clean(&Vec::deserialize(deserializer)?))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (self.as_bytes(), other.as_bytes());
        let at = shared_length(own, others);
        match (own.get(at), others.get(at)) {
            (Some(&a), Some(&b)) => {
                let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
                rank(a).cmp(&rank(b))
            }
            _ => own.len().cmp(&others.len()),
        }
    }
}

/// How many bytes two paths have in common from their beginning. Those that are compared mostly begin
/// alike, so it looks at eight at a time.
fn shared_length(a: &[u8], b: &[u8]) -> usize {
    let least = a.len().min(b.len());
    let mut at = 0;
    while let (Some(a), Some(b)) = (a[at..].first_chunk::<8>(), b[at..].first_chunk::<8>()) {
        let different = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if different != 0 {
            return at + (different.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < least && a[at] == b[at] {
        at += 1;
    }
    at
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The absolute path, with bytes that are not UTF-8 replaced.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl From<&str> for TreePath {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for TreePath {
    fn from(path: &Path) -> Self {
        Self::new(path.as_os_str().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_cleans() {
        for (given, clean) in [
            ("", ""),
            ("/", ""),
            ("./a//b/", "a/b"),
            ("a/../b", "b"),
            ("../../a", "a"),
            ("a/b/../../..", ""),
            ("...", "..."),
        ] {
            assert_eq!(TreePath::new(given).as_bytes(), clean.as_bytes(), "{given}");
        }
    }

    #[test]
    fn order_is_that_of_a_walk() {
        let mut paths: Vec<TreePath> =
            ["b", "a-b", "a/c", "a", "", "a/b/c", "a/b", "a b"].map(TreePath::from).into();
        paths.sort();
        let sorted = ["", "a", "a/b", "a/b/c", "a/c", "a b", "a-b", "b"].map(TreePath::from);
        assert_eq!(paths, sorted);
    }

    #[test]
    fn long_paths_are_ordered_name_by_name() {
        let begin = "0123456";
        let ends =
            ["", "7", "78", "7/8", "7-8", "/7", "-7", "7/89abcdef/g", "7/89abcdef-g", "\u{ff}"];
        let begins = ["", begin, &begin.repeat(2), &begin.repeat(3)];
        let paths: Vec<TreePath> = begins
            .iter()
            .flat_map(|begin| ends.map(|end| TreePath::new(format!("{begin}{end}"))))
            .collect();
        for a in &paths {
            for b in &paths {
                assert_eq!(a.cmp(b), a.names().cmp(b.names()), "{a} {b}");
            }
        }
    }

    #[test]
    fn parents_and_prefixes() {
        let path = TreePath::from("/a/b/c");
        assert_eq!(path.parent(), Some("a/b".into()));
        assert_eq!(path.name(), Some(&b"c"[..]));
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a".into(), "a/b".into()]);
        assert_eq!(path.strip_prefix(&"a".into()), Some("b/c".into()));
        assert_eq!(path.strip_prefix(&"a/b/cc".into()), None);
        assert_eq!(TreePath::from("ab").strip_prefix(&"a".into()), None);
        assert!(path.starts_with(&"a/b".into()) && !TreePath::from("ab").starts_with(&"a".into()));
        assert_eq!(TreePath::ROOT.parent(), None);
        assert_eq!(TreePath::ROOT.join("x").to_string(), "/x");
        assert_eq!(path.inside(&"x".into()), "x/a/b/c".into());
        assert_eq!(path.inside(&TreePath::ROOT), path);
        assert_eq!(TreePath::ROOT.inside(&path), path);
        let long = "n".repeat(SHORT);
        assert_eq!(path.join(&long).as_bytes(), format!("a/b/c/{long}").as_bytes());
    }
}
