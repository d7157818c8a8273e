use std::fmt;
use std::path::PathBuf;

use dfbuild_image::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::options::Compression;

/// A cache to read from (`--cache-from`).
///
/// ```
/// use dfbuild::{Build, CacheSource};
///
/// let of_the_team = CacheSource::Registry("registry.example/app:cache".parse()?);
/// let here = CacheSource::Local { folder: "/ci/cache".into(), tag: None, digest: None };
/// let build = Build::new("project").cache_from(here).cache_from(of_the_team);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use dfbuild::{Build, CacheExport, CacheMode, CacheTarget};
///
/// let target = CacheTarget::Registry("registry.example/app:cache".parse()?);
/// let mut export = CacheExport::new(target);
/// export.mode = CacheMode::Max;
/// let build = Build::new("project").cache_to(export);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    ///
    /// ```
    /// use dfbuild::{CacheExport, CacheMode, CacheTarget};
    ///
    /// let export = CacheExport::new(CacheTarget::Inline);
    /// assert_eq!((export.mode, export.compression), (CacheMode::Min, None));
    /// ```
    pub fn new(target: CacheTarget) -> Self {
        Self { target, mode: CacheMode::default(), compression: None }
    }
}

/// Where a cache is written to.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::{CacheExport, CacheTarget};
///
/// let folder = store.path().join("cache");
/// let target = CacheTarget::Local { folder: folder.clone(), tag: "main".into() };
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nRUN make\n")
///     .cache_to(CacheExport::new(target))
///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// assert!(folder.join("index.json").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use dfbuild::{CacheExport, CacheMode, CacheTarget};
///
/// let target = CacheTarget::Local { folder: "/ci/cache".into(), tag: "latest".into() };
/// let mut export = CacheExport::new(target);
/// assert_eq!(export.mode, CacheMode::Min);
/// export.mode = CacheMode::Max; // The stages that compile are what takes long.
/// ```
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
