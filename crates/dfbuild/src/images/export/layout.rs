//! An image as an OCI image layout, in an archive or a folder.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use dfbuild_image::{
    Descriptor, DescriptorExt, Digest, Hasher, Index, REF_NAME_ANNOTATION, digest_of,
};
use serde_json::json;

use super::{ONE_PLATFORM, Task, write_file};
use crate::damaged::Damaged;
use crate::engine::Engine;
use crate::error::StepError;
use crate::images::image::{Image, PlatformImage};
use crate::images::local::short_name;
use crate::images::meter::Counted;
use crate::images::transfer::once;
use crate::schedule::session::Session;

/// The file that marks a layout.
pub(crate) const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The image of a build as a layout in a tar archive; for `docker load` with Docker's index beside.
pub(super) fn archive(
    session: &Session<'_>,
    image: &Image,
    path: &Path,
    docker: bool,
    task: &Task<'_>,
) -> Result<(), StepError> {
    let manifest = match (docker, image.platforms.as_slice()) {
        (false, _) => None,
        (true, [only]) => Some(docker_manifest([(image, only)])),
        (true, _) => return Err(StepError::Unsupported(ONE_PLATFORM.to_owned())),
    };
    let contents =
        Contents { blobs: blobs(image), index: Index::new(descriptors(image)), docker: manifest };
    let meter = task.meter(layers_size(image));
    let write = |out: &mut dyn Write| contents.write(session.engine, &mut Counted(out, &meter));
    write_file(path, session.ending(), write).map_err(StepError::io("write", path))
}

/// What is in an archive of images.
pub(crate) struct Contents {
    /// Each once, sorted.
    pub(crate) blobs: Vec<Digest>,
    pub(crate) index: Index,
    /// Docker's `manifest.json`.
    pub(crate) docker: Option<Vec<u8>>,
}

impl Contents {
    /// Writes the archive.
    pub(crate) fn write(&self, engine: &Engine, out: &mut dyn Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        for folder in ["blobs/", "blobs/sha256/"] {
            archive.append(&header(folder, tar::EntryType::Directory, 0o755, 0)?, io::empty())?;
        }
        for digest in &self.blobs {
            let mut blob = Blob::open(engine, *digest)?;
            let size = blob.file.metadata()?.len();
            append(&mut archive, &blob_path(digest), size, &mut blob)?;
            blob.check()?;
        }
        let index = self.index.to_json();
        append(&mut archive, "index.json", index.len() as u64, &mut &index[..])?;
        if let Some(manifest) = &self.docker {
            append(&mut archive, "manifest.json", manifest.len() as u64, &mut &manifest[..])?;
        }
        append(&mut archive, "oci-layout", MARKER.len() as u64, &mut &MARKER[..])?;
        archive.into_inner()?.flush()
    }
}

/// The image as a layout in a folder. Images that are there stay, unless they have its name.
pub(super) fn directory(
    session: &Session<'_>,
    image: &Image,
    path: &Path,
    task: &Task<'_>,
) -> Result<(), StepError> {
    let meter = task.meter(layers_size(image));
    let folder = path.join("blobs/sha256");
    fs::create_dir_all(&folder).map_err(StepError::io("create", &folder))?;
    for digest in blobs(image) {
        let target = path.join(blob_path(&digest));
        if let Ok(there) = fs::metadata(&target) {
            meter.advance(there.len());
            continue;
        }
        let copy = |out: &mut dyn Write| {
            let mut blob = Blob::open(session.engine, digest)?;
            io::copy(&mut blob, &mut Counted(out, &meter))?;
            blob.check()
        };
        write_file(&target, session.ending(), copy).map_err(StepError::io("write", &target))?;
    }
    let write = |name: &str, bytes: &[u8]| {
        let target = path.join(name);
        write_file(&target, session.ending(), |out| out.write_all(bytes))
            .map_err(StepError::io("write", target))
    };
    let known = fs::read(path.join("index.json")).ok();
    let known = known.and_then(|bytes| Index::from_json(&bytes).ok());
    let known = known.map(|index| index.0.manifests().clone()).unwrap_or_default();
    let new = descriptors(image);
    let name = |descriptor: &Descriptor| {
        let annotations = descriptor.annotations().as_ref()?;
        annotations.get("io.containerd.image.name").cloned()
    };
    let replaced = |known: &Descriptor| {
        new.iter().any(|new| match name(new) {
            Some(named) => name(known) == Some(named),
            None => name(known).is_none() && known.digest() == new.digest(),
        })
    };
    let kept = known.into_iter().filter(|known| !replaced(known));
    let index = Index::new(kept.chain(new.iter().cloned()).collect());
    write("oci-layout", MARKER)?;
    write("index.json", &index.to_json())
}

