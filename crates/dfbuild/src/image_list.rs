use dfbuild_image::{Digest, Reference, Timestamp, digest_of};

use crate::engine::Engine;
use crate::error::Error;

/// An image of the store, as `docker images` lists it.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
///     .tag("app:1.0")
///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let image = &engine.images()?[0];
/// let tag = image.reference.tag.as_deref().unwrap_or("<none>");
/// assert_eq!((image.reference.familiar_name().as_str(), tag), ("app", "1.0"));
/// assert!(image.size > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImageSummary {
    /// Its name.
    pub reference: Reference,
    /// The digest of its configuration.
    pub id: Digest,
    /// The digest of its manifest.
    pub digest: Digest,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The sum of its uncompressed layers, in bytes.
    pub size: u64,
}

impl Engine {
    /// The named images of the store, the newest first. An image that cannot be read is left out.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// assert_eq!(engine.images()?[0].reference.familiar_name(), "app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn images(&self) -> Result<Vec<ImageSummary>, Error> {
        let tags = self.store().tags()?;
        let mut images: Vec<ImageSummary> =
            tags.iter().filter_map(|tag| self.summary(&tag.reference, &tag.descriptor)).collect();
        images
            .sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.reference.cmp(&b.reference)));
        Ok(images)
    }

    fn summary(
        &self,
        reference: &Reference,
        descriptor: &dfbuild_image::Descriptor,
    ) -> Option<ImageSummary> {
        let platform = dfbuild_image::Platform::host();
        let (_, manifest, config) = self.store().layout().image(descriptor, &platform).ok()?;
        let sizes = config.rootfs.diff_ids.iter().map(|diff_id| self.tar_size(diff_id));
        Some(ImageSummary {
            reference: reference.clone(),
            id: digest_of(manifest.0.config())?,
            digest: digest_of(descriptor)?,
            created: config.created,
            size: sizes.sum(),
        })
    }
}
