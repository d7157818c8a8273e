//! What `COPY` makes of a tree over an image: entries in, entries out.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use dfbuild_dockerfile::chmod::Chmod;
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::{Index, Limits, View};
use dfbuild_pattern::PatternSet;

use crate::error::StepError;
use crate::steps::copy::{
    CopyRules, copy_inline, copy_match, copy_with_parents, find, find_with_parents,
};
use crate::steps::draft::{Draft, Making};
use crate::steps::origin::Origin;
use crate::steps::tree::Tree;

/// A tree in memory. A line is `path`, `path/`, `path -> target`, or `path => hard link`, each with
/// an optional mode and owner: `path 600 5:6`.
struct Memory(BTreeMap<TreePath, Entry>);

// The times of everything in a source, in an image, and of what the builder makes.
const SOURCE_TIME: i64 = 100;
const IMAGE_TIME: i64 = 50;
const MADE_AT: i64 = 7;

fn entries(lines: &str, mtime: i64) -> Vec<Entry> {
    let mut entries: BTreeMap<TreePath, Entry> = BTreeMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, kind, rest) = if let Some((name, target)) = line.split_once(" -> ") {
            (name, Kind::Symlink { target: target.as_bytes().to_vec() }, "777")
        } else if let Some((name, target)) = line.split_once(" => ") {
            (name, Kind::HardLink { target: target.into() }, "")
        } else {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let file = Kind::File { size: name.len() as u64, digest: Digest::of(name) };
            (name, if name.ends_with('/') { Kind::DIRECTORY } else { file }, rest)
        };
        let mut words = rest.split(' ');
        let default = if kind.is_directory() { 0o755 } else { 0o644 };
        let mode = u32::from_str_radix(words.next().unwrap_or(""), 8).unwrap_or(default);
        let mut entry = Entry::new(TreePath::new(name), kind, mode, mtime);
        if let Some((uid, gid)) = words.next().and_then(|owner| owner.split_once(':')) {
            (entry.uid, entry.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
        }
        entries.insert(entry.path.clone(), entry);
    }
    entries.into_values().collect()
}

impl Memory {
    fn new(lines: &str) -> Self {
        Self(entries(lines, SOURCE_TIME).into_iter().map(|e| (e.path.clone(), e)).collect())
    }
}

impl Tree for Memory {
    fn get(&self, path: &TreePath) -> Result<Option<Entry>, StepError> {
        if path.is_root() {
            return Ok(Some(Entry::new(TreePath::ROOT, Kind::DIRECTORY, 0o700, SOURCE_TIME)));
        }
        Ok(self.0.get(path).cloned())
    }

    fn read_dir(&self, path: &TreePath) -> Result<Vec<Vec<u8>>, StepError> {
        let inside = self.0.keys().filter(|child| child.parent().as_ref() == Some(path));
        Ok(inside.filter_map(|child| child.name().map(<[u8]>::to_vec)).collect())
    }

    fn walk(&self, path: &TreePath) -> Result<Vec<Entry>, StepError> {
        let inside = self.0.values().filter(|e| e.path != *path && e.path.starts_with(path));
        Ok(inside.cloned().collect())
    }

    fn open(&self, _path: &TreePath) -> io::Result<Box<dyn Read + '_>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The flags of a copy.
#[derive(Default)]
struct Flags<'a> {
    chown: Option<(u32, u32)>,
    chmod: Option<&'a str>,
    exclude: &'a [&'a str],
    parents: bool,
}

