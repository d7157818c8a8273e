use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dfbuild_dockerfile::git_ref;
use dfbuild_image::Platform;
use serde::{Deserialize, Serialize};

/// Where the files of a build come from: its context, and what the Dockerfile can name besides.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY --from=pages / /\n")?;
/// let pages = "https://github.com/me/pages.git#main".to_owned();
/// let build = Build::new(BuildContext::Directory(folder.path().into()))
///     .build_context("pages", BuildContext::Git(pages));
/// # let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
/// # assert!(error.to_string().contains("pages"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::ContextStream;
    ///
    /// # let file = std::io::Cursor::new("FROM scratch\nRUN make\n");
    /// let stream = ContextStream::new(file); // Standard input, the body of a request, …
    /// let build = Build::new(BuildContext::Stream(stream));
    /// assert_eq!(build.run(&engine, &|_: &Event| {}, &Cancel::new())?.ran, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::{Output, OutputKind};
///
/// let folder = store.path().join("site");
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nCOPY <<EOF /index.html\nhello\nEOF\n")
///     .output(Output::new(OutputKind::Directory(folder.clone())))
///     .output(Output::new(OutputKind::Tar(store.path().join("site.tar"))))
///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// assert_eq!(std::fs::read_to_string(folder.join("index.html"))?, "hello\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    ///
    /// ```
    /// use dfbuild::{Compression, Output, OutputKind};
    ///
    /// let output = Output::new(OutputKind::DockerArchive("app.tar".into()));
    /// assert_eq!(output.compression, Compression::Gzip { level: 6 });
    /// assert!(!output.rewrite_timestamp);
    /// ```
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
///
/// ```
/// use dfbuild::{Compression, Output, OutputKind};
///
/// assert_eq!(Compression::default(), Compression::Gzip { level: 6 });
/// let mut small = Output::new(OutputKind::OciArchive("app.tar".into()));
/// small.compression = Compression::Zstd { level: 19 };
/// let mut fast = Output::new(OutputKind::OciArchive("app.tar".into()));
/// fast.compression = Compression::Uncompressed;
/// ```
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
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::{Annotation, AnnotationTarget};
///
/// let of_one_platform = Annotation {
///     target: AnnotationTarget::Manifest,
///     platform: Some("linux/arm64".parse()?),
///     key: "org.example.tested-on".into(),
///     value: "a board".into(),
/// };
/// let build = Build::new("project").annotation(of_one_platform);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use dfbuild::{Annotation, AnnotationTarget, Build};
///
/// // Both where an image index leads from the tag, and for clients that read manifests alone.
/// let targets = [AnnotationTarget::Index, AnnotationTarget::Manifest];
/// let build = targets.into_iter().fold(Build::new("project"), |build, target| {
///     let (key, value) = ("org.opencontainers.image.licenses".into(), "MIT".into());
///     build.annotation(Annotation { target, platform: None, key, value })
/// });
/// ```
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
///
/// ```
/// use dfbuild::testing::FakeSandbox;
/// use dfbuild::{Build, BuildContext, Cancel, Engine, Event, Secret, SecretLeak, SecretSource};
///
/// # let store = tempfile::tempdir()?;
/// let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(|command| {
///     std::fs::write(command.root().join("log"), "used correct-horse-battery").unwrap();
///     0
/// }));
/// let token = SecretSource::Value(b"correct-horse-battery".to_vec());
/// let build = Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nRUN --mount=type=secret,id=token make\n")
///     .secret(Secret { id: "token".into(), source: token })
///     .secret_leak(SecretLeak::Error);
/// let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
/// assert!(error.to_string().contains("log"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use dfbuild::{Build, SshAgent};
///
/// // As `docker build --ssh default` has it; the library reads no SSH_AUTH_SOCK.
/// let agent = SshAgent { id: "default".into(), socket: "/run/user/1000/agent.sock".into() };
/// let build = Build::new("project").ssh(agent);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAgent {
    /// Its name; `default` is that of a mount without one.
    pub id: String,
    /// Its socket.
    pub socket: PathBuf,
}

/// Where the value of a [`Secret`] is.
///
/// ```
/// use dfbuild::{Build, Secret, SecretSource};
///
/// let token = SecretSource::Value(b"from a vault".to_vec());
/// let rc = SecretSource::File("/home/me/.npmrc".into());
/// assert_eq!(format!("{token:?}"), "Value(..)"); // Safe to log.
/// let build = Build::new("project")
///     .secret(Secret { id: "token".into(), source: token })
///     .secret(Secret { id: "npmrc".into(), source: rc });
/// ```
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
///
/// ```
/// use dfbuild::{Build, Ulimit};
///
/// let files = Ulimit { name: "nofile".into(), soft: 1024, hard: 4096 };
/// let build = Build::new("project").ulimit(files);
/// ```
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
///
/// ```
/// use dfbuild::{Engine, SnapshotterChoice};
///
/// # let folder = tempfile::tempdir()?;
/// # let root = folder.path();
/// assert_eq!(SnapshotterChoice::default(), SnapshotterChoice::Auto);
/// // Rather no build than a slow one.
/// let engine = Engine::open(root)?.with_snapshotter(SnapshotterChoice::Overlay);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use dfbuild::{Engine, StoreLimit};
///
/// # let folder = tempfile::tempdir()?;
/// # let root = folder.path();
/// assert_eq!(StoreLimit::default(), StoreLimit::OfDisk);
/// // A machine that is thrown away needs no limit, a laptop may want a low one.
/// let for_ci = Engine::open(root)?.with_store_limit(StoreLimit::Unlimited);
/// let at_home = Engine::open(root)?.with_store_limit(StoreLimit::Bytes(5_000_000_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
