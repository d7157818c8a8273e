//! Layers: the index of a layer, trees of several, tar writing and reading, overlay upper
//! directories, compression, safe unpacking.
//!
//! A layer has three forms, and this crate goes from each to each. Its [`Index`] is the sorted list
//! of its entries with their content digests: enough to compare, to look paths up (in a [`View`] of
//! several layers) and to name it by its *content id*, without unpacking anything. Its *archive* is
//! the tar stream that registries hold: [`pack`] writes one from an index, [`index`] reads one
//! back, byte for byte reproducible. Its *overlay form* is a directory that overlayfs takes as a
//! lower layer: [`unpack`] and [`materialise`] make one, [`upper::scan`] reads the one that a
//! command left behind. Without overlays the tree of several layers is one directory:
//! [`materialise`] makes it, [`apply`] puts a further layer on it, and [`in_place::scan`] finds what
//! a command changed there.
//!
//! *Limitations*: `security.capability` is the only extended attribute that layers keep. Times are
//! whole seconds. Sparse files are written in full.
//!
//! ```
//! use dfbuild_image::{Digest, Entry, Kind};
//! use dfbuild_layer::{Directory, Index, diff_id};
//!
//! // No builder leaves out the layer of a step that changed nothing.
//! let empty = Index::new(vec![])?;
//! let diff_id = diff_id(&empty, &Directory::new("/nonexistent"))?;
//! assert_eq!(diff_id.short(), "5f70bf18a086");
//!
//! let index = Index::new(vec![Entry::new("etc", Kind::DIRECTORY, 0o755, 0)])?;
//! assert_eq!(Index::decode(&index.encode())?, index);
//! # Ok::<(), dfbuild_layer::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod archive;
mod blob;
mod blocks;
mod buffers;
mod contents;
mod cpu;
mod cutter;
mod disk;
mod encoder;
mod error;
mod gzip;
mod header;
pub mod in_place;
mod index;
mod members;
mod ordered;
mod pack;
mod placing;
mod plan;
mod scan;
mod similar;
mod tree;
mod unpack;
pub mod upper;
mod view;

pub use archive::Limits;
pub use blob::{BlobWriter, Sealed};
pub use blocks::{Earlier, Outline, decode_blocks, encode_blocks};
pub use contents::{Contents, Directory, Layers};
pub use cpu::measure_cpu;
pub use encoder::Encoding;
pub use error::Error;
pub use gzip::{DEFAULT_LEVEL, GZIP_ID, Gzip, gzip_id};
pub use index::Index;
pub use members::Members;
pub use pack::{diff_id, pack};
pub use similar::Similar;
pub use unpack::{UnpackOptions, apply, index, materialise, seal_root, unpack};
pub use view::{Content, Found, Resolved, View};

/// Where overlayfs keeps its notes on the files of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XattrNamespace {
    /// `trusted.overlay.*`: mounted with the privileges of the initial user namespace.
    #[default]
    Trusted,
    /// `user.overlay.*`: mounted in a user namespace with `userxattr` (Linux 5.11).
    User,
}
