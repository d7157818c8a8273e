use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_image::TreePath;

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// It has none.
    None,
    /// In the tree that is copied from.
    Tree(TreePath),
    /// Here.
    Bytes(Arc<[u8]>),
    /// In a file of the staging folder.
    Spooled(PathBuf),
    /// In the same place of the layers below: only what is said of the file changes.
    Below,
}
