//! Images of the store, by their names and ids.

use std::collections::BTreeMap;

use dfbuild_image::{
    Descriptor, DescriptorExt, Digest, Index, Manifest, MediaType, Platform, Reference, digest_of,
};
use dfbuild_store::Tag;

use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::images::layer_ref::LayerRef;

/// An image of the store that has a name.
#[derive(Debug, Clone)]
pub(crate) struct LocalImage {
    /// Its manifest, or the index of the manifests of several platforms.
    pub(crate) top: Descriptor,
    /// The name that it was found by; `None` for an id.
    pub(crate) found_by: Option<Reference>,
    /// All its names, sorted.
    pub(crate) tags: Vec<Tag>,
}

/// The image of one platform.
#[derive(Debug, Clone)]
pub(crate) struct LocalPlatform {
    pub(crate) manifest: Descriptor,
    /// What its index says that it is for, else its configuration: a base can be for another.
    pub(crate) platform: Platform,
    pub(crate) layers: Vec<Descriptor>,
    /// The digest of the configuration.
    pub(crate) id: Digest,
    pub(crate) config: dfbuild_image::ImageConfig,
}

/// Fewer digits of an id are more likely a name.
const SHORTEST_ID: usize = 4;

impl Engine {
    /// The image that people call `name`: a name, a name with a digest, or the beginning of an id or
    /// of a digest.
    pub(crate) fn local_image(&self, name: &str) -> Result<LocalImage, Error> {
        let tags = self.store().tags()?;
        let reference: Option<Reference> = name.parse().ok();
        let tagged = |wanted: &Reference| tags.iter().find(|tag| tag.reference == *wanted);
        if let Some(tag) = reference.as_ref().and_then(tagged) {
            return Ok(LocalImage::of(tag.descriptor.clone(), reference, &tags));
        }
        let pinned = reference.as_ref().and_then(|wanted| {
            let digest = wanted.digest?;
            let repository = |tag: &&Tag| tag.reference.full_name() == wanted.full_name();
            tags.iter().filter(repository).find(|tag| digest_of(&tag.descriptor) == Some(digest))
        });
        if let Some(tag) = pinned {
            return Ok(LocalImage::of(tag.descriptor.clone(), None, &tags));
        }
        match self.tags_with_id(name, &tags).as_slice() {
            [] => Err(self.no_image(name, &tags)),
            [only] => Ok(LocalImage::of(only.clone(), None, &tags)),
            several => Err(Error::Image {
                name: name.to_owned(),
                reason: format!("{} images have ids that begin like this", several.len()),
                hint: Some("give more digits; `dfbuild images --no-trunc` shows all".to_owned()),
                line: None,
                source: None,
            }),
        }
    }

    /// Whether an image has this name that no registry can have: it did not come from Docker Hub, and
    /// nobody but Docker pushes what has no folder there.
    pub(crate) fn is_only_here(&self, name: &Reference) -> bool {
        if !name.full_name().starts_with("docker.io/library/") {
            return false;
        }
        let tags = self.store().tags().unwrap_or_default();
        let tag = tags.iter().find(|tag| tag.reference == *name);
        let digest = tag.and_then(|tag| digest_of(&tag.descriptor));
        digest.is_some_and(|digest| self.store().origins(&digest).is_empty())
    }

    /// The images whose id or digest begins like this, each once. Those of one id are the same to whoever
    /// uses it, whatever is noted on their manifests: the one that was named last stands for all.
    fn tags_with_id(&self, name: &str, tags: &[Tag]) -> Vec<Descriptor> {
        let wanted = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = wanted.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if wanted.len() < SHORTEST_ID || !is_hex {
            return Vec::new();
        }
        let mut found: BTreeMap<Digest, &Tag> = BTreeMap::new();
        for tag in tags {
            let id = self.local_platform(&tag.descriptor, None).ok().map(|image| image.id);
            let digest = digest_of(&tag.descriptor);
            let mut fits = [id, digest].into_iter().flatten();
            let Some(what) = fits.find(|it| it.hex().starts_with(wanted)) else { continue };
            let newest = found.entry(what).or_insert(tag);
            if newest.tagged < tag.tagged {
                *newest = tag;
            }
        }
        found.into_values().map(|tag| tag.descriptor.clone()).collect()
    }

    fn no_image(&self, name: &str, tags: &[Tag]) -> Error {
        Error::Image {
            name: name.to_owned(),
            reason: "no local image has that name or id".to_owned(),
            hint: Some(match self.close_image(name) {
                Some(close) => close,
                None if tags.is_empty() => {
                    format!("there are no images in {}", self.store().root().display())
                }
                None => "`dfbuild images` lists those that there are".to_owned(),
            }),
            line: None,
            source: None,
        }
    }

    /// The image for a platform; without one, that for this machine, else the first.
    pub(crate) fn local_platform(
        &self,
        top: &Descriptor,
        platform: Option<&Platform>,
    ) -> Result<LocalPlatform, dfbuild_store::Error> {
        let layout = self.store().layout();
        let host = Platform::host();
        let found = match layout.image(top, platform.unwrap_or(&host)) {
            Err(dfbuild_store::Error::NoPlatform { .. }) if platform.is_none() => {
                let first = self.manifests(top)?.into_iter().next().unwrap_or_else(|| top.clone());
                layout.image(&first, &host)?
            }
            found => found?,
        };
        let found = LocalPlatform::new(found);
        // An index is asked for one of its manifests; an image alone is what it is.
        match platform.filter(|wanted| !found.platform.is_close(wanted)) {
            None => Ok(found),
            Some(wanted) => Err(dfbuild_store::Error::NoPlatform {
                platform: wanted.to_string(),
                available: vec![found.platform.to_string()],
            }),
        }
    }