/// Copies and shows the layer, an entry a line: path, mode, owner if not root, time.
fn layer(source: &str, image: &str, copies: &[(&str, &str)], flags: &Flags<'_>) -> String {
    let tree = Memory::new(source);
    let below = View::new(vec![Arc::new(Index::new(entries(image, IMAGE_TIME)).unwrap())]);
    let chmod = flags.chmod.map(|text| text.parse::<Chmod>().unwrap());
    let excludes = PatternSet::from_texts(flags.exclude).unwrap();
    let rules = CopyRules {
        owner: flags.chown,
        chmod: chmod.as_ref(),
        excludes: &excludes,
        limits: &Limits::NONE,
    };
    let mut draft = Draft::new(&below, MADE_AT);
    let mut copy_all = || {
        for (from, dest) in copies {
            if flags.parents {
                for selected in find_with_parents(&tree, from)? {
                    copy_with_parents(&mut draft, &tree, &selected, dest, &rules)?;
                }
            } else {
                for found in find(&tree, from)? {
                    copy_match(&mut draft, &tree, &found, dest, &rules)?;
                }
            }
        }
        Ok::<(), StepError>(())
    };
    match copy_all() {
        Err(error) => error.to_string(),
        Ok(()) => show(&draft.finish().unwrap().index),
    }
}

