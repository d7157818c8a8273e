use super::docker::DockerImage;
use dfbuild_image::{
    Descriptor, Digest, ImageConfig, Index, Platform, REF_NAME_ANNOTATION, Reference, digest_of,
};

use super::files::Files;
use super::{Found, LoadError};
use crate::engine::Engine;
use crate::images::local::{children, is_attestation, is_document};

/// Loads the images of an OCI image layout.
pub(super) fn load(engine: &Engine, files: &Files) -> Result<Vec<Found>, LoadError> {
    let index = files.document("index.json")?;
    let index = Index::from_json(&index)
        .map_err(|error| LoadError::new(format!("its index.json is malformed: {error}")))?;
    let mut loading = Loading { engine, files, docker_names: docker_names(files) };
    let mut found: Vec<Found> = Vec::new();
    for descriptor in index.0.manifests().iter().filter(|one| !is_attestation(one)) {
        let image = loading.image(descriptor)?;
        // One descriptor for each name.
        match found.iter_mut().find(|known| known.top.digest() == image.top.digest()) {
            Some(known) => {
                let new = image.names.into_iter().filter(|name| !known.names.contains(name));
                let new: Vec<Reference> = new.collect();
                known.names.extend(new);
            }
            None => found.push(image),
        }
    }
    if found.is_empty() {
        return Err(LoadError::new("there is no image in it"));
    }
    Ok(found)
}

/// The names that a `manifest.json` beside gives to configurations.
type DockerNames = Vec<(Digest, Vec<Reference>)>;

fn docker_names(files: &Files) -> DockerNames {
    let document = files.document("manifest.json").unwrap_or_default();
    let images: Vec<DockerImage> = serde_json::from_slice(&document).unwrap_or_default();
    let named = images.into_iter().filter_map(|image| {
        let hex = image.config.rsplit('/').next()?.trim_end_matches(".json");
        let names = image.repo_tags.unwrap_or_default();
        let names = names.iter().filter_map(|name| name.parse().ok());
        Some((format!("sha256:{hex}").parse().ok()?, names.collect()))
    });
    named.collect()
}

struct Loading<'a> {
    engine: &'a Engine,
    files: &'a Files,
    docker_names: DockerNames,
}

/// A blob that is neither in the archive nor in the store.
struct Missing(Digest);

impl Loading<'_> {
    fn image(&mut self, descriptor: &Descriptor) -> Result<Found, LoadError> {
        let store = self.engine.store();
        let (top, partial) = match self.bring(descriptor)? {
            Ok(()) => (plain(descriptor), false),
            Err(Missing(digest)) => {
                // An index may name platforms that were left out.
                let one = self.one_platform(descriptor)?;
                let one =
                    one.ok_or_else(|| LoadError::new(format!("blob {digest} is missing in it")))?;
                (plain(&one), true)
            }
        };
        let mut names = names(descriptor);
        let mut images = self.engine.local_platforms(&top)?;
        if images.is_empty() {
            images.push(self.engine.local_platform(&top, None)?);
        }
        for image in &images {
            note_layers(self.engine, &image.config, &image.layers)?;
            if names.is_empty() {
                let known = self.docker_names.iter().find(|(id, _)| *id == image.id);
                names.extend(known.into_iter().flat_map(|(_, names)| names.clone()));
            }
        }
        store.commit()?;
        let only_tag = note(descriptor, REF_NAME_ANNOTATION);
        Ok(Found { names, only_tag, top, partial })
    }

    /// Brings a blob into the store, and before it all that it leads to.
    fn bring(&self, blob: &Descriptor) -> Result<Result<(), Missing>, LoadError> {
        let digest = sha256(blob)?;
        let store = self.engine.store();
        if is_document(blob) {
            let name = blob_name(&digest);
            let bytes = match store.read_blob(&digest) {
                Ok(bytes) => bytes,
                Err(_) if !self.files.has(&name) => return Ok(Err(Missing(digest))),
                Err(_) => self.files.document(&name)?,
            };
            if Digest::of(&bytes) != digest {
                return Err(damaged(&digest));
            }
            for child in children(&bytes)? {
                if let Err(missing) = self.bring(&child)? {
                    return Ok(Err(missing));
                }
            }
            store.put_blob(&bytes)?;
            return Ok(Ok(()));
        }
        if store.has_blob(&digest, blob.size()) {
            return Ok(Ok(()));
        }
        let staging = store.stage()?;
        let Some(staged) = self.files.take(self.engine, &blob_name(&digest), &staging)? else {
            return Ok(Err(Missing(digest)));
        };
        if staged.digest != digest || staged.size != blob.size() {
            return Err(damaged(&digest));
        }
        store.put_staged(staged.file, &digest)?;
        Ok(Ok(()))
    }

    /// The image of an index that is there: that for this machine, else the first that is whole.
    fn one_platform(&self, top: &Descriptor) -> Result<Option<Descriptor>, LoadError> {
        let bytes = self.files.document(&blob_name(&sha256(top)?))?;
        let Ok(index) = Index::from_json(&bytes) else { return Ok(None) };
        let own = index.find(&Platform::host());
        let others = index.0.manifests().iter().filter(|manifest| !is_attestation(manifest));
        for manifest in own.into_iter().chain(others) {
            if self.bring(manifest)?.is_ok() {
                return Ok(Some(manifest.clone()));
            }
        }
        Ok(None)
    }
}

