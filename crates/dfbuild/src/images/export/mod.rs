//! Images and their files, handed out. A file or folder appears at its place only when it is
//! complete.

pub(crate) mod files;
pub(crate) mod layout;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::build::Build;
use crate::ending::Ending;
use crate::error::{Error, StepError};
use crate::event::Event;
use crate::images::image::Image;
use crate::images::meter::Meter;
use crate::options::{Annotation, AnnotationTarget, Output, OutputKind};
use crate::schedule::session::Session;

/// Why an image for several platforms is no docker archive.
const ONE_PLATFORM: &str = "docker archives hold images of one platform: use type=oci for several";

/// Why an image for one platform has no annotation of an index. It begins as BuildKit's.
const ONE_MANIFEST: &str = "index annotations not supported for single platform export: without \
                            `index:` it is on the manifest, with two `--platform` there is an index";

/// Refuses before the build what would fail behind it.
pub(crate) fn check_outputs(build: &Build) -> Result<(), Error> {
    let docker = |output: &&Output| matches!(output.kind, OutputKind::DockerArchive(_));
    match build.outputs.iter().find(docker) {
        Some(_) if build.platforms.iter().any(|one| *one != build.platforms[0]) => {
            let option = "--output type=docker".to_owned();
            Err(Error::Option { option, reason: ONE_PLATFORM.to_owned() })
        }
        _ => check_annotations(build),
    }
}

/// What is for an index must have one.
fn check_annotations(build: &Build) -> Result<(), Error> {
    let is_of_index =
        |target| matches!(target, AnnotationTarget::Index | AnnotationTarget::IndexDescriptor);
    match build.annotations.iter().find(|annotation| is_of_index(annotation.target)) {
        Some(Annotation { key, .. }) if build.platforms.len() < 2 => Err(Error::Option {
            option: format!("--annotation {key}"),
            reason: ONE_MANIFEST.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Hands an image out.
pub(crate) fn export(session: &Session<'_>, image: &Image, output: &Output) -> Result<(), Error> {
    let (what, path) = match &output.kind {
        OutputKind::Store => return Ok(()),
        OutputKind::OciArchive(path) => ("oci archive", path),
        OutputKind::OciDirectory(path) => ("oci layout", path),
        OutputKind::DockerArchive(path) => ("docker archive", path),
        OutputKind::Directory(path) => ("files to", path),
        OutputKind::Tar(path) => ("tar archive", path),
    };
    let failed = |error: StepError| Error::Export { path: path.clone(), source: Box::new(error) };
    let task = Task { session, what: format!("exporting {what} {}", path.display()) };
    let write = || match &output.kind {
        OutputKind::Store => Ok(()),
        OutputKind::OciArchive(path) => layout::archive(session, image, path, false, &task),
        OutputKind::OciDirectory(path) => layout::directory(session, image, path, &task),
        OutputKind::DockerArchive(path) => layout::archive(session, image, path, true, &task),
        OutputKind::Directory(path) => files::directory(session, image, output, path, &task),
        OutputKind::Tar(path) => files::tar(session, image, output, path, &task),
    };
    session.progress.task(&task.what, || write().map_err(failed))
}

/// Whether what is at `path` takes bytes and stays what it is, unlike a regular file, which a new one
/// replaces.
pub(crate) fn is_written_to(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| !found.is_file()) && !path.is_dir()
}

/// An export that tells how far it is.
struct Task<'a> {
    session: &'a Session<'a>,
    what: String,
}

impl Task<'_> {
    /// For `size` bytes, or about as many.
    fn meter(&self, size: u64) -> Meter<'_> {
        Meter::new(size, move |done| {
            let what = self.what.clone();
            self.session.progress.tell(&Event::TaskProgress { what, done, size });
        })
    }
}

/// Writes a file beside `path` and moves it there when it is complete. What is no regular file, such
/// as a pipe or a link, is written to as it is: `/dev/null` and `/dev/stdout` are not to be replaced.
pub(crate) fn write_file(
    path: &Path,
    ending: &Ending,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if is_written_to(path) {
        return write(&mut ending.watch(File::create(path)?));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Errors of temporary files tell names that nobody has given.
    fs::metadata(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    let mut out = ending.watch(BufWriter::with_capacity(1 << 20, file.as_file_mut()));
    write(&mut out)?;
    out.flush()?;
    drop(out);
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_of_an_index_need_one() {
        let noted = |target| {
            let (key, value) = ("a".to_owned(), "b".to_owned());
            Build::new(".").annotation(Annotation { target, platform: None, key, value })
        };
        let platform = |name: &str| name.parse().unwrap();
        for target in [AnnotationTarget::Index, AnnotationTarget::IndexDescriptor] {
            let one = noted(target).platform(platform("linux/amd64"));
            let error = check_outputs(&one).unwrap_err().to_string();
            let expect =
                "use --annotation a: index annotations not supported for single platform export";
            assert!(error.starts_with(expect), "{error}");
            assert!(check_outputs(&one.platform(platform("linux/arm64"))).is_ok());
        }
        assert!(check_outputs(&noted(AnnotationTarget::ManifestDescriptor)).is_ok());
    }
}
