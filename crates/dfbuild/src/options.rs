use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dfbuild_dockerfile::git_ref;
use dfbuild_image::Platform;
use serde::{Deserialize, Serialize};

/// Where the files of a build come from: its context, and what the Dockerfile can name besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BuildContext {
    /// A folder.
    Directory(PathBuf),
    /// No files. The Dockerfile has to come from elsewhere.
    Empty,
    /// An archive, compressed or not, or a Dockerfile alone: what it is shows in its bytes. Only
    /// for the context itself, and read by the first build.
    #[serde(skip)]
    Stream(ContextStream),
    /// A git repository as `ADD` names it: `https://host/x.git#ref:folder`.
    Git(String),
    /// A file on a web server: an archive, or as the context itself a Dockerfile alone.
    Url(String),
    /// An image in an OCI image layout: the folder, and a tag or digest. Without one it is the
    /// only image, else the one called `latest`.
    OciLayout(PathBuf, Option<String>),
    /// An image by another name.
    Image(String),
}

impl BuildContext {
    /// Reads the value of the flag: `DIR`, `oci-layout://DIR[:TAG|@DIGEST]`, `docker-image://REF`,
    /// `https://…`, or a git repository.
    ///
    /// ```
    /// use dfbuild::BuildContext;
    ///
    /// assert_eq!(
    ///     BuildContext::parse("oci-layout:///images/base:1.0"),
    ///     BuildContext::OciLayout("/images/base".into(), Some("1.0".into())),
    /// );
    /// assert_eq!(BuildContext::parse("docs"), BuildContext::Directory("docs".into()));
    /// let git = "https://example.com/x.git#main";
    /// assert_eq!(BuildContext::parse(git), BuildContext::Git(git.to_owned()));
    /// ```
    pub fn parse(value: &str) -> Self {
        if let Some(rest) = value.strip_prefix("oci-layout://") {
            if let Some((folder, digest)) = rest.split_once('@') {
                return Self::OciLayout(folder.into(), Some(digest.to_owned()));
            }
            let tag = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
            return match tag {
                Some((folder, tag)) => Self::OciLayout(folder.into(), Some(tag.to_owned())),
                None => Self::OciLayout(rest.into(), None),
            };
        }
        match value.strip_prefix("docker-image://") {
            Some(name) => Self::Image(name.to_owned()),
            // What is wrong with a git reference is told when it is looked up.
            None if !matches!(git_ref::parse(value), Ok(None)) => Self::Git(value.to_owned()),
            None if value.starts_with("http://") || value.starts_with("https://") => {
                Self::Url(value.to_owned())
            }
            None => Self::Directory(value.into()),
        }
    }
}

impl<T: Into<PathBuf>> From<T> for BuildContext {
    fn from(folder: T) -> Self {
        Self::Directory(folder.into())
    }
}

/// A stream that holds a context. Clones are the same; it is read once.
///
/// ```
/// use dfbuild::{Build, BuildContext, ContextStream};
///
/// let archive: &[u8] = b"FROM scratch\n"; // Or a tar archive, compressed or not.
/// let build = Build::new(BuildContext::Stream(ContextStream::new(archive)));
/// ```
#[derive(Clone)]
pub struct ContextStream(Arc<Mutex<Option<Box<dyn Read + Send>>>>);

impl ContextStream {
    /// The context that `read` gives.
    pub fn new(read: impl Read + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(read)))))
    }

    /// The stream, for the first who asks.
    pub(crate) fn take(&self) -> Option<Box<dyn Read + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for ContextStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextStream(..)")
    }
}

impl PartialEq for ContextStream {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ContextStream {}

/// Where an image goes, beside the store, and in which form.
///
/// ```
/// use dfbuild::{Compression, Output, OutputKind};
///
/// let mut output = Output::new(OutputKind::OciArchive("app.tar".into()));
/// output.compression = Compression::Zstd { level: 3 };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Output {
    /// Where to, and as what.
    pub kind: OutputKind,
    /// How new layers are compressed. Those of a base stay as they are.
    pub compression: Compression,
    /// Whether all times in new layers that are later than `SOURCE_DATE_EPOCH` become that
    /// (BuildKit's `rewrite-timestamp`).
    pub rewrite_timestamp: bool,
    /// Whether each of several platforms gets a folder of its own in [`OutputKind::Directory`] and
    /// [`OutputKind::Tar`], such as `linux_arm64/`.
    pub platform_split: bool,
}