/// A blob that is digested while it is read.
pub(crate) struct Blob {
    file: File,
    digest: Digest,
    hasher: Hasher,
}

impl Blob {
    pub(crate) fn open(engine: &Engine, digest: Digest) -> io::Result<Self> {
        let file = engine.store().open_blob(&digest).map_err(io::Error::other)?;
        Ok(Self { file, digest, hasher: Hasher::new() })
    }

    /// Whether what was read was right.
    pub(crate) fn check(self) -> io::Result<()> {
        if self.hasher.finish() == self.digest {
            return Ok(());
        }
        Err(io::Error::other(StepError::Damaged(Damaged::Blob(self.digest))))
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// The blobs of an image, each once, sorted.
fn blobs(image: &Image) -> Vec<Digest> {
    let mut blobs: Vec<Digest> = digest_of(&image.top).into_iter().collect();
    for platform in &image.platforms {
        blobs.extend(platform.layers.iter().filter_map(|layer| digest_of(&layer.blob)));
        blobs.extend(digest_of(&platform.manifest));
        blobs.push(platform.id);
    }
    blobs.sort_unstable();
    blobs.dedup();
    blobs
}

/// The length of the layers of an image as they are handed out. What else there is, is small.
fn layers_size(image: &Image) -> u64 {
    let layers = image.platforms.iter().flat_map(|platform| &platform.layers);
    let blobs: Vec<Descriptor> = layers.map(|layer| layer.blob.clone()).collect();
    once(&blobs).iter().map(Descriptor::size).sum()
}

/// One descriptor for each name, as BuildKit's exporter writes them.
pub(crate) fn descriptors(image: &Image) -> Vec<Descriptor> {
    let created = image.platforms.iter().filter_map(|platform| platform.config.created).max();
    let created = created.map(|time| ("org.opencontainers.image.created", time.to_string()));
    let plain = image.top.clone().with_annotations(created);
    if image.tags.is_empty() {
        return vec![plain];
    }
    let named = image.tags.iter().map(|tag| {
        plain.clone().with_annotations([
            ("io.containerd.image.name", tag.to_string()),
            (REF_NAME_ANNOTATION, tag.tag.clone().unwrap_or_default()),
        ])
    });
    named.collect()
}

/// Docker's own index of an archive: for each image the platform that it is to load.
pub(crate) fn docker_manifest<'a>(
    images: impl IntoIterator<Item = (&'a Image, &'a PlatformImage)>,
) -> Vec<u8> {
    let manifests = images.into_iter().map(|(image, platform)| {
        let layers = platform.layers.iter().filter_map(|layer| digest_of(&layer.blob));
        json!({
            "Config": blob_path(&platform.id),
            "Layers": layers.map(|digest| blob_path(&digest)).collect::<Vec<_>>(),
            "RepoTags": image.tags.iter().map(short_name).collect::<Vec<_>>(),
        })
    });
    dfbuild_image::canonical_json(&manifests.collect::<Vec<_>>())
}

pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    size: u64,
    content: &mut dyn Read,
) -> io::Result<()> {
    archive.append(&header(name, tar::EntryType::Regular, 0o644, size)?, content)
}

/// A header that is the same for everybody: no owner and no time of this machine.
fn header(name: &str, kind: tar::EntryType, mode: u32, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}
