//! Copies of parts of trees, for what commands see mounted.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dfbuild_image::{Entry, Kind, TreePath};
use dfbuild_layer::{Contents, Index, View, materialise};
use dfbuild_store::Staging;

use crate::engine::Engine;
use crate::error::StepError;
use crate::images::layer_cache::Form;
use crate::steps::tree::Tree;

/// Copies what is at `entry` of a tree, and returns where it is. The copy lies as deep as in the
/// tree, so that relative links in it lead to where they should.
pub(crate) fn with_parents(
    engine: &Engine,
    tree: &dyn Tree,
    entry: &Entry,
    staging: &Staging,
) -> Result<PathBuf, StepError> {
    let folder = staging.folder("mount")?;
    let mut entries =
        if entry.kind.is_directory() { tree.walk(&entry.path)? } else { vec![entry.clone()] };
    for parent in entry.path.ancestors().chain([entry.path.clone()]) {
        if !parent.is_root() && !entries.iter().any(|known| known.path == parent) {
            entries.extend(tree.get(&parent)?);
        }
    }
    place(engine, entries, &Below { tree, top: &TreePath::ROOT }, &folder)?;
    Ok(entry.path.below(&folder))
}

/// Copies what is in the directory `top` of a tree into the empty folder `dest`.
pub(crate) fn inside_of(
    engine: &Engine,
    tree: &dyn Tree,
    top: &TreePath,
    dest: &Path,
) -> Result<(), StepError> {
    let moved = tree.walk(top)?.into_iter().map(|mut entry| {
        entry.path = entry.path.strip_prefix(top).expect("it lies below");
        if let Kind::HardLink { target } = &mut entry.kind {
            *target = target.strip_prefix(top).expect("it lies below");
        }
        entry
    });
    place(engine, moved.collect(), &Below { tree, top }, dest)
}

fn place(
    engine: &Engine,
    entries: Vec<Entry>,
    contents: &dyn Contents,
    dest: &Path,
) -> Result<(), StepError> {
    let index = Index::new(entries)?;
    let contents = engine.ending().watch(contents);
    let options = engine.unpack_options(Form::Plain);
    Ok(materialise(&index, &contents, dest, &View::default(), &options)?)
}

/// The files in the directory `top` of a tree.
struct Below<'a> {
    tree: &'a dyn Tree,
    top: &'a TreePath,
}

impl Contents for Below<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        self.tree.open(&self.top.join(entry.path.as_bytes()))
    }
}
