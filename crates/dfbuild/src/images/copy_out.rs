//! Files of an image, handed out.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use dfbuild_image::{Entry, Kind, Platform, TreePath};
use dfbuild_layer::{Contents, Index, View, materialise, pack};

use crate::engine::Engine;
use crate::error::{Error, StepError};
use crate::images::export::files::{callers, check_kinds, merge, without_devices};
use crate::images::export::is_written_to;
use crate::images::layer_cache::Form;
use crate::images::rootfs::Rootfs;
use crate::steps::missing::not_found;
use crate::steps::tree::{Tree, entry_in, resolve, walk_in};

/// Which files of an image are to be copied.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::CopyFrom;
///
/// Build::new(BuildContext::Empty)
///     .dockerfile_text("FROM scratch\nCOPY <<EOF /etc/app.conf\nport=80\nEOF\n")
///     .tag("app")
///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// // What is in the folder, not the folder.
/// let path = "/etc/.".to_owned();
/// let from = CopyFrom { image: "app".into(), path, ..CopyFrom::default() };
/// let to = tempfile::tempdir()?;
/// engine.copy_out(&from, to.path())?;
/// assert!(to.path().join("app.conf").is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyFrom {
    /// A name, or the beginning of an id.
    pub image: String,
    /// The path in it. The content of a folder, if it ends with `/.`.
    pub path: String,
    /// Whether a link is to be followed, instead of copied.
    pub follow_link: bool,
    /// Whether files keep the owners that they have in the image, instead of becoming the caller's.
    pub owners: bool,
    /// The platform, of an image for several.
    pub platform: Option<Platform>,
}

/// What is to be copied: a file or a folder with all that is in it.
struct Selected {
    top: Entry,
    /// Without the top.
    inside: Vec<Entry>,
}

impl Engine {
    /// Copies a file or a folder of an image to this machine, as `docker cp` does: into `to` if
    /// that is a folder, else to a file or folder of that name. Everything becomes the caller's
    /// unless owners are wanted; devices are left out.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::CopyFrom;
    ///
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let to = store.path().join("copy");
    /// let (image, path) = ("app".into(), "/greeting".into());
    /// let from = CopyFrom { image, path, ..CopyFrom::default() };
    /// engine.copy_out(&from, &to)?;
    /// assert_eq!(std::fs::read_to_string(to)?, "hello\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn copy_out(&self, from: &CopyFrom, to: &Path) -> Result<(), Error> {
        let failed = |error: StepError| self.ending().instead_of(copy_error(from, error));
        self.with_files(from, |rootfs, selected| {
            if is_written_to(to) {
                return write_to(rootfs, selected, to);
            }
            let (folder, name) = place(from, selected, to)?;
            let below = selected.below(&name)?;
            let index = if from.owners { without_devices(&below)? } else { callers(&below)? };
            check_kinds(&index, &folder)?;
            let staging = tempfile::Builder::new()
                .prefix(".dfbuild-")
                .tempdir_in(&folder)
                .map_err(StepError::io("create a folder in", &folder))?;
            let options = self.unpack_options(Form::Plain);
            let contents = Renamed { rootfs, from: selected.top.path.clone(), to: name };
            materialise(&index, &contents, staging.path(), &View::default(), &options)?;
            self.ending().check().map_err(StepError::io("write", to))?;
            merge(staging.path(), &folder)
        })?
        .map_err(failed)
    }

    /// Writes a file or a folder of an image as a tar archive, in which it has its own name.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::CopyFrom;
    ///
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
    ///     .tag("app")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let path = "/greeting".to_owned();
    /// let from = CopyFrom { image: "app".into(), path, ..CopyFrom::default() };
    /// let mut archive = Vec::new(); // Or the body of an answer.
    /// engine.copy_out_tar(&from, &mut archive)?;
    /// assert!(archive.starts_with(b"greeting\0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn copy_out_tar(&self, from: &CopyFrom, out: &mut dyn Write) -> Result<(), Error> {
        let failed = |error: StepError| self.ending().instead_of(copy_error(from, error));
        self.with_files(from, |rootfs, selected| {
            let name = own_name(from, selected);
            let contents = Renamed { rootfs, from: selected.top.path.clone(), to: name.clone() };
            Ok(pack(&selected.below(&name)?, &contents, out)?)
        })?
        .map_err(failed)
    }

    fn with_files<T>(
        &self,
        from: &CopyFrom,
        work: impl FnOnce(&Rootfs<'_>, &Selected) -> Result<T, StepError>,
    ) -> Result<Result<T, StepError>, Error> {
        let _in_use = self.in_use();
        let image = self.local_image(&from.image)?;
        let found = self.local_platform(&image.top, from.platform.as_ref());
        let found = found.map_err(|error| Error::image(&from.image, error))?;
        let select = || {
            let rootfs = Rootfs::new(self, found.files(self)?);
            let selected = Selected::find(&rootfs, from)?;
            work(&rootfs, &selected)
        };
        Ok(select())
    }
}

