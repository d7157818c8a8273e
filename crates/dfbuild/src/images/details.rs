//! What is known of an image of the store.

use dfbuild_image::{
    Descriptor, Digest, History, ImageConfig, Platform, Reference, Timestamp, digest_of,
};

use crate::engine::Engine;
use crate::error::Error;
use crate::images::local::LocalPlatform;

/// All that is known of an image of the store.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nENTRYPOINT [\"/app\"]\n")
///     .tag("app")
///     .tag("app:1.0")
///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let details = engine.inspect("app", None)?;
/// assert_eq!((details.names.len(), details.platforms.len()), (2, 1));
/// assert_eq!(details.config.config.entrypoint.unwrap(), ["/app"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImageDetails {
    /// Its names, sorted.
    pub names: Vec<Reference>,
    /// Where it is known to be in registries, by digest.
    pub origins: Vec<Reference>,
    /// When it got the last of its names.
    pub tagged: Option<Timestamp>,
    /// What the names lead to: its manifest, or the index of the manifests of several platforms.
    pub descriptor: Descriptor,
    /// The platforms that there are.
    pub platforms: Vec<Platform>,
    /// The manifest of the platform that was looked at.
    pub manifest: Descriptor,
    /// The digest of the configuration, which `docker images` shows as image id.
    pub id: Digest,
    /// The configuration.
    pub config: ImageConfig,
    /// The layers, the lowest first.
    pub layers: Vec<LayerDetails>,
}

/// A layer of an image.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # Build::new(BuildContext::Empty)
/// #     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
/// #     .tag("app")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// for layer in engine.inspect("app", None)?.layers {
///     println!("{} {} bytes, {} stored", layer.created_by, layer.size, layer.blob.size());
///     assert!(layer.blob.size() < layer.size);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerDetails {
    /// The digest of its archive.
    pub diff_id: Digest,
    /// The archive as it is stored: its media type, digest and length.
    pub blob: Descriptor,
    /// The length of its archive, in bytes.
    pub size: u64,
    /// The instruction that made it, if the history says.
    pub created_by: String,
}

/// A line of the history of an image.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # Build::new(BuildContext::Empty)
/// #     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\nENV A=b\n")
/// #     .tag("app")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let history = engine.inspect("app", None)?.history();
/// let [copy, env] = &history[..] else { panic!() };
/// assert!(copy.entry.created_by.starts_with("COPY") && copy.size > 0);
/// assert!(env.entry.empty_layer && env.size == 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HistoryLine {
    /// What the image says.
    pub entry: History,
    /// The length of the archive of its layer, in bytes; 0 without one.
    pub size: u64,
}

impl Engine {
    /// What is known of the image called `name`: a name, or the beginning of an id. Of several
    /// platforms it is `platform`, else that of this machine, else the first.
    ///
    /// ```
    /// let root = tempfile::tempdir()?;
    /// let engine = dfbuild::Engine::open(root.path())?;
    /// let error = engine.inspect("nothing", None).unwrap_err();
    /// assert!(error.to_string().contains("no local image"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let details = engine.inspect("app", None)?;
    /// assert_eq!(details.config.config.labels["a"], "b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inspect(&self, name: &str, platform: Option<&Platform>) -> Result<ImageDetails, Error> {
        let image = self.local_image(name)?;
        let failed = |error| Error::image(name, error);
        let found = self.local_platform(&image.top, platform).map_err(failed)?;
        let platforms = self.local_platforms(&image.top).map_err(failed)?;
        let tagged = image.tags.iter().map(|tag| tag.tagged).max();
        let digest = digest_of(&image.top);
        let origins = digest.map(|digest| (digest, self.store().origins(&digest)));
        let origins = origins.into_iter().flat_map(|(digest, origins)| {
            let parsed = |origin: String| origin.parse::<Reference>().ok();
            origins.into_iter().filter_map(parsed).map(move |origin| origin.pinned(digest))
        });
        Ok(ImageDetails {
            origins: origins.collect(),
            names: image.tags.into_iter().map(|tag| tag.reference).collect(),
            tagged: tagged.map(Timestamp::from_seconds),
            descriptor: image.top,
            platforms: platforms.into_iter().map(|image| image.platform).collect(),
            layers: self.layer_details(&found),
            manifest: found.manifest,
            id: found.id,
            config: found.config,
        })
    }

    fn layer_details(&self, image: &LocalPlatform) -> Vec<LayerDetails> {
        let lines = image.config.history.iter().filter(|line| !line.empty_layer);
        let mut lines = lines.map(|line| line.created_by.clone());
        let blobs = image.layers.iter().zip(&image.config.rootfs.diff_ids);
        let layers = blobs.map(|(blob, diff_id)| LayerDetails {
            diff_id: *diff_id,
            blob: blob.clone(),
            size: self.tar_size(diff_id),
            created_by: lines.next().unwrap_or_default(),
        });
        layers.collect()
    }
}

impl ImageDetails {
    /// The sum of its uncompressed layers, in bytes.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// # Build::new(BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    /// #     .tag("app")
    /// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let details = engine.inspect("app", None)?;
    /// assert_eq!(details.size(), details.layers[0].size);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Its history, the oldest line first. Layers that the history does not know have lines that say
    /// nothing but their sizes.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// # Build::new(BuildContext::Empty)
    /// #     .dockerfile_text("FROM scratch\nLABEL a=b\nCMD [\"/app\"]\n")
    /// #     .tag("app")
    /// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// // The newest first, as `docker history` shows it.
    /// for line in engine.inspect("app", None)?.history().iter().rev() {
    ///     println!("{:>10} {}", line.size, line.entry.created_by);
    /// }
    /// # assert_eq!(engine.inspect("app", None)?.history().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn history(&self) -> Vec<HistoryLine> {
        let mut sizes = self.layers.iter().map(|layer| layer.size);
        let known = self.config.history.iter().map(|entry| HistoryLine {
            size: if entry.empty_layer { 0 } else { sizes.next().unwrap_or_default() },
            entry: entry.clone(),
        });
        let mut lines: Vec<HistoryLine> = known.collect();
        lines.extend(sizes.map(|size| HistoryLine { entry: History::default(), size }));
        lines
    }
}
