use std::collections::BTreeMap;
use std::thread;

use dfbuild_image::{Descriptor, Digest, ImageConfig, MediaType, Reference, digest_of};
use dfbuild_layer::Encoding;
use dfbuild_plan::{BaseImage, BaseRequest, Need, context_key};
use dfbuild_store::Layout;

use crate::build::Build;
use crate::damage::{cause_of, is_lost_blob};
use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::event::Observer;
use crate::images::blobs::Packing;
use crate::images::intake::Reading;
use crate::images::layers::LayerRef;
use crate::images::pull::Wanted;
use crate::options::BuildContext;
use crate::schedule::progress::InTurn;
use crate::sharing::Imports;

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
    observer: InTurn<'a>,
    /// What shared caches know of layers.
    imports: &'a Imports,
    /// Whether what is in the store may be old.
    pull: bool,
    /// Whether layers are unpacked before somebody needs them.
    fast_paths: bool,
}

impl<'a> BaseImages<'a> {
    pub(crate) fn new(
        build: &Build,
        engine: &'a Engine,
        imports: &'a Imports,
        observer: &'a dyn Observer,
    ) -> Self {
        let contexts = build.build_contexts.iter();
        let contexts = contexts.map(|(name, context)| (context_key(name), context.clone()));
        Self {
            engine,
            contexts: contexts.collect(),
            observer: InTurn::new(observer),
            imports,
            pull: build.pull,
            fast_paths: build.fast_paths,
        }
    }

