use std::path::PathBuf;

/// What a `--build-context` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildContext {
    /// A folder.
    Directory(PathBuf),
    /// An image in an OCI image layout: the folder, and a tag or digest. Without one it is the
    /// only image, else the one called `latest`.
    OciLayout(PathBuf, Option<String>),
    /// An image by another name.
    Image(String),
}

impl BuildContext {
    /// Reads the value of the flag: `DIR`, `oci-layout://DIR[:TAG|@DIGEST]`, `docker-image://REF`.
    ///
    /// ```
    /// use dfbuild::BuildContext;
    ///
    /// assert_eq!(
    ///     BuildContext::parse("oci-layout:///images/base:1.0"),
    ///     BuildContext::OciLayout("/images/base".into(), Some("1.0".into())),
    /// );
    /// assert_eq!(BuildContext::parse("docs"), BuildContext::Directory("docs".into()));
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
            None => Self::Directory(value.into()),
        }
    }
}

/// Where an image goes, beside the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// An OCI image layout as a tar archive.
    OciArchive(PathBuf),
    /// The same for `docker load`: OCI layout and `manifest.json` in one archive.
    DockerArchive(PathBuf),
    /// The root file system as a folder. Owners are kept as root, otherwise everything is the
    /// caller's.
    Directory(PathBuf),
    /// The root file system as a tar archive.
    Tar(PathBuf),
}

/// A secret for `RUN --mount=type=secret`. Its value is in no key, no history and no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub id: String,
    /// Where its value is.
    pub source: SecretSource,
}

/// Where the value of a [`Secret`] is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, read when a step needs it.
    File(PathBuf),
    /// Here.
    Value(Vec<u8>),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(..)"),
        }
    }
}

/// A resource limit of every command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// As `docker run --ulimit` names it: `nofile`.
    pub name: String,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}
