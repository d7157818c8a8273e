//! Giving images names and taking them away.

use std::collections::BTreeSet;

use dfbuild_image::{Descriptor, Digest, Reference};

use crate::engine::Engine;
use crate::error::Error;
use crate::images::local::short_name;

/// What [`Engine::untag`] did.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # Build::new(BuildContext::Empty)
/// #     .dockerfile_text("FROM scratch\nLABEL a=b\n")
/// #     .tag("app")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let untagged = engine.untag("app", false)?;
/// assert_eq!(untagged.names[0].familiar_name(), "app");
/// if let Some(id) = untagged.nameless {
///     println!("{id} has no name now; {} bytes wait for `prune`", untagged.unused);
/// }
/// # assert!(untagged.nameless.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Untagged {
    /// The names that are gone.
    pub names: Vec<Reference>,
    /// The image, if it has no name any more.
    pub nameless: Option<Digest>,
    /// How many bytes of the store's blobs no image needs any more because of it. The build cache
    /// may still use them; they are there until the store is pruned.
    pub unused: u64,
}

impl Engine {
    /// Gives the image `source`, a name or the beginning of an id, a further name. A name that
    /// another image had goes over to it.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// engine.tag("app", &"registry.example/app:1.0".parse()?)?;
    /// assert_eq!(engine.images()?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), Error> {
        if target.digest.is_some() {
            return Err(Error::Option {
                option: target.to_string(),
                reason: "an image cannot be given a digest as its name".to_owned(),
            });
        }
        let image = self.local_image(source)?;
        Ok(self.store().tag(target, &image.top)?)
    }

    /// Takes a name away, or with an id the only name of an image; with `force` all of them. The
    /// files of an image without a name stay until the store is pruned.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// engine.untag("app", false)?;
    /// assert!(engine.images()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn untag(&self, name: &str, force: bool) -> Result<Untagged, Error> {
        let image = self.local_image(name)?;
        let names: Vec<Reference> = match &image.found_by {
            Some(reference) => vec![reference.clone()],
            None => image.tags.iter().map(|tag| tag.reference.clone()).collect(),
        };
        if names.len() > 1 && !force {
            let all: Vec<String> = names.iter().map(short_name).collect();
            return Err(Error::Transfer {
                action: "untag".into(),
                name: name.to_owned(),
                reason: format!("it has {} names: {}", names.len(), all.join(", ")),
                hint: Some("name one of them, or take all away with --force".to_owned()),
                source: None,
            });
        }
        for name in &names {
            self.store().untag(name)?;
        }
        if names.len() < image.tags.len() {
            return Ok(Untagged { names, nameless: None, unused: 0 });
        }
        // What cannot be found is not there to be removed either.
        let blobs_of = |top: &Descriptor| self.blobs_of(top).unwrap_or_default();
        let mut blobs: BTreeSet<Digest> = blobs_of(&image.top).into_iter().collect();
        for tag in self.store().tags()? {
            for digest in blobs_of(&tag.descriptor) {
                blobs.remove(&digest);
            }
        }
        let length =
            |digest| self.store().blob_path(digest).metadata().map_or(0, |blob| blob.len());
        let nameless = self.local_platform(&image.top, None).ok().map(|image| image.id);
        Ok(Untagged { names, nameless, unused: blobs.iter().map(length).sum() })
    }
}
