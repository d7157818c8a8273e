use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use dfbuild_image::{
    Descriptor, Digest, HashingWriter, ImageConfig, MediaType, Reference, digest_of,
};
use dfbuild_plan::{BaseImage, BaseRequest, context_key};
use dfbuild_store::Layout;

use crate::build::Build;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Observer;
use crate::images::layers::LayerRef;
use crate::options::BuildContext;

/// An image that a stage begins with or copies from. Its blobs are in the store.
#[derive(Debug, Clone)]
pub(crate) struct BaseLayers {
    pub(crate) config: ImageConfig,
    pub(crate) digest: Digest,
    pub(crate) layers: Vec<LayerRef>,
}

impl BaseLayers {
    /// What a plan has to know of it.
    pub(crate) fn for_plan(&self) -> BaseImage {
        BaseImage { config: self.config.clone(), digest: self.digest }
    }
}

/// The images of a build, found as the plan asks for them.
pub(crate) struct BaseImages<'a> {
    engine: &'a Engine,
    contexts: BTreeMap<String, BuildContext>,
    observer: &'a dyn Observer,
    /// Whether what is in the store may be old.
    pull: bool,
}

impl<'a> BaseImages<'a> {
    pub(crate) fn new(build: &Build, engine: &'a Engine, observer: &'a dyn Observer) -> Self {
        let contexts = build.build_contexts.iter();
        let contexts = contexts.map(|(name, context)| (context_key(name), context.clone()));
        Self { engine, contexts: contexts.collect(), observer, pull: build.pull }
    }

    /// Finds an image: a named context first, then the store, then its registry.
    pub(crate) fn find(&self, request: &BaseRequest) -> Result<BaseLayers, Error> {
        let mut name = request.name.clone();
        // A named context may be another name, but not in a circle.
        for _ in 0..=self.contexts.len() {
            match self.contexts.get(&context_key(&name)) {
                Some(BuildContext::OciLayout(folder, tag)) => {
                    let found = Layout::open(folder)
                        .and_then(|layout| Ok((layout.find(tag.as_deref())?, layout)));
                    let (descriptor, layout) = found.map_err(|problem| error(&name, problem))?;
                    return self.load(&layout, &descriptor, request);
                }
                Some(BuildContext::Image(other)) if *other != name => name.clone_from(other),
                _ => return self.find_in_store(&name, request),
            }
        }
        let reason = "its named contexts lead in a circle".to_owned();
        Err(Error::Image { name: request.name.clone(), reason, hint: None })
    }

    fn find_in_store(&self, name: &str, request: &BaseRequest) -> Result<BaseLayers, Error> {
        let reference: Reference = name.parse().map_err(|problem| error(name, problem))?;
        let store = self.engine.store();
        let can_pull = self.engine.has_network();
        let found = store.resolve(&reference).filter(|_| !(self.pull && can_pull));
        if let Some(descriptor) = found {
            let base = self.load(store.layout(), &descriptor, request)?;
            let (is, wanted) = (base.config.platform(), &request.platform);
            if (&is.os, &is.architecture) == (&wanted.os, &wanted.architecture) {
                return Ok(base);
            }
            if !can_pull {
                return Err(Error::Image {
                    name: name.to_owned(),
                    reason: format!("the local image is for {is}, and {wanted} is wanted"),
                    hint: Some(format!("build it with `--platform {wanted}`")),
                });
            }
        }
        if !can_pull {
            return Err(Error::Image {
                name: name.to_owned(),
                reason: format!("no local image {}", shown(&reference)),
                hint: Some(missing_hint(name)),
            });
        }
        let pulled = self.engine.pull(&reference, &request.platform, self.observer);
        let descriptor = pulled.map_err(|error| match error {
            // Very often it is a base of one's own that was not built yet, not a pull that failed.
            Error::Image { reason, hint, .. } => Error::Image {
                name: name.to_owned(),
                reason: format!("no local image {}; {reason}", shown(&reference)),
                hint: match hint {
                    Some(hint) if !is_plain(&reference) => Some(hint),
                    _ => Some(missing_hint(name)),
                },
            },
            other => other,
        })?;
        self.load(store.layout(), &descriptor, request)
    }

    /// Brings an image of a layout into the store.
    fn load(
        &self,
        layout: &Layout,
        descriptor: &Descriptor,
        request: &BaseRequest,
    ) -> Result<BaseLayers, Error> {
        let name = &request.name;
        let image = layout.image(descriptor, &request.platform);
        let (descriptor, manifest, config) = image.map_err(|problem| error(name, problem))?;
        let digest =
            digest_of(&descriptor).ok_or_else(|| error(name, "its digest is not SHA-256"))?;
        let blobs = manifest.0.layers();
        if blobs.len() != config.rootfs.diff_ids.len() {
            return Err(error(name, "its manifest and its configuration disagree on the layers"));
        }
        let mut layers = Vec::new();
        for (blob, diff_id) in blobs.iter().zip(&config.rootfs.diff_ids) {
            let blob = self.load_layer(layout, blob, diff_id, name)?;
            let content_id =
                self.engine.content_id(diff_id).map_err(|problem| error(name, problem))?;
            layers.push(LayerRef { diff_id: *diff_id, content_id, clock: None, blob: Some(blob) });
        }
        Ok(BaseLayers { config, digest, layers })
    }

    /// Copies the blob of a layer, verified, unless it is there already.
    fn load_layer(
        &self,
        layout: &Layout,
        blob: &Descriptor,
        diff_id: &Digest,
        name: &str,
    ) -> Result<Descriptor, Error> {
        let store = self.engine.store();
        let digest =
            digest_of(blob).ok_or_else(|| error(name, "a layer's digest is not SHA-256"))?;
        let descriptor =
            dfbuild_image::descriptor(oci_media_type(blob.media_type()), digest, blob.size());
        if !store.has_blob(&digest, blob.size()) {
            let mut source = layout.open_blob(&digest).map_err(|problem| error(name, problem))?;
            let staging = store.stage()?;
            let mut writer = HashingWriter::new(staging.file()?);
            copy(&mut source, &mut writer).map_err(Error::io("copy", layout.blob_path(&digest)))?;
            let (file, found, _) = writer.finish();
            if found != digest {
                let problem = dfbuild_store::Error::CorruptBlob { expected: digest, found };
                return Err(error(name, problem));
            }
            store.put_staged(file, &digest)?;
        }
        store.put_layer_blob(diff_id, &format!("base-{}", digest.short()), &descriptor)?;
        Ok(descriptor)
    }
}

fn copy(source: &mut File, writer: &mut impl io::Write) -> io::Result<u64> {
    io::copy(&mut io::BufReader::with_capacity(1 << 20, source), writer)
}

fn error(name: &str, reason: impl std::fmt::Display) -> Error {
    Error::Image { name: name.to_owned(), reason: reason.to_string(), hint: None }
}

/// Whether a name could as well be that of an image of one's own.
fn is_plain(reference: &Reference) -> bool {
    !reference.familiar_name().contains('/')
}

fn missing_hint(name: &str) -> String {
    format!(
        "build it first with `-t {name}`, or give one with `--build-context {name}=oci-layout://DIR`"
    )
}

fn shown(reference: &Reference) -> String {
    let tag = reference.tag.as_deref().unwrap_or("latest");
    format!("{}:{tag}", reference.familiar_name())
}

/// Our manifests are OCI's, so Docker's layer types get their OCI names; the bytes are the same.
fn oci_media_type(media_type: &MediaType) -> MediaType {
    match media_type.to_string().as_str() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
        _ => media_type.clone(),
    }
}
