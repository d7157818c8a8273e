//! The commands that look after the store.

pub(crate) mod du;
pub(crate) mod fsck;
pub(crate) mod prune;

use std::error::Error;
use std::path::PathBuf;

use dfbuild::upkeep::{Item, ItemKind};
use dfbuild::{Engine, rootless};

use crate::output::short_id;

/// The store, for a process that may look into everything that its builds made.
fn open(root: PathBuf) -> Result<Engine, Box<dyn Error>> {
    // Where that is refused there is nothing that only other ids could look into.
    let _ = rootless::enter();
    Ok(Engine::open(root)?)
}

/// What a part of the store is called.
fn kind_of(item: &Item) -> &'static str {
    match item.kind {
        ItemKind::Layer(_) => "layer",
        ItemKind::ImageLayer(_) => "image layer",
        ItemKind::LayerCopies(_) => "unpacked image layer",
        ItemKind::ImageRecords(_) => "steps of images",
        ItemKind::Blob(_) => "manifest or configuration",
        ItemKind::Mount(_) => "cache mount",
        ItemKind::Leftover(_) => "leftover",
        ItemKind::Log(_) => "build log",
        ItemKind::Note(_) | ItemKind::Scratch(_) => "notes",
        _ => "other",
    }
}

/// What tells it apart from others of its kind.
fn id_of(item: &Item) -> String {
    match &item.kind {
        ItemKind::Layer(digest)
        | ItemKind::ImageLayer(digest)
        | ItemKind::LayerCopies(digest)
        | ItemKind::ImageRecords(digest)
        | ItemKind::Blob(digest)
        | ItemKind::Mount(digest) => digest.to_string(),
        ItemKind::Leftover(path)
        | ItemKind::Log(path)
        | ItemKind::Note(path)
        | ItemKind::Scratch(path) => path.display().to_string(),
        _ => String::new(),
    }
}

/// The same, short enough for a table.
fn shown_id(item: &Item) -> String {
    shortened(&id_of(item))
}

fn shortened(id: &str) -> String {
    // Scratch files are named after digests.
    let is_digest = |part: &&str| part.len() == 64 && part.bytes().all(|it| it.is_ascii_hexdigit());
    match id.split(['-', '/']).find(is_digest) {
        Some(hex) => id.replace(hex, &hex[..12]),
        None => short_id(id).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_in_tables() {
        let hex = "ab".repeat(32);
        for (id, expect) in [
            (format!("sha256:{hex}"), "abababababab"),
            (format!("scratch/blocks-{hex}"), "scratch/blocks-abababababab"),
            ("logs/20260101-1".to_owned(), "logs/20260101-1"),
        ] {
            assert_eq!(shortened(&id), expect);
        }
    }
}