/// Notes which blob is which layer.
pub(super) fn note_layers(
    engine: &Engine,
    config: &ImageConfig,
    blobs: &[Descriptor],
) -> Result<(), LoadError> {
    if blobs.len() != config.rootfs.diff_ids.len() {
        let text = "the manifest and the configuration of an image disagree on its layers";
        return Err(LoadError::new(text));
    }
    for (diff_id, blob) in config.rootfs.diff_ids.iter().zip(blobs) {
        let name = format!("base-{}", sha256(blob)?.short());
        engine.store().put_layer_blob(diff_id, &name, blob)?;
    }
    Ok(())
}

/// The names of an image: a whole one as Docker and BuildKit write it, else that of the image
/// specification, unless it is only a tag.
fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let whole = note(descriptor, "io.containerd.image.name");
    let name = whole
        .or_else(|| note(descriptor, REF_NAME_ANNOTATION).filter(|name| name.contains([':', '/'])));
    name.and_then(|name| name.parse().ok()).into_iter().collect()
}

fn note(descriptor: &Descriptor, key: &str) -> Option<String> {
    descriptor.annotations().as_ref()?.get(key).cloned()
}

/// The descriptor without what an archive notes on it.
fn plain(descriptor: &Descriptor) -> Descriptor {
    let mut plain = descriptor.clone();
    plain.set_annotations(None);
    plain
}

fn sha256(blob: &Descriptor) -> Result<Digest, LoadError> {
    digest_of(blob)
        .ok_or_else(|| LoadError::new(format!("digest {} is not SHA-256", blob.digest())))
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn damaged(digest: &Digest) -> LoadError {
    LoadError::new(format!("blob {digest} is damaged in it"))
}

#[cfg(test)]
mod tests {
    use dfbuild_image::{DescriptorExt, MediaType, descriptor};

    use super::*;

    #[test]
    fn names_of_descriptors() {
        let image = || descriptor(MediaType::ImageManifest, Digest::of("m"), 1);
        let shown = |descriptor: &Descriptor| names(descriptor).first().map(ToString::to_string);
        for (notes, expect) in [
            (vec![], None),
            (vec![(REF_NAME_ANNOTATION, "latest")], None),
            (vec![(REF_NAME_ANNOTATION, "app:1")], Some("docker.io/library/app:1")),
            (vec![(REF_NAME_ANNOTATION, "r.example/app")], Some("r.example/app:latest")),
            (
                vec![(REF_NAME_ANNOTATION, "1"), ("io.containerd.image.name", "docker.io/me/a:1")],
                Some("docker.io/me/a:1"),
            ),
        ] {
            assert_eq!(shown(&image().with_annotations(notes)).as_deref(), expect);
        }
    }
}