impl Selected {
    fn find(rootfs: &Rootfs<'_>, from: &CopyFrom) -> Result<Self, StepError> {
        let view = rootfs.view()?;
        let get = |path: &TreePath| Ok(entry_in(view, path));
        // As for every program: a slash at the end leads through a link.
        let follow = from.follow_link || from.path.ends_with('/') || from.path.ends_with("/.");
        let place = resolve(&get, &TreePath::new(&from.path), follow)?;
        let tree: &dyn Tree = rootfs;
        let top = place.entry.ok_or_else(|| not_found(tree, &from.path, &place.path))?;
        let top = Entry { path: place.path.clone(), ..top };
        let inside = if top.kind.is_directory() { walk_in(view, &place.path) } else { Vec::new() };
        Ok(Self { top, inside })
    }

    /// The entries as they are when the top is called `name`; without one, what is in it.
    fn below(&self, name: &TreePath) -> Result<Index, StepError> {
        let moved = |path: &TreePath| {
            let rest = path.strip_prefix(&self.top.path);
            name.join(rest.expect("it lies below the top").as_bytes())
        };
        let top = Some(&self.top).filter(|_| !name.is_root());
        let entries = top.into_iter().chain(&self.inside).map(|entry| {
            let kind = match &entry.kind {
                Kind::HardLink { target } => Kind::HardLink { target: moved(target) },
                Kind::Directory { .. } => Kind::DIRECTORY,
                kind => kind.clone(),
            };
            Entry { path: moved(&entry.path), kind, ..entry.clone() }
        });
        Ok(Index::new(entries.collect())?)
    }
}

/// The name of what is copied; none for the content of a folder.
fn own_name(from: &CopyFrom, selected: &Selected) -> TreePath {
    let is_content = from.path.ends_with("/.") || from.path == ".";
    if is_content && selected.top.kind.is_directory() {
        return TreePath::ROOT;
    }
    // A link that was followed keeps its name.
    let path = TreePath::new(&from.path);
    path.name().map_or(TreePath::ROOT, TreePath::new)
}

/// The folder of this machine that something goes into, and its name there.
fn place(
    from: &CopyFrom,
    selected: &Selected,
    to: &Path,
) -> Result<(PathBuf, TreePath), StepError> {
    use std::os::unix::ffi::OsStrExt;
    if to.is_dir() {
        return Ok((to.to_owned(), own_name(from, selected)));
    }
    let is_folder = selected.top.kind.is_directory();
    let named_as_folder = to.as_os_str().as_bytes().ends_with(b"/");
    if fs::symlink_metadata(to).is_ok() && is_folder {
        let text = format!("{} is there and no folder", to.display());
        return Err(StepError::Clash(text));
    }
    if named_as_folder && !is_folder {
        return Err(StepError::Clash(format!("there is no folder {}", to.display())));
    }
    let Some(name) = to.file_name() else {
        return Err(StepError::Clash(format!("there is no folder {}", to.display())));
    };
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    if !folder.is_dir() {
        return Err(StepError::Clash(format!("there is no folder {}", folder.display())));
    }
    Ok((folder, TreePath::new(name.as_bytes())))
}

/// Writes the content of a file into a device, a pipe, or what a link leads to.
fn write_to(rootfs: &Rootfs<'_>, selected: &Selected, to: &Path) -> Result<(), StepError> {
    let Kind::File { .. } = selected.top.kind else {
        let text = format!("{} takes the content of a file, and this is none", to.display());
        return Err(StepError::Clash(text));
    };
    let content = rootfs.open(&selected.top.path).map_err(StepError::io("read", to))?;
    let mut content = rootfs.engine().ending().watch(content);
    let copied = File::create(to).and_then(|mut out| io::copy(&mut content, &mut out));
    copied.map(drop).map_err(StepError::io("write", to))
}

fn copy_error(from: &CopyFrom, error: StepError) -> Error {
    let hint = error.hint();
    Error::Transfer {
        action: "copy".into(),
        name: format!("{}:{}", from.image, from.path),
        reason: error.to_string(),
        hint,
        source: Some(Box::new(error)),
    }
}

/// Files of an image under another path.
struct Renamed<'a> {
    rootfs: &'a Rootfs<'a>,
    from: TreePath,
    to: TreePath,
}

impl Contents for Renamed<'_> {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        let rest = entry.path.strip_prefix(&self.to).ok_or(io::ErrorKind::NotFound)?;
        let path = self.from.join(rest.as_bytes());
        Ok(Box::new(self.rootfs.engine().ending().watch(self.rootfs.open(&path)?)))
    }
}
