use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use dfbuild_image::{Descriptor, Digest, MediaType, Reference, digest_of};
use dfbuild_plan::{BaseRequest, Need, context_key};
use dfbuild_store::Layout;

use crate::build::Build;
use crate::damage::{cause_of, is_lost_blob};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Observer;
use crate::images::base_layers::BaseLayers;
use crate::images::intake::Reading;
use crate::images::pull::Wanted;
use crate::options::BuildContext;
use crate::schedule::progress::InTurn;
use crate::sharing::Imports;

/// The images of a build, found as the plan asks for them.
pub(crate) struct BaseImages<'a> {
    pub(super) engine: &'a Engine,
    contexts: BTreeMap<String, BuildContext>,
    observer: InTurn<'a>,
    /// What shared caches know of layers.
    pub(super) imports: &'a Imports,
    /// Whether what is in the store may be old.
    pull: bool,
    /// Whether layers are unpacked before somebody needs them.
    fast_paths: bool,
    /// The names that very likely mean something else than an image.
    pub(crate) doubtful: BTreeSet<String>,
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
            doubtful: BTreeSet::new(),
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
                    self.take_in(&layout, &descriptor, request, self.reading(runs))?;
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
                doubtful: self.doubtful.clone(),
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
        let found = store.resolve(&reference);
        let is_here = found.is_some();
        if let Some(descriptor) = found.filter(|_| !(self.pull && can_pull)) {
            let base = self.load_again(&reference, &descriptor, request)?;
            let fits = base.config.platform().is_close(&request.platform);
            // Of one that was made here no registry has another; the plan warns of it.
            let made_here = store.origins(&base.digest).is_empty();
            if fits || made_here || !can_pull {
                return Ok(base);
            }
        }
        if !can_pull {
            return Err(self.missing(name, &reference));
        }
        let far = |diff_id: &Digest| self.imports.layer(diff_id).is_some();
        let is_doubtful = self.doubtful.contains(&request.name);
        let wanted = Wanted { far: &far, reading: self.reading(runs), is_doubtful };
        let pulled =
            self.engine.pull_tagged(&reference, &request.platform, &wanted, &self.observer);
        let descriptor = pulled.map_err(|error| match error {
            Error::Image { reason, hint, line, source, .. } if is_here && self.pull => {
                let here = format!(
                    "{} is in the store: a build without `--pull` takes that",
                    shown(&reference)
                );
                let hint = hint.map_or_else(|| here.clone(), |hint| format!("{hint}; {here}"));
                Error::Image { name: name.to_owned(), reason, hint: Some(hint), line, source }
            }
            // Very often it is a base of one's own that was not built yet, not a pull that failed.
            Error::Image { reason, hint, line, source, .. } => Error::Image {
                line,
                source,
                name: name.to_owned(),
                reason: format!("no local image {}; {reason}", shown(&reference)),
                hint: match hint {
                    Some(hint) if !is_plain(&reference) => Some(hint),
                    _ => Some(self.missing_hint(name)),
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
        let hint = self.missing_hint(name);
        let fetch = if self.engine.is_offline() {
            reason.push_str(", and this is offline");
            format!("pull it beforehand (`dfbuild pull {name}`), or build without `--offline`")
        } else {
            // The command always has one.
            "give the engine a way to registries (`Engine::with_network`)".to_owned()
        };
        let hint = match hint.strip_suffix('?') {
            _ if !is_plain(reference) => fetch,
            Some(_) => format!("{hint} Else {fetch}"),
            None => format!("{hint}; or {fetch}"),
        };
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

    /// What to do about an image of one's own that is not there.
    fn missing_hint(&self, name: &str) -> String {
        self.engine.close_image(name).unwrap_or_else(|| {
            format!(
                "build it first with `-t {name}`, or give one with \
                 `--build-context {name}=oci-layout://DIR`"
            )
        })
    }

    /// Whether an image would come from a registry.
    pub(crate) fn is_elsewhere(&self, name: &str) -> bool {
        let here = || self.engine.store().resolve(&name.parse().ok()?);
        self.engine.can_fetch()
            && self.engine.behind().is_none()
            && !self.contexts.contains_key(&context_key(name))
            && here().is_none()
    }

    /// What to do with the layers of an image that comes in.
    fn reading(&self, runs: bool) -> Reading {
        // Where caches are shared, the commands may well not run at all.
        let unpacks = runs && self.fast_paths && self.imports.is_empty();
        if unpacks { Reading::Unpack } else { Reading::Index }
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

fn shown(reference: &Reference) -> String {
    let name = reference.familiar_name();
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => format!("{name}@{digest}"),
        (None, Some(tag)) => format!("{name}:{tag}"),
        (None, None) => name,
    }
}
