use std::path::PathBuf;
use std::time::SystemTime;

use dfbuild_image::{Digest, Reference};

/// A part of the store that is removed as a whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// What its removal frees, in bytes.
    pub bytes: u64,
    /// When it was last used, exact to the hour.
    pub last_used: SystemTime,
    /// Why it is kept; empty if it may go.
    pub kept_by: Vec<Keeper>,
    /// What it is known by: the digests of its layer, its blobs and its records.
    pub digests: Vec<Digest>,
    /// How many records lead to it.
    pub records: usize,
    /// Its files and folders in the order in which they go: first what promises, then what is promised.
    pub(crate) paths: Vec<PathBuf>,
}

/// What an [`Item`] is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ItemKind {
    /// All of a layer that no image needs: its records, its folders, its blobs.
    Layer(Digest),
    /// What an image needs of a layer: a blob, and what is known of it.
    ImageLayer(Digest),
    /// What only saves work of a layer that an image needs: its folders, other blobs of it.
    LayerCopies(Digest),
    /// The records of a layer that an image needs.
    ImageRecords(Digest),
    /// A blob that is no layer: a manifest, a configuration.
    Blob(Digest),
    /// A cache mount, by its number.
    Mount(Digest),
    /// What a killed build left.
    Leftover(PathBuf),
    /// What the commands of a build wrote, by its path in the store.
    Log(PathBuf),
    /// Something small that explains why steps run, by its path in the store.
    Note(PathBuf),
    /// Something small that saves work, such as a stat cache, by its path in the store.
    Scratch(PathBuf),
}

impl ItemKind {
    /// Whether it only saves work for images that stay, or tells of builds: `Policy::all` is for that.
    pub fn needs_all(&self) -> bool {
        matches!(self, Self::LayerCopies(_) | Self::Note(_) | Self::ImageRecords(_) | Self::Log(_))
    }
}

/// Why something is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Keeper {
    /// An image with this name needs it.
    Tag(Reference),
    /// A process uses it.
    Process(u32),
}

impl Item {
    pub(crate) fn new(kind: ItemKind) -> Self {
        Self {
            kind,
            bytes: 0,
            last_used: SystemTime::UNIX_EPOCH,
            kept_by: Vec::new(),
            digests: Vec::new(),
            records: 0,
            paths: Vec::new(),
        }
    }

    /// Adds a file or folder that takes so many bytes and was last used then.
    pub(crate) fn add(&mut self, path: PathBuf, bytes: u64, last_used: SystemTime) {
        self.bytes += bytes;
        self.last_used = self.last_used.max(last_used);
        self.paths.push(path);
    }

    /// Whether an image needs it.
    pub fn is_of_image(&self) -> bool {
        self.kept_by.iter().any(|keeper| matches!(keeper, Keeper::Tag(_)))
    }
}
