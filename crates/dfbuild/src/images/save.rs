//! Images of the store as archives.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use dfbuild_image::{
    Descriptor, DescriptorExt, Index, Platform, REF_NAME_ANNOTATION, Reference, digest_of,
};

use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::event::{Event, Observer};
use crate::images::blobs::FinalLayer;
use crate::images::export::layout::{Contents, descriptors, docker_manifest};
use crate::images::export::write_file;
use crate::images::image::Image;
use crate::images::image::PlatformImage;
use crate::images::local::{LocalPlatform, short_name};
use crate::images::meter::{Counted, Meter};
use crate::images::transfer::once;
use crate::schedule::progress::task;

impl Engine {
    /// Writes images to an archive that is both an OCI image layout and what `docker load` takes.
    /// Each is a name, or the beginning of an id; one that is given by its id has no name there.
    /// Of an image for several platforms all are written, or `platform` alone; Docker's own index names
    /// that of this machine.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nLABEL a=b\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let archive = store.path().join("app.tar");
    /// engine.save(&["app"], None, &archive, &|_: &Event| {})?; // For `docker load`, `podman load`, `skopeo`, …
    /// assert!(archive.is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(
        &self,
        names: &[impl AsRef<str>],
        platform: Option<&Platform>,
        path: &Path,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let contents = self.archive_of(names, platform)?;
        let what = format!("saving {}", path.display());
        write_file(path, self.ending(), |out| self.write_shown(&contents, out, &what, observer))
            .map_err(|error| self.ending().instead_of(exported(path, error)))
    }

    /// The same to a writer.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let mut archive = Vec::new();
    /// engine.save_to(&["app"], None, &mut archive, &|_: &Event| {})?;
    /// assert!(!archive.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save_to(
        &self,
        names: &[impl AsRef<str>],
        platform: Option<&Platform>,
        out: &mut dyn Write,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let contents = self.archive_of(names, platform)?;
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let what = format!("sending {}", names.join(", "));
        self.write_shown(&contents, out, &what, observer)
            .map_err(|error| self.ending().instead_of(exported(Path::new("-"), error)))
    }

    /// Writes an archive, and tells how far it is.
    fn write_shown(
        &self,
        contents: &Contents,
        out: &mut dyn Write,
        what: &str,
        observer: &dyn Observer,
    ) -> io::Result<()> {
        let length = |blob| fs::metadata(self.store().blob_path(blob)).map_or(0, |it| it.len());
        let size = contents.blobs.iter().map(length).sum();
        let meter = Meter::new(size, |done| {
            observer.event(&Event::TaskProgress { what: what.to_owned(), done, size });
        });
        task(observer, what, || contents.write(self, &mut Counted(out, &meter)))
    }

    fn archive_of(
        &self,
        names: &[impl AsRef<str>],
        platform: Option<&Platform>,
    ) -> Result<Contents, Error> {
        let mut images: BTreeMap<String, Image> = BTreeMap::new();
        for name in names.iter().map(AsRef::as_ref) {
            let mut local = self.local_image(name)?;
            local.top = self.of_platform(name, local.top, platform)?;
            let key = local.top.digest().to_string();
            if !images.contains_key(&key) {
                let failed = |error| Error::image(name, error);
                let platforms = self.local_platforms(&local.top).map_err(failed)?;
                let platforms: Vec<_> = platforms.into_iter().map(platform_image).collect();
                self.complete(name, &platforms)?;
                images.insert(
                    key.clone(),
                    Image { platforms, top: local.top.clone(), tags: Vec::new() },
                );
            }
            let tags = &mut images.get_mut(&key).expect("it is there by now").tags;
            tags.extend(local.found_by.filter(|name: &Reference| !tags.contains(name)));
        }
        let mut blobs = Vec::new();
        for image in images.values() {
            let of_image = self.blobs_of(&image.top);
            blobs.extend(of_image.map_err(|error| Error::image("of the store", error))?);
        }
        blobs.sort_unstable();
        blobs.dedup();
        Ok(Contents {
            blobs,
            index: Index::new(unambiguous(images.values().flat_map(descriptors).collect())),
            docker: Some(docker_manifest(
                images.values().filter_map(|image| Some((image, own_platform(image)?))),
            )),
        })
    }
}

impl Engine {
    /// Fetches the layers of an image that were left in a registry, if there is a way to it.
    fn complete(&self, name: &str, platforms: &[PlatformImage]) -> Result<(), Error> {
        let layers = platforms.iter().flat_map(|platform| &platform.layers);
        let blobs: Vec<_> = layers.map(|layer| layer.blob.clone()).collect();
        self.obtain_blobs(&once(&blobs)).map_err(|error| Error::image(name, error))
    }
}

/// The same descriptors. Where a tag alone stands for several of them, each gets its whole name:
/// tools that ask for the tag would have to guess.
fn unambiguous(all: Vec<Descriptor>) -> Vec<Descriptor> {
    let note = |descriptor: &Descriptor, key: &str| {
        descriptor.annotations().as_ref().and_then(|notes| notes.get(key).cloned())
    };
    let tags: Vec<Option<String>> =
        all.iter().map(|descriptor| note(descriptor, REF_NAME_ANNOTATION)).collect();
    let named = all.into_iter().zip(&tags).map(|(descriptor, tag)| {
        let several = tags.iter().filter(|other| *other == tag).count() > 1;
        let whole = note(&descriptor, "io.containerd.image.name").filter(|_| several);
        let whole = whole.and_then(|name| name.parse::<Reference>().ok());
        match whole {
            Some(name) => descriptor.with_annotations([(REF_NAME_ANNOTATION, short_name(&name))]),
            None => descriptor,
        }
    });
    named.collect()
}

fn exported(path: &Path, error: io::Error) -> Error {
    let source = StepError::io("write", path)(error);
    Error::Export { path: path.to_owned(), source: Box::new(source) }
}

/// The image that a Docker on this machine would run.
fn own_platform(image: &Image) -> Option<&PlatformImage> {
    let host = Platform::host();
    let own = image.platforms.iter().find(|image| image.platform == host);
    own.or(image.platforms.first())
}

fn platform_image(local: LocalPlatform) -> PlatformImage {
    let layers = local.layers.iter().zip(&local.config.rootfs.diff_ids);
    PlatformImage {
        platform: local.platform,
        layers: layers
            .filter(|(blob, _)| digest_of(blob).is_some())
            .map(|(blob, diff_id)| FinalLayer { diff_id: *diff_id, blob: blob.clone() })
            .collect(),
        manifest: local.manifest,
        id: local.id,
        config: local.config,
        files: Vec::new(),
    }
}
