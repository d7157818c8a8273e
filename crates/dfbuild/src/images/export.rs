use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dfbuild_image::{
    DescriptorExt, Digest, Entry, Hasher, Index as ImageIndex, Kind, REF_NAME_ANNOTATION, TreePath,
    digest_of,
};
use dfbuild_layer::{Contents, Index, View, materialise, pack};
use dfbuild_sandbox::IdMode;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::damage::Damaged;
use crate::ending::Ending;
use crate::error::{Error, StepError};
use crate::images::blobs::at_epoch;
use crate::images::finish::Image;
use crate::images::layers::Rootfs;
use crate::options::Output;
use crate::schedule::session::Session;
use crate::schedule::stage_run::StageResult;

/// Hands an image out. A file or folder appears at its place only when it is complete.
pub(crate) fn export(
    session: &Session<'_>,
    image: &Image,
    result: &StageResult,
    output: &Output,
) -> Result<(), Error> {
    let (what, path) = match output {
        Output::OciArchive(path) => ("oci archive", path),
        Output::DockerArchive(path) => ("docker archive", path),
        Output::Directory(path) => ("files to", path),
        Output::Tar(path) => ("tar archive", path),
    };
    let failed = |error: StepError| Error::Export { path: path.clone(), source: Box::new(error) };
    session.progress.task(&format!("exporting {what} {}", path.display()), || match output {
        Output::OciArchive(path) => archive(session, image, path, false).map_err(failed),
        Output::DockerArchive(path) => archive(session, image, path, true).map_err(failed),
        Output::Directory(path) => directory(session, result, path).map_err(failed),
        Output::Tar(path) => tar(session, result, path).map_err(failed),
    })
}

/// The image as an image layout in a tar archive; for `docker load` with Docker's index beside.
fn archive(
    session: &Session<'_>,
    image: &Image,
    path: &Path,
    docker: bool,
) -> Result<(), StepError> {
    let failed = |error| StepError::io("write", path)(error);
    let store = session.engine.store();
    write_file(path, session.ending(), |out| {
        let mut archive = tar::Builder::new(out);
        for folder in ["blobs/", "blobs/sha256/"] {
            archive.append(&header(folder, tar::EntryType::Directory, 0o755, 0)?, io::empty())?;
        }
        for digest in blobs(image) {
            let file = store.open_blob(&digest).map_err(io::Error::other)?;
            let size = file.metadata()?.len();
            let mut reader = Verifying { file, hasher: Hasher::new() };
            append(&mut archive, &blob_path(&digest), size, &mut reader)?;
            if reader.hasher.finish() != digest {
                return Err(io::Error::other(StepError::Damaged(Damaged::Blob(digest))));
            }
        }
        let index = index(image).to_json();
        append(&mut archive, "index.json", index.len() as u64, &mut &index[..])?;
        if docker {
            let manifest = docker_manifest(image);
            append(&mut archive, "manifest.json", manifest.len() as u64, &mut &manifest[..])?;
        }
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        append(&mut archive, "oci-layout", marker.len() as u64, &mut &marker[..])?;
        archive.into_inner()?.flush()
    })
    .map_err(failed)
}

/// A blob that is digested while it is read.
struct Verifying {
    file: File,
    hasher: Hasher,
}

impl Read for Verifying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// The blobs of an image, each once, sorted.
fn blobs(image: &Image) -> Vec<Digest> {
    let layers = image.layers.iter().filter_map(|layer| digest_of(&layer.blob));
    let mut blobs: Vec<Digest> =
        layers.chain(digest_of(&image.manifest)).chain([image.id]).collect();
    blobs.sort_unstable();
    blobs.dedup();
    blobs
}

/// One descriptor for each name, as BuildKit's exporter writes them.
fn index(image: &Image) -> ImageIndex {
    let created =
        image.config.created.map(|time| ("org.opencontainers.image.created", time.to_string()));
    let plain = image.manifest.clone().with_annotations(created);
    if image.tags.is_empty() {
        return ImageIndex::new(vec![plain]);
    }
    let named = image.tags.iter().map(|tag| {
        plain.clone().with_annotations([
            ("io.containerd.image.name", tag.to_string()),
            (REF_NAME_ANNOTATION, tag.tag.clone().unwrap_or_default()),
        ])
    });
    ImageIndex::new(named.collect())
}

fn docker_manifest(image: &Image) -> Vec<u8> {
    let layers = image.layers.iter().filter_map(|layer| digest_of(&layer.blob));
    let names = image
        .tags
        .iter()
        .map(|tag| format!("{}:{}", tag.familiar_name(), tag.tag.as_deref().unwrap_or_default()));
    let manifest = json!([{
        "Config": blob_path(&image.id),
        "Layers": layers.map(|digest| blob_path(&digest)).collect::<Vec<_>>(),
        "RepoTags": names.collect::<Vec<_>>(),
    }]);
    dfbuild_image::canonical_json(&manifest)
}