fn show(index: &Index) -> String {
    let lines = index.entries().iter().map(|entry| {
        let path = String::from_utf8_lossy(entry.path.as_bytes());
        let name = match &entry.kind {
            Kind::Directory { .. } => format!("{path}/"),
            Kind::Symlink { target } => format!("{path} -> {}", String::from_utf8_lossy(target)),
            Kind::HardLink { target } => format!("{path} => {target}"),
            Kind::Whiteout => format!("-{path}"),
            _ => path.into_owned(),
        };
        let owner = match (entry.uid, entry.gid) {
            (0, 0) => String::new(),
            (uid, gid) => format!(" {uid}:{gid}"),
        };
        format!("{name} {:o}{owner} @{}", entry.mode, entry.mtime)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(source: &str, image: &str, copies: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(layer(source, image, copies, &Flags::default()), expected.join("\n"));
}

#[test]
fn a_file() {
    check("f", "", &[("f", "/g")], &["g 644 @100"]);
    check("f", "", &[("f", "/d/")], &["d/ 755 @7", "d/f 644 @100"]);
    check("f", "d/ 700", &[("f", "/d")], &["d/ 700 @50", "d/f 644 @100"]);
    check("f", "", &[("f", "/a/b/c")], &["a/ 755 @7", "a/b/ 755 @7", "a/b/c 644 @100"]);
}

#[test]
fn a_directory_gives_its_content_and_its_time() {
    check(
        "d/ 700\nd/f\nd/s/ 711",
        "",
        &[("d", "/x")],
        &["x/ 755 @100", "x/f 644 @100", "x/s/ 711 @100"],
    );
    check("d/\nd/f", "x/ 700 5:5", &[("d/", "/x")], &["x/ 700 5:5 @100", "x/f 644 @100"]);
    // An existing sub-directory gets the source's mode and owner.
    check("d/\nd/s/ 711", "x/\nx/s/ 700", &[("d", "/x")], &["x/ 755 @100", "x/s/ 711 @100"]);
    check("f\nd/\nd/g", "", &[(".", "/")], &["d/ 755 @100", "d/g 644 @100", "f 644 @100"]);
}

#[test]
fn links_in_the_destination_are_followed() {
    check("f", "t/\nl -> t", &[("f", "/l/")], &["t/ 755 @50", "t/f 644 @100"]);
    check("f", "t/\nt/old\nl -> /t/old", &[("f", "/l")], &["t/ 755 @50", "t/old 644 @100"]);
    check("f", "l -> /gone/x", &[("f", "/l")], &["gone/ 755 @7", "gone/x 644 @100"]);
    // One inside the destination is replaced, never written through.
    check("d/\nd/f", "x/\nx/f -> /etc/passwd", &[("d", "/x")], &["x/ 755 @100", "x/f 644 @100"]);
    check("f", "l -> l", &[("f", "/l/x")], &["/l: too many levels of symbolic links"]);
}

#[test]
fn links_in_the_source() {
    check("r\nl -> r", "", &[("l", "/d/")], &["d/ 755 @7", "d/l 644 @100"]);
    check("d/\nd/f\nl -> d", "", &[("l", "/x")], &["x/ 755 @100", "x/f 644 @100"]);
    check("d/\nd/l -> ../f\nf", "", &[("d", "/x")], &["x/ 755 @100", "x/l -> ../f 777 @100"]);
    check("f\nl -> ../../f", "", &[("l", "/x")], &["x 644 @100"]);
    check("l -> gone", "", &[("l", "/x")], &[r#""/l": not found: a link leads to "/gone""#]);
}

#[test]
fn wildcards() {
    let tree = "a1\na2\nb\n.a3\nd1/\nd1/x\nd2/\nd2/y";
    check(tree, "", &[("a*", "/d/")], &["d/ 755 @7", "d/a1 644 @100", "d/a2 644 @100"]);
    check(tree, "", &[("d?", "/d")], &["d/ 755 @100", "d/x 644 @100", "d/y 644 @100"]);
    check(tree, "", &[("*/x", "/d/")], &["d/ 755 @7", "d/x 644 @100"]);
    check(tree, "", &[("nothing*", "/d/")], &[]);
    check(tree, "", &[("nothing", "/d/")], &[r#""/nothing": not found"#]);
    check(tree, "", &[("[", "/d/")], &[r#""[": syntax error in pattern"#]);
}

#[test]
fn clashes() {
    check(
        "f",
        "x/",
        &[("f", "/y"), ("f", "/x/f"), ("f", "/x/f/")],
        &["mkdir /x/f: not a directory"],
    );
    check("d/\nd/f", "x/\nx/f/", &[("d", "/x")], &["cannot replace to directory /x/f with file"]);
    check("d/\nd/s/", "x/\nx/s", &[("d", "/x")], &["cannot copy to non-directory: /x/s"]);
    check("d/\nd/f", "x", &[("d", "/x")], &["cannot copy to non-directory: /x"]);
}

#[test]
fn what_is_there_already_is_no_change() {
    let same = "d/\nd/f\nd/g";
    let tree = Memory::new(same);
    let below = View::new(vec![Arc::new(Index::new(entries(same, SOURCE_TIME)).unwrap())]);
    let excludes = PatternSet::default();
    let rules = CopyRules { owner: None, chmod: None, excludes: &excludes, limits: &Limits::NONE };
    let mut draft = Draft::new(&below, MADE_AT);
    for found in find(&tree, "d").unwrap() {
        copy_match(&mut draft, &tree, &found, "/d", &rules).unwrap();
    }
    assert!(draft.finish().unwrap().index.is_empty());
}

#[test]
fn owners_and_modes() {
    let flags = Flags { chown: Some((5, 6)), chmod: Some("2755"), ..Flags::default() };
    assert_eq!(
        layer("d/\nd/f\nd/l -> f", "", &[("d", "/a/b")], &flags),
        "a/ 755 5:6 @7\na/b/ 755 5:6 @100\na/b/f 2755 5:6 @100\na/b/l -> f 777 5:6 @100"
    );
    let flags = Flags { chmod: Some("u=rwX,go=rX"), ..Flags::default() };
    assert_eq!(
        layer("d/\nd/f 600\nd/s/ 700", "", &[("d", "/a")], &flags),
        "a/ 755 @100\na/f 644 @100\na/s/ 755 @100"
    );
    let flags = Flags { chown: Some((5, 6)), ..Flags::default() };
    assert_eq!(layer("f", "a/ 700", &[("f", "/a/")], &flags), "a/ 700 @50\na/f 644 5:6 @100");
}

#[test]
fn hard_links_stay_together() {
    let source = "d/\nd/a\nd/b => d/a";
    check(source, "", &[("d", "/x")], &["x/ 755 @100", "x/a 644 @100", "x/b => /x/a 644 @100"]);
    let flags = Flags { exclude: &["a"], ..Flags::default() };
    assert_eq!(layer(source, "", &[("d", "/x")], &flags), "x/ 755 @100\nx/b 644 @100");
}

#[test]
fn hard_links_keep_their_content_when_a_name_is_replaced() {
    let source = "a/\na/x\na/y => a/x\na/z => a/x\nb/\nb/x";
    check(
        source,
        "",
        &[("a", "/d"), ("b", "/d")],
        &["d/ 755 @100", "d/x 644 @100", "d/y 644 @100", "d/z => /d/y 644 @100"],
    );
    let flags = Flags { parents: true, ..Flags::default() };
    assert_eq!(
        layer("a.txt\nb.log => a.txt\nc.log => a.txt", "", &[("*.log", "/x/")], &flags),
        "x/ 755 @100\nx/b.log 644 @100\nx/c.log => /x/b.log 644 @100"
    );
}

#[test]
fn exclusions() {
    let source = "d/\nd/a\nd/s/ 700\nd/s/b\nd/s/c";
    let with = |exclude: &[&str]| {
        layer(source, "", &[("d", "/x")], &Flags { exclude, ..Flags::default() })
    };
    assert_eq!(with(&["s"]), "x/ 755 @100\nx/a 644 @100");
    assert_eq!(with(&["s", "!s/b"]), "x/ 755 @100\nx/a 644 @100\nx/s/ 700 @100\nx/s/b 644 @100");
    assert_eq!(with(&["**/c", "a"]), "x/ 755 @100\nx/s/ 700 @100\nx/s/b 644 @100");
}

#[test]
fn parents_come_along() {
    let source = "a/ 711\na/b/ 700\na/b/f\na/b/g\na/c";
    let with = |from: &str| {
        layer(source, "", &[(from, "/x/")], &Flags { parents: true, ..Flags::default() })
    };
    assert_eq!(with("a/b/f"), "x/ 755 @100\nx/a/ 711 @100\nx/a/b/ 700 @100\nx/a/b/f 644 @100");
    assert_eq!(with("a/./b/f"), "x/ 755 @100\nx/b/ 700 @100\nx/b/f 644 @100");
    assert_eq!(with("a/*/./f"), "x/ 755 @100\nx/f 644 @100");
    assert_eq!(with("**/g"), "x/ 755 @100\nx/a/ 711 @100\nx/a/b/ 700 @100\nx/a/b/g 644 @100");
    assert_eq!(with("a/no"), r#""/a/no": not found"#);
    assert_eq!(with("a/no*"), "x/ 755 @100");
    assert_eq!(with("a/*/./no"), r#""/a/*/./no": not found"#);
}

#[test]
fn several_copies_into_one_layer() {
    check("a\nb", "", &[("a", "/x"), ("b", "/x")], &["x 644 @100"]);
    check(
        "a\nd/\nd/f",
        "",
        &[("a", "/x/"), ("d", "/x/")],
        &["x/ 755 @100", "x/a 644 @100", "x/f 644 @100"],
    );
}

#[test]
fn a_directory_that_becomes_a_link_leads_elsewhere() {
    let below = View::default();
    let mut draft = Draft::new(&below, MADE_AT);
    let making = Making { uid: 0, gid: 0, mode: 0o755 };
    let asked = TreePath::new("a/b");
    assert_eq!(draft.make_directories(&asked, making).unwrap(), asked);
    assert_eq!(draft.make_directories(&asked, making).unwrap(), asked);
    let link = Kind::Symlink { target: b"c".to_vec() };
    draft.put(Entry::new("a", link, 0o777, 0), Origin::None);
    assert_eq!(draft.make_directories(&asked, making).unwrap(), TreePath::new("c/b"));
    draft.remove(&"c".into());
    assert_eq!(draft.make_directories(&asked, making).unwrap(), TreePath::new("c/b"));
    assert!(draft.get(&"c/b".into()).is_some());
}

#[test]
fn inline_files_take_no_clock() {
    let below = View::default();
    let excludes = PatternSet::default();
    let rules = CopyRules { owner: None, chmod: None, excludes: &excludes, limits: &Limits::NONE };
    let mut draft = Draft::new(&below, MADE_AT);
    copy_inline(&mut draft, "EOF", "text", "/d/", &rules).unwrap();
    let finished = draft.finish().unwrap();
    assert_eq!(show(&finished.index), "d/ 755 @7\nd/EOF 644 @7");
    assert_eq!(finished.made, ["d".into(), "d/EOF".into()]);
}