/// Where an image goes, beside the store, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OutputKind {
    /// The store alone.
    Store,
    /// An OCI image layout as a tar archive.
    OciArchive(PathBuf),
    /// An OCI image layout as a folder. Images that are there stay.
    OciDirectory(PathBuf),
    /// The same for `docker load`: OCI layout and `manifest.json` in one archive.
    DockerArchive(PathBuf),
    /// The root file system as a folder. Owners are kept as root, otherwise everything is the
    /// caller's.
    Directory(PathBuf),
    /// The root file system as a tar archive.
    Tar(PathBuf),
}

impl Output {
    /// An output with BuildKit's defaults.
    pub fn new(kind: OutputKind) -> Self {
        Self {
            kind,
            compression: Compression::default(),
            rewrite_timestamp: false,
            platform_split: true,
        }
    }
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Compression {
    /// gzip at a level from 0 to 9.
    Gzip {
        /// Docker's is 6.
        level: u32,
    },
    /// Zstandard at a level from 1 to 22.
    Zstd {
        /// The default of the reference implementation is 3.
        level: i32,
    },
    /// Not at all.
    Uncompressed,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip { level: dfbuild_layer::DEFAULT_LEVEL }
    }
}

/// A note on an image that is not part of its configuration (OCI image-spec, annotations.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// What it is a note on.
    pub target: AnnotationTarget,
    /// For manifests: of which platform; of all if none is given.
    pub platform: Option<Platform>,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What an [`Annotation`] is a note on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnnotationTarget {
    /// The manifest.
    Manifest,
    /// The index of the manifests of several platforms.
    Index,
    /// What leads to a manifest.
    ManifestDescriptor,
    /// What leads to the index.
    IndexDescriptor,
}

/// A secret for `RUN --mount=type=secret`. Its value is in no key, no history and no event.
///
/// ```
/// use dfbuild::{Secret, SecretSource};
///
/// let of_a_file = Secret { id: "npmrc".into(), source: SecretSource::File("/home/me/.npmrc".into()) };
/// let known = Secret { id: "token".into(), source: SecretSource::Value(b"secret".to_vec()) };
/// assert!(!format!("{known:?}").contains("secret\""));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub id: String,
    /// Where its value is.
    pub source: SecretSource,
}

/// What happens if the value of a secret is found in a file of a layer. Values of fewer than 12
/// bytes are not looked for: they are in files by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SecretLeak {
    /// The step fails.
    Error,
    /// A notice names the file.
    #[default]
    Warn,
    /// Nobody looks.
    Off,
}

/// An ssh agent for `RUN --mount=type=ssh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAgent {
    /// Its name; `default` is that of a mount without one.
    pub id: String,
    /// Its socket.
    pub socket: PathBuf,
}

/// Where the value of a [`Secret`] is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, read when a step needs it.
    File(PathBuf),
    /// Here.
    Value(Vec<u8>),
    /// Nowhere, such as an environment variable that is not set: it is empty, and a mount that requires
    /// it fails.
    Unset,
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(..)"),
            Self::Unset => f.write_str("Unset"),
        }
    }
}

/// A resource limit of every command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// As `docker run --ulimit` names it: `nofile`.
    pub name: String,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

/// How commands get their root file systems. The layers they make are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SnapshotterChoice {
    /// Overlays, and copies where the kernel has none for this process.
    #[default]
    Auto,
    /// Overlays (overlayfs): nothing is copied.
    Overlay,
    /// Copies, which share blocks where the file system can, else take time and space.
    Copy,
}

/// How much a store may take on the disk. What was not used for the longest time is removed at the end
/// of a build that leaves it over its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StoreLimit {
    /// A tenth of the file system that it is on, and 2 GB at least, as BuildKit has it.
    #[default]
    OfDisk,
    /// So many bytes.
    Bytes(u64),
    /// Whatever there is.
    Unlimited,
}