fn blob_path(digest: &Digest) -> String {
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

/// Writes a file beside `path` and moves it there when it is complete. What is no regular file,
/// such as a pipe, is written to as it is.
fn write_file(
    path: &Path,
    ending: &Ending,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return write(&mut ending.watch(File::create(path)?));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut out = ending.watch(BufWriter::with_capacity(1 << 20, file.as_file_mut()));
    write(&mut out)?;
    out.flush()?;
    drop(out);
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The files of the image with the times that its layers have.
fn files(session: &Session<'_>, result: &StageResult, view: &View) -> Result<Index, StepError> {
    let mut first: HashMap<(usize, TreePath), TreePath> = HashMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for found in view.walk(&TreePath::ROOT).filter(|found| !found.entry.path.is_root()) {
        let origin = view.origin(&found);
        let mut entry = Entry { path: found.entry.path.clone(), ..origin.entry.clone() };
        if let (Some(epoch), Some(clock)) = (session.graph.epoch, &result.layers[found.layer].clock)
        {
            entry.mtime = at_epoch(&entry, clock, epoch);
        }
        match &mut entry.kind {
            Kind::File { .. } => {
                let file = (origin.layer, origin.entry.path.clone());
                let name = first.entry(file).or_insert_with(|| entry.path.clone());
                if *name != entry.path {
                    entry.kind = Kind::HardLink { target: name.clone() };
                }
            }
            Kind::Directory { opaque } => *opaque = false,
            _ => {}
        }
        entries.push(entry);
    }
    Ok(Index::new(entries)?)
}

fn tar(session: &Session<'_>, result: &StageResult, path: &Path) -> Result<(), StepError> {
    let rootfs = Rootfs::new(session.engine, result.layers.clone());
    let index = files(session, result, rootfs.view()?)?;
    write_file(path, session.ending(), |mut out| {
        pack(&index, &rootfs, &mut out).map_err(io::Error::other)
    })
    .map_err(StepError::io("write", path))
}

/// Writes the files of the image into a folder, over what is there.
fn directory(session: &Session<'_>, result: &StageResult, path: &Path) -> Result<(), StepError> {
    let rootfs = Rootfs::new(session.engine, result.layers.clone());
    let mut index = files(session, result, rootfs.view()?)?;
    if session.engine.id_mode() != IdMode::Root {
        index = callers(&index)?;
    }
    fs::create_dir_all(path).map_err(StepError::io("create", path))?;
    let staging = tempfile::Builder::new()
        .prefix(".dfbuild-")
        .tempdir_in(path)
        .map_err(StepError::io("create a folder in", path))?;
    let contents = session.ending().watch(&rootfs as &dyn Contents);
    let options = session.engine.unpack_options();
    materialise(&index, &contents, staging.path(), &View::default(), &options)?;
    merge(staging.path(), path)?;
    Ok(())
}

/// The same files as the caller's own. Devices cannot be, and are left out.
fn callers(index: &Index) -> Result<Index, StepError> {
    let kept = index
        .entries()
        .iter()
        .filter(|entry| !matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. }));
    let entries = kept.map(|entry| Entry { uid: 0, gid: 0, ..entry.clone() });
    Ok(Index::new(entries.collect())?)
}

/// Moves everything in `from` to `to`; folders are merged, other things replaced.
fn merge(from: &Path, to: &Path) -> Result<(), StepError> {
    let entries = fs::read_dir(from).map_err(StepError::io("read", from))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for source in paths {
        let target = to.join(source.file_name().expect("an entry has a name"));
        let (new, old) = (fs::symlink_metadata(&source), fs::symlink_metadata(&target));
        let new = new.map_err(StepError::io("read", &source))?;
        match old {
            Ok(old) if old.is_dir() && new.is_dir() => {
                merge(&source, &target)?;
                imitate(&new, &target).map_err(StepError::io("change", &target))?;
                continue;
            }
            Ok(old) if old.is_dir() => {
                fs::remove_dir_all(&target).map_err(StepError::io("remove", &target))?;
            }
            Ok(_) => fs::remove_file(&target).map_err(StepError::io("remove", &target))?,
            Err(_) => {}
        }
        fs::rename(&source, &target).map_err(StepError::io("rename to", &target))?;
    }
    Ok(())
}

fn imitate(new: &fs::Metadata, target: &Path) -> io::Result<()> {
    std::os::unix::fs::chown(target, Some(new.uid()), Some(new.gid()))?;
    fs::set_permissions(target, new.permissions())?;
    File::open(target)?.set_modified(new.modified()?)
}
