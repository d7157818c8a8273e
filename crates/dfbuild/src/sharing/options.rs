use std::fmt;
use std::path::PathBuf;

use dfbuild_image::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::options::Compression;

/// A cache to read from (`--cache-from`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CacheSource {
    /// In a registry: a cache, or an image with one inside.
    Registry(Reference),
    /// In a folder, an OCI image layout.
    Local {
        /// The folder.
        folder: PathBuf,
        /// Which of several caches in it.
        tag: Option<String>,
        /// The digest of its manifest, instead of a tag.
        digest: Option<Digest>,
    },
}

/// A cache to write to (`--cache-to`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheExport {
    /// Where to.
    pub target: CacheTarget,
    /// Which steps.
    pub mode: CacheMode,
    /// How layers are compressed that are not compressed yet; as those of the image if it is not
    /// given.
    pub compression: Option<Compression>,
}

impl CacheExport {
    /// A cache of the steps of the image.
    pub fn new(target: CacheTarget) -> Self {
        Self { target, mode: CacheMode::default(), compression: None }
    }
}

/// Where a cache is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CacheTarget {
    /// To a registry, as an image of its own.
    Registry(Reference),
    /// To a folder, an OCI image layout. What is there stays.
    Local {
        /// The folder.
        folder: PathBuf,
        /// How it is called there.
        tag: String,
    },
    /// Into the manifest of the image.
    Inline,
}

/// Which steps a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CacheMode {
    /// Those of the image.
    #[default]
    Min,
    /// Those of all stages that it was made from.
    Max,
}

impl fmt::Display for CacheSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Local { folder, .. } => folder.display().fmt(f),
        }
    }
}

impl fmt::Display for CacheTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Local { folder, .. } => folder.display().fmt(f),
            Self::Inline => f.write_str("the image"),
        }
    }
}
