//! Whoever looks something up in the library finds how it is used.

use std::fs;
use std::path::Path;

use dfbuild_testkit::files_below;

use super::{is_test, without_tests, workspace};

/// What people look up. Fields, variants and implementations of traits are shown where their types are.
const KINDS: [&str; 8] = ["fn", "struct", "enum", "trait", "mod", "type", "const", "static"];

/// What is `pub` can be reached: the lint `unreachable_pub` sees to that.
#[test]
fn every_public_item_has_an_example() {
    let workspace = workspace();
    let library = workspace.iter().find(|package| package.name == "dfbuild").unwrap();
    let mut without = Vec::new();
    for file in
        files_below(&library.folder.join("src"), "rs").into_iter().filter(|file| !is_test(file))
    {
        let folder = file.parent().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let found = without_example(without_tests(&text), &|name| read(folder, name));
        without.extend(found.into_iter().map(|item| format!("{}: {item}", file.display())));
    }
    assert!(without.is_empty(), "these have no example:\n{}", without.join("\n"));
}

/// The guide's are compiled, as are all examples of the documentation.
#[test]
fn the_ten_lines_are_those_of_the_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |page: &str| fs::read_to_string(root.join(page)).unwrap();
    let guide = read("crates/dfbuild/src/guide/embed.md");
    let (_, lines) = guide.split_once("```no_run\n").unwrap();
    let lines = &lines[..=lines.find("\n```").unwrap()];
    assert_eq!(lines.lines().filter(|line| !line.is_empty()).count(), 10, "{lines}");
    for page in ["README.md", "docs/book/src/how-to/embed.md"] {
        assert!(read(page).contains(&format!("\n{lines}```\n")), "{page} has not\n{lines}");
    }
}

/// A page, or the documentation at the top of a module.
fn read(folder: &Path, name: &str) -> String {
    let paths =
        [folder.join(name), folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
    let path = paths.into_iter().find(|path| path.is_file());
    let path = path.unwrap_or_else(|| panic!("{} has no {name}", folder.display()));
    let text = fs::read_to_string(&path).unwrap();
    if path.extension().is_some_and(|extension| extension != "rs") {
        return text;
    }
    text.lines().take_while(|line| line.starts_with("//!")).collect()
}

/// The declarations of public items that are documented without an example. `read` gives the text of a
/// page that is included and the documentation of a module of its own.
fn without_example<'t>(text: &'t str, read: &dyn Fn(&str) -> String) -> Vec<&'t str> {
    let mut without = Vec::new();
    let (mut documentation, mut in_attribute, mut in_trait) = (String::new(), false, false);
    for line in text.lines() {
        let code = line.trim_start();
        if code.starts_with("///") || code.starts_with("#[") || in_attribute {
            documentation.push_str(code);
            in_attribute = !code.starts_with("///") && !code.ends_with(']');
            continue;
        }
        let declared = code.strip_prefix("pub ").unwrap_or_default();
        let kind = declared.split(' ').next().filter(|kind| KINDS.contains(kind));
        if kind.is_some() || in_trait && line.starts_with("    fn ") {
            if let Some((_, page)) = documentation.split_once("include_str!(\"") {
                documentation = read(page.split('"').next().unwrap());
            } else if let Some(module) = declared.strip_prefix("mod ") {
                let module = module.split([';', ' ']).next().unwrap();
                documentation.push_str(&read(module));
            }
            if !documentation.contains("```") && !documentation.contains("doc(hidden)") {
                without.push(code);
            }
        }
        in_trait = (in_trait || kind == Some("trait")) && line != "}" && !line.ends_with("{}");
        documentation.clear();
    }
    without
}

#[test]
fn what_has_no_example_is_found() {
    let text = r#"
/// Shown.
///
/// ```
/// assert!(shown());
/// ```
#[expect(
    clippy::all,
    reason = "an attribute may have several lines"
)]
pub fn shown() -> bool {}

/// Only told.
#[derive(Debug)]
pub struct Told;

impl Told {
    /// Told too.
    pub fn method(&self) {}
    /// For this crate.
    pub(crate) fn inner(&self) {}
    #[doc(hidden)]
    pub fn hidden(&self) {}
}

impl Trait for Told {
    fn implemented(&self) {}
}

/// ```
/// struct Mine;
/// ```
pub trait Trait {
    /// Told.
    fn required(&self);
}

fn private() {}

#[doc = include_str!("shown.md")]
pub mod shown {}

#[doc = include_str!("told.md")]
pub mod told {}

pub mod shown;
pub mod told;
pub use told::Told;
/// Told.
pub type Alias = Told;
"#;
    let read = |name: &str| if name.starts_with("shown") { "```" } else { "" }.to_owned();
    let expect = [
        "pub struct Told;",
        "pub fn method(&self) {}",
        "fn required(&self);",
        "pub mod told {}",
        "pub mod told;",
        "pub type Alias = Told;",
    ];
    assert_eq!(without_example(text, &read), expect);
}