    /// Finds images, at the same time: each may have to be pulled. The results are in the order of
    /// the requests.
    pub(crate) fn find_all(
        &self,
        requests: &[(BaseRequest, Need)],
    ) -> Vec<Result<BaseLayers, Error>> {
        if let [(only, need)] = requests {
            return vec![self.find(only, need.runs)];
        }
        let find = |(request, need): &(BaseRequest, Need)| self.find(request, need.runs);
        let find = &find;
        thread::scope(|scope| {
            let threads: Vec<_> =
                requests.iter().map(|request| scope.spawn(move || find(request))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    /// Finds an image: a named context first, then the store, then its registry. One in which
    /// commands run is unpacked as it comes in.
    fn find(&self, request: &BaseRequest, runs: bool) -> Result<BaseLayers, Error> {
        let mut name = request.name.clone();
        // A named context may be another name, but not in a circle.
        for _ in 0..=self.contexts.len() {
            match self.contexts.get(&context_key(&name)) {
                Some(BuildContext::OciLayout(folder, tag)) => {
                    let found = Layout::open(folder)
                        .and_then(|layout| Ok((layout.find(tag.as_deref())?, layout)));
                    let (descriptor, layout) =
                        found.map_err(|problem| Error::image(&name, problem))?;
                    return self.load(&layout, &descriptor, request);
                }
                Some(BuildContext::Image(other)) if *other != name => name.clone_from(other),
                _ => return self.find_in_store(&name, request, runs),
            }
        }
        Err(Error::image(&request.name, "its named contexts lead in a circle"))
    }

    fn find_in_store(
        &self,
        name: &str,
        request: &BaseRequest,
        runs: bool,
    ) -> Result<BaseLayers, Error> {
        if let Some(behind) = self.engine.behind() {
            let images = BaseImages {
                engine: behind,
                contexts: BTreeMap::new(),
                observer: InTurn::new(&self.observer),
                imports: self.imports,
                pull: self.pull,
                fast_paths: self.fast_paths,
            };
            let base = images.find_in_store(name, request, false)?;
            let taken = base.layers.iter().try_for_each(|layer| self.take_over(behind, layer));
            return taken.map(|()| base).map_err(|error| Error::image(name, error));
        }
        let reference: Reference = name.parse().map_err(|problem| Error::image(name, problem))?;
        let store = self.engine.store();
        let can_pull = self.engine.can_fetch();
        if let Some(pinned) = reference.digest.and_then(|digest| self.pinned(&digest, request)) {
            return self.load(store.layout(), &pinned, request);
        }
        let found = store.resolve(&reference).filter(|_| !(self.pull && can_pull));
        if let Some(descriptor) = found {
            let base = self.load_again(&reference, &descriptor, request)?;
            let (is, wanted) = (base.config.platform(), &request.platform);
            let fits = (&is.os, &is.architecture) == (&wanted.os, &wanted.architecture);
            // Of one that was made here no registry has another; the plan warns of it.
            let made_here = store.origins(&base.digest).is_empty();
            if fits || made_here || !can_pull {
                return Ok(base);
            }
        }
        if !can_pull {
            return Err(self.missing(name, &reference));
        }
        // Where caches are shared, the commands may well not run at all.
        let unpacks = runs && self.fast_paths && self.imports.is_empty();
        let wanted = Wanted {
            far: &|diff_id| self.imports.layer(diff_id).is_some(),
            reading: if unpacks { Reading::Unpack } else { Reading::Index },
        };
        let pulled =
            self.engine.pull_tagged(&reference, &request.platform, &wanted, &self.observer);
        let descriptor = pulled.map_err(|error| match error {
            // Very often it is a base of one's own that was not built yet, not a pull that failed.
            Error::Image { reason, hint, line, source, .. } => Error::Image {
                line,
                source,
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

    /// What has the digest, if all of it is in the store, by whatever name it came: neither a
    /// registry nor `--pull` could come by anything else.
    fn pinned(&self, digest: &Digest, request: &BaseRequest) -> Option<Descriptor> {
        let layout = self.engine.store().layout();
        let bytes = layout.read_blob(digest).ok()?;
        let document: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        // Without a media type the document itself says what it is.
        let media_type = document.get("mediaType").and_then(|kind| kind.as_str());
        let media_type = MediaType::from(media_type.unwrap_or_default());
        let descriptor = dfbuild_image::descriptor(media_type, *digest, bytes.len() as u64);
        let (_, manifest, _) = layout.image(&descriptor, &request.platform).ok()?;
        let there = |blob: &Descriptor| {
            digest_of(blob).is_some_and(|known| self.engine.store().has_blob(&known, blob.size()))
        };
        manifest.0.layers().iter().all(there).then_some(descriptor)
    }

    /// What to say of an image that is not there and cannot be fetched.
    fn missing(&self, name: &str, reference: &Reference) -> Error {
        let mut reason = format!("no local image {}", shown(reference));
        let mut hint = missing_hint(name);
        if self.engine.is_offline() {
            reason.push_str(", and this is offline");
            let fetch =
                format!("pull it beforehand (`dfbuild pull {name}`), or build without `--offline`");
            hint = if is_plain(reference) { format!("{hint}; or {fetch}") } else { fetch };
        }
        Error::Image { name: name.to_owned(), reason, hint: Some(hint), line: None, source: None }
    }

    /// Loads an image of the store. What was lost of it is fetched from where it came from.
    fn load_again(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        request: &BaseRequest,
    ) -> Result<BaseLayers, Error> {
        let store = self.engine.store();
        let error = match self.load(store.layout(), descriptor, request) {
            Err(error) if is_lost_blob(&error) || cause_of(&error).is_some() => error,
            loaded => return loaded,
        };
        let origins = digest_of(descriptor).map(|digest| (digest, store.origins(&digest)));
        let (true, Some((digest, origins))) = (self.engine.can_fetch(), origins) else {
            return Err(made_here(error, reference));
        };
        if let Some(damaged) = cause_of(&error) {
            self.engine.drop_damaged(damaged)?;
        }
        // The digest, not the tag: that may stand for another image by now.
        let origins = origins.iter().filter_map(|origin| origin.parse::<Reference>().ok());
        for origin in origins.map(|origin| origin.pinned(digest)) {
            if self
                .engine
                .fetch(&origin, &request.platform, &Wanted::blobs(), &self.observer)
                .is_ok()
            {
                return self.load(store.layout(), descriptor, request);
            }
        }
        Err(made_here(error, reference))
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
        let (descriptor, manifest, config) =
            image.map_err(|problem| Error::image(name, problem))?;
        let digest = digest_of(&descriptor)
            .ok_or_else(|| Error::image(name, "its digest is not SHA-256"))?;
        let blobs = manifest.0.layers();
        if blobs.len() != config.rootfs.diff_ids.len() {
            return Err(Error::image(
                name,
                "its manifest and its configuration disagree on the layers",
            ));
        }
        let mut layers = Vec::new();
        for (blob, diff_id) in blobs.iter().zip(&config.rootfs.diff_ids) {
            let blob = self.load_layer(layout, blob, diff_id, &layers, name)?;
            let content_id =
                self.engine.content_id(diff_id).map_err(|problem| Error::image(name, problem))?;
            layers.push(LayerRef {
                diff_id: *diff_id,
                content_id,
                clock: None,
                blob: Some(blob),
                step: None,
            });
        }
        Ok(BaseLayers { config, digest, layers })
    }

    /// Copies the blob of a layer, verified, unless it is there already.
    fn load_layer(
        &self,
        layout: &Layout,
        blob: &Descriptor,
        diff_id: &Digest,
        below: &[LayerRef],
        name: &str,
    ) -> Result<Descriptor, Error> {
        let store = self.engine.store();
        let digest =
            digest_of(blob).ok_or_else(|| Error::image(name, "a layer's digest is not SHA-256"))?;
        let descriptor =
            dfbuild_image::descriptor(oci_media_type(blob.media_type()), digest, blob.size());
        if !store.has_blob(&digest, blob.size())
            && !self.pack_again(&digest, diff_id, below)
            && !self.stays_far(blob, diff_id)?
        {
            let taken = self.engine.take_blob(layout, &digest);
            taken.map_err(|problem| Error::image(name, problem))?;
        }
        store.put_layer_blob(diff_id, &format!("base-{}", digest.short()), &descriptor)?;
        Ok(descriptor)
    }

    /// Takes a layer of a base over from another store.
    fn take_over(&self, behind: &Engine, layer: &LayerRef) -> Result<(), StepError> {
        let (store, diff_id) = (self.engine.store(), &layer.diff_id);
        let Some((blob, digest)) = layer.blob.as_ref().and_then(|b| Some((b, digest_of(b)?)))
        else {
            return Ok(());
        };
        behind.obtain_blob(blob)?;
        if !store.link_blob(behind.store(), &digest)? {
            self.engine.take_blob(behind.store().layout(), &digest)?;
        }
        store.put_layer_blob(diff_id, &format!("base-{}", digest.short()), blob)?;
        store.put_layer_content(diff_id, &layer.content_id)?;
        if let Some(index) = behind.store().layer_index(diff_id) {
            store.put_layer_index(diff_id, &index)?;
        }
        if let Some(size) = behind.store().layer_size(diff_id) {
            store.put_layer_size(diff_id, size)?;
        }
        Ok(())
    }

    /// Whether a layer need not be here: it can be fetched, and what is in it is known.
    fn stays_far(&self, blob: &Descriptor, diff_id: &Digest) -> Result<bool, Error> {
        if !self.engine.can_have_blob(blob) {
            return Ok(false);
        }
        let store = self.engine.store();
        if store.layer_content(diff_id).is_some() {
            return Ok(true);
        }
        let Some(far) = self.imports.layer(diff_id) else { return Ok(false) };
        store.put_layer_content(diff_id, &far.content_id)?;
        store.put_layer_size(diff_id, far.tar_size)?;
        Ok(true)
    }

    /// Whether the lost blob of a layer could be made again, byte for byte, from its snapshot.
    fn pack_again(&self, blob: &Digest, diff_id: &Digest, below: &[LayerRef]) -> bool {
        // Without one nothing is read for it, least of all from elsewhere.
        if !self.engine.has_snapshot(diff_id) {
            return false;
        }
        let Ok(content_id) = self.engine.content_id(diff_id) else { return false };
        let layer = LayerRef { diff_id: *diff_id, content_id, clock: None, blob: None, step: None };
        let packing = Packing { encoding: Encoding::default(), times: None };
        self.engine.finish_layer(&layer, below, &packing).is_ok()
            && self.engine.store().blob_path(blob).is_file()
    }
}

/// Adds what can be done about an image of which something was lost for good.
fn made_here(error: Error, reference: &Reference) -> Error {
    let name = shown(reference);
    match error {
        Error::Image { name: of, reason, line, source, .. } => Error::Image {
            line,
            name: of,
            reason,
            source,
            hint: Some(format!("build it again with `-t {name}`, or pull it again")),
        },
        other => other,
    }
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
    let name = reference.familiar_name();
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => format!("{name}@{digest}"),
        (None, Some(tag)) => format!("{name}:{tag}"),
        (None, None) => name,
    }
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
