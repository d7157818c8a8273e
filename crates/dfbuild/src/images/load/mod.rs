//! Images from archives and folders: OCI image layouts, and what `docker save` writes.

mod docker;
mod files;
mod layout;

use std::io::Read;
use std::path::PathBuf;

use dfbuild_image::{Descriptor, Digest, Reference};

use crate::causes::Cause;
use crate::engine::Engine;
use crate::error::Error;
use crate::images::load::files::Files;

/// Where images are loaded from.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::LoadSource;
///
/// # Build::new(BuildContext::Empty)
/// #     .dockerfile_text("FROM scratch\nLABEL a=b\n")
/// #     .tag("app")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let mut archive = Vec::new();
/// engine.save_to(&["app"], None, &mut archive, &|_: &Event| {})?;
/// let stream = LoadSource::Stream(Box::new(std::io::Cursor::new(archive))); // Or standard input.
/// assert_eq!(engine.load(stream, &[])?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
pub enum LoadSource {
    /// An archive, or a folder with an OCI image layout.
    Path(PathBuf),
    /// An archive.
    Stream(Box<dyn Read>),
}

impl std::fmt::Debug for LoadSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// An image that was loaded.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # Build::new(BuildContext::Empty)
/// #     .dockerfile_text("FROM scratch\nLABEL a=b\n")
/// #     .tag("app")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// # let archive = store.path().join("app.tar");
/// # engine.save(&["app"], None, &archive, &|_: &Event| {})?;
/// use dfbuild::LoadSource;
///
/// for image in engine.load(LoadSource::Path(archive), &[])? {
///     println!("{} is {}", image.names[0], image.id);
///     assert!(!image.partial);
///     assert_eq!(image.id, engine.inspect("app", None)?.id);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoadedImage {
    /// The names it has now.
    pub names: Vec<Reference>,
    /// The digest of its configuration; of several platforms, of that for this machine.
    pub id: Digest,
    /// Its manifest, or the index of the manifests of several platforms.
    pub descriptor: Descriptor,
    /// Whether the archive lacks some of the platforms that its index names. Then the image is that
    /// of one platform alone.
    pub partial: bool,
}

/// An image whose blobs are in the store, before it is named.
struct Found {
    names: Vec<Reference>,
    /// The tag that an archive has for it, where it has no name.
    only_tag: Option<String>,
    top: Descriptor,
    partial: bool,
}

impl Engine {
    /// Loads the images of an archive or a folder into the store. Archives may be compressed; they
    /// may be OCI image layouts, those of `docker save` old and new, or both at once. `names` are
    /// given to the only image of the archive, in the place of those it has there.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::LoadSource;
    ///
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let archive = store.path().join("app.tar");
    /// engine.save(&["app"], None, &archive, &|_: &Event| {})?;
    /// engine.untag("app", false)?;
    /// engine.load(LoadSource::Path(archive), &[])?;
    /// assert_eq!(engine.images()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load(&self, source: LoadSource, names: &[Reference]) -> Result<Vec<LoadedImage>, Error> {
        let shown = match &source {
            LoadSource::Path(path) => path.display().to_string(),
            LoadSource::Stream(_) => "standard input".to_owned(),
        };
        let failed = |error: LoadError| self.ending().instead_of(error.of(&shown));
        let staging = self.store().stage()?;
        let files = Files::read(self, source, &staging).map_err(failed)?;
        let mut found = if files.has("index.json") {
            layout::load(self, &files)
        } else if files.has("manifest.json") && !files.has(DIRECTORY_VERSION) {
            docker::load(self, &files, &staging)
        } else {
            Err(not_an_archive(&files))
        }
        .map_err(failed)?;
        match found.as_mut_slice() {
            [only] if !names.is_empty() => only.names = names.to_vec(),
            several if !names.is_empty() => {
                let count = several.len();
                return Err(failed(LoadError::new(format!(
                    "a name is for one image, here are {count}"
                ))));
            }
            _ => {}
        }
        if let Some(image) = found.iter().find(|image| image.names.is_empty()) {
            return Err(failed(match &image.only_tag {
                None => {
                    LoadError::new("an image in it has no name").hint("give it one with --tag NAME")
                }
                Some(tag) => {
                    LoadError::new(format!("an image in it has no name, only the tag {tag}"))
                        .hint(format!("give it one with --tag NAME:{tag}"))
                }
            }));
        }
        found.into_iter().map(|image| self.named(image)).collect()
    }

    fn named(&self, found: Found) -> Result<LoadedImage, Error> {
        for name in &found.names {
            self.store().tag(name, &found.top)?;
        }
        let image = self.local_platform(&found.top, None);
        let image = image.map_err(|error| Error::image("that was loaded", error))?;
        Ok(LoadedImage {
            names: found.names,
            id: image.id,
            descriptor: found.top,
            partial: found.partial,
        })
    }
}

/// The file that tells folders of skopeo's own form from others.
const DIRECTORY_VERSION: &str = "version";

fn not_an_archive(files: &Files) -> LoadError {
    if files.has("manifest.json") {
        return LoadError::new("skopeo's dir: form is not read")
            .hint("copy it to oci: or docker-archive: with skopeo");
    }
    if files.has("repositories") {
        return LoadError::new("it was written by a Docker before 1.10")
            .hint("load it into a newer Docker and save it again");
    }
    LoadError::new("it has neither index.json nor manifest.json").hint(WHAT_THERE_IS)
}

/// What to load instead.
const WHAT_THERE_IS: &str =
    "what there is to load: archives of `docker save`, OCI archives and folders";

/// Why images cannot be loaded.
#[derive(Debug)]
struct LoadError {
    reason: String,
    hint: Option<String>,
    cause: Option<Cause>,
}

impl LoadError {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, cause: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn of(self, name: &str) -> Error {
        Error::Transfer {
            action: "load".into(),
            name: name.to_owned(),
            reason: self.reason,
            hint: self.hint,
            source: self.cause,
        }
    }
}

impl<E: Into<Cause>> From<E> for LoadError {
    fn from(cause: E) -> Self {
        let cause = cause.into();
        Self { reason: cause.to_string(), hint: None, cause: Some(cause) }
    }
}
