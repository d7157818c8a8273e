//! The files of an image, as a folder or a tar archive.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dfbuild_image::{Entry, Kind, Platform, TreePath};
use dfbuild_layer::{Contents, Index, View, materialise, pack};
use dfbuild_sandbox::IdMode;

use super::{Task, write_file};
use crate::error::StepError;
use crate::images::image::{Image, PlatformImage};
use crate::images::layer_cache::Form;
use crate::images::meter::{Counted, archive_size, content_size};
use crate::images::rootfs::Rootfs;
use crate::options::Output;
use crate::schedule::session::Session;

/// Writes the files of all platforms into one archive.
pub(super) fn tar(
    session: &Session<'_>,
    image: &Image,
    output: &Output,
    path: &Path,
    task: &Task<'_>,
) -> Result<(), StepError> {
    let mut entries = Vec::new();
    let mut sources = Vec::new();
    for platform in &image.platforms {
        let rootfs = Rootfs::new(session.engine, platform.files.clone());
        let folder = folder(image, platform, output);
        let index = files(session, platform, output, rootfs.view()?)?;
        entries
            .extend(folder.iter().map(|name| Entry::new(name.clone(), Kind::DIRECTORY, 0o755, 0)));
        entries.extend(index.entries().iter().map(|entry| moved(entry, folder.as_ref())));
        sources.push((folder, rootfs));
    }
    let (index, contents) = (Index::new(entries)?, Moved(sources));
    let meter = task.meter(archive_size(&index));
    let write = |out: &mut dyn io::Write| {
        pack(&index, &contents, &mut Counted(out, &meter)).map_err(io::Error::other)
    };
    write_file(path, session.ending(), write).map_err(StepError::io("write", path))
}

/// Writes the files into a folder, over what is there.
pub(super) fn directory(
    session: &Session<'_>,
    image: &Image,
    output: &Output,
    path: &Path,
    task: &Task<'_>,
) -> Result<(), StepError> {
    for platform in &image.platforms {
        let path = match folder(image, platform, output) {
            Some(folder) => folder.below(path),
            None => path.to_owned(),
        };
        let rootfs = Rootfs::new(session.engine, platform.files.clone());
        let mut index = files(session, platform, output, rootfs.view()?)?;
        if session.engine.id_mode() != IdMode::Root {
            index = callers(&index)?;
        }
        check_kinds(&index, &path)?;
        fs::create_dir_all(&path).map_err(StepError::io("create", &path))?;
        let staging = tempfile::Builder::new()
            .prefix(".dfbuild-")
            .tempdir_in(&path)
            .map_err(StepError::io("create a folder in", &path))?;
        let meter = task.meter(content_size(&index));
        let contents = Counted(session.ending().watch(&rootfs as &dyn Contents), &meter);
        let options = session.engine.unpack_options(Form::Plain);
        materialise(&index, &contents, staging.path(), &View::default(), &options)?;
        merge(staging.path(), &path)?;
    }
    Ok(())
}

/// The folder of one of several platforms: `linux_arm_v7` (BuildKit `exporter/local`).
fn folder(image: &Image, platform: &PlatformImage, output: &Output) -> Option<TreePath> {
    let Platform { os, architecture, variant } = &platform.platform;
    let name = match variant.as_str() {
        "" => format!("{os}_{architecture}"),
        variant => format!("{os}_{architecture}_{variant}"),
    };
    (image.platforms.len() > 1 && output.platform_split).then(|| TreePath::new(name))
}

/// The entry as it is below a folder.
fn moved(entry: &Entry, folder: Option<&TreePath>) -> Entry {
    let Some(folder) = folder else { return entry.clone() };
    let below = |path: &TreePath| folder.join(path.as_bytes());
    let kind = match &entry.kind {
        Kind::HardLink { target } => Kind::HardLink { target: below(target) },
        kind => kind.clone(),
    };
    Entry { path: below(&entry.path), kind, ..entry.clone() }
}

/// The files of several images, each below its folder.
struct Moved<'a>(Vec<(Option<TreePath>, Rootfs<'a>)>);

impl Contents for Moved<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        let found = self.0.iter().find_map(|(folder, rootfs)| match folder {
            Some(folder) => Some((entry.path.strip_prefix(folder)?, rootfs)),
            None => Some((entry.path.clone(), rootfs)),
        });
        let (path, rootfs) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(rootfs.open(&path)?))
    }
}

/// The files of an image with the times that its layers have.
fn files(
    session: &Session<'_>,
    image: &PlatformImage,
    output: &Output,
    view: &View,
) -> Result<Index, StepError> {
    let times = session.packing_of(output).times;
    let mut first: HashMap<(usize, TreePath), TreePath> = HashMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for found in view.walk(&TreePath::ROOT).filter(|found| !found.entry.path.is_root()) {
        let origin = view.origin(&found);
        let mut entry = Entry { path: found.entry.path.clone(), ..origin.entry.clone() };
        if let (Some(times), Some(clock)) = (times, &image.files[found.layer].clock) {
            entry.mtime = times.of(&entry, clock);
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

/// The same files as the caller's own. Devices cannot be, and are left out.
pub(crate) fn callers(index: &Index) -> Result<Index, StepError> {
    let kept = without_devices(index)?;
    let entries = kept.entries().iter().map(|entry| Entry { uid: 0, gid: 0, ..entry.clone() });
    Ok(Index::new(entries.collect())?)
}

/// The same files, but devices.
pub(crate) fn without_devices(index: &Index) -> Result<Index, StepError> {
    let kept = index
        .entries()
        .iter()
        .filter(|entry| !matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. }));
    Ok(Index::new(kept.cloned().collect())?)
}

/// Refuses a folder with something in it where a file is to be, a file where a folder is to be, and a
/// device, pipe or socket where a file is to be: what would be lost is the caller's.
pub(crate) fn check_kinds(index: &Index, to: &Path) -> Result<(), StepError> {
    for entry in index.entries() {
        let target = entry.path.below(to);
        let Ok(old) = fs::symlink_metadata(&target) else { continue };
        let (here, there) = match (old.is_dir(), entry.kind.is_directory()) {
            (true, false)
                if fs::read_dir(&target).is_ok_and(|mut files| files.next().is_some()) =>
            {
                ("a folder with something in it", "none")
            }
            (false, true) => ("no folder", "one"),
            _ if is_special(&old) && matches!(entry.kind, Kind::File { .. }) => ("no file", "one"),
            _ => continue,
        };
        let target = target.display();
        return Err(StepError::Unsupported(format!(
            "{target} is {here}, and {there} in the image: it is not overwritten"
        )));
    }
    Ok(())
}

fn is_special(found: &fs::Metadata) -> bool {
    !(found.is_dir() || found.is_file() || found.is_symlink())
}

/// Moves everything in `from` to `to`; folders are merged, other things replaced.
pub(crate) fn merge(from: &Path, to: &Path) -> Result<(), StepError> {
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
            // An empty one, see `check_kinds`.
            Ok(old) if old.is_dir() => {
                fs::remove_dir(&target).map_err(StepError::io("remove", &target))?;
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