    /// What is left of an image for several platforms if only one is wanted: its manifest.
    pub(crate) fn of_platform(
        &self,
        name: &str,
        top: Descriptor,
        platform: Option<&Platform>,
    ) -> Result<Descriptor, Error> {
        if platform.is_none() {
            return Ok(top);
        }
        let image = self.local_platform(&top, platform);
        Ok(image.map_err(|error| Error::image(name, error))?.manifest)
    }

    /// The images of all platforms, in the order of the index.
    pub(crate) fn local_platforms(
        &self,
        top: &Descriptor,
    ) -> Result<Vec<LocalPlatform>, dfbuild_store::Error> {
        let host = Platform::host();
        let image = |manifest| self.store().layout().image(manifest, &host);
        self.manifests(top)?.iter().map(|one| image(one).map(LocalPlatform::new)).collect()
    }

    /// The manifests of an index, those of images; the manifest itself otherwise.
    fn manifests(&self, top: &Descriptor) -> Result<Vec<Descriptor>, dfbuild_store::Error> {
        let is_index = match top.media_type() {
            MediaType::ImageIndex => true,
            MediaType::Other(kind) => kind.ends_with("manifest.list.v2+json"),
            _ => false,
        };
        if !is_index {
            return Ok(vec![top.clone()]);
        }
        let digest = digest_of(top).ok_or_else(|| not_sha256(top))?;
        let bytes = self.store().read_blob(&digest)?;
        let index = Index::from_json(&bytes).map_err(|source| dfbuild_store::Error::Malformed {
            what: "index",
            digest,
            source,
        })?;
        Ok(index
            .0
            .manifests()
            .iter()
            .filter(|manifest| !is_attestation(manifest))
            .cloned()
            .collect())
    }
}

impl Engine {
    /// What `top` leads to, itself among it: manifests, configurations and layers, each once and
    /// sorted.
    pub(crate) fn blobs_of(&self, top: &Descriptor) -> Result<Vec<Digest>, dfbuild_store::Error> {
        let mut blobs = Vec::new();
        let mut left = vec![top.clone()];
        while let Some(blob) = left.pop() {
            let digest = digest_of(&blob).ok_or_else(|| not_sha256(&blob))?;
            blobs.push(digest);
            if is_document(&blob) {
                left.extend(children(&self.store().read_blob(&digest)?).map_err(|source| {
                    dfbuild_store::Error::Malformed { what: "manifest", digest, source }
                })?);
            }
        }
        blobs.sort_unstable();
        blobs.dedup();
        Ok(blobs)
    }
}

/// Whether a descriptor leads to a manifest or an index, Docker's or OCI's.
pub(crate) fn is_document(blob: &Descriptor) -> bool {
    let kind = blob.media_type().to_string();
    kind.contains("manifest") || kind.contains("image.index")
}

/// The blobs that a manifest or an index names.
pub(crate) fn children(document: &[u8]) -> Result<Vec<Descriptor>, serde_json::Error> {
    if let Ok(index) = Index::from_json(document) {
        return Ok(index.0.manifests().clone());
    }
    let manifest = Manifest::from_json(document)?;
    let mut blobs = vec![manifest.0.config().clone()];
    blobs.extend(manifest.0.layers().iter().cloned());
    Ok(blobs)
}

/// What BuildKit puts beside the images of an index: provenance and bills of materials.
pub(crate) fn is_attestation(manifest: &Descriptor) -> bool {
    const KIND: &str = "vnd.docker.reference.type";
    manifest.annotations().as_ref().is_some_and(|notes| notes.contains_key(KIND))
}

fn not_sha256(descriptor: &Descriptor) -> dfbuild_store::Error {
    dfbuild_store::Error::NotALayout {
        path: descriptor.digest().to_string().into(),
        reason: "its digest is not SHA-256".to_owned(),
    }
}

/// `base:latest`, as people type it.
pub(crate) fn short_name(reference: &Reference) -> String {
    let name = reference.familiar_name();
    match (&reference.tag, &reference.digest) {
        (Some(tag), _) => format!("{name}:{tag}"),
        (None, Some(digest)) => format!("{name}@{digest}"),
        (None, None) => name,
    }
}

impl LocalImage {
    fn of(top: Descriptor, found_by: Option<Reference>, all: &[Tag]) -> Self {
        let same = |tag: &&Tag| tag.descriptor.digest() == top.digest();
        let tags = all.iter().filter(same).cloned().collect();
        Self { top, found_by, tags }
    }
}

impl LocalPlatform {
    fn new(
        (manifest, document, config): (Descriptor, Manifest, dfbuild_image::ImageConfig),
    ) -> Self {
        let id = digest_of(document.0.config());
        Self {
            platform: manifest.named_platform().unwrap_or_else(|| config.platform()),
            manifest,
            layers: document.0.layers().clone(),
            id: id.expect("the configuration was read by its digest"),
            config,
        }
    }

    /// Its layers, the lowest first.
    pub(crate) fn files(&self, engine: &Engine) -> Result<Vec<LayerRef>, StepError> {
        let blobs = self.layers.iter().zip(&self.config.rootfs.diff_ids);
        let layers = blobs.map(|(blob, diff_id)| {
            let content_id = engine.content_id(diff_id)?;
            Ok(LayerRef {
                diff_id: *diff_id,
                content_id,
                clock: None,
                blob: Some(blob.clone()),
                step: None,
            })
        });
        layers.collect()
    }
}
