//! Trees on disk, overlays, and comparing them.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dfbuild_image::{Entry, Kind, TreePath};
use dfbuild_layer::{Index, UnpackOptions, View, XattrNamespace, upper};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A temporary directory whose file system takes what layers need: not tmpfs in older kernels.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Root marks directories as overlays of root do; others as those of user namespaces do.
pub(crate) fn namespace() -> XattrNamespace {
    if is_root() { XattrNamespace::Trusted } else { XattrNamespace::User }
}

pub(crate) fn unpack_options() -> UnpackOptions {
    UnpackOptions { xattrs: namespace(), single_id: !is_root(), ..UnpackOptions::default() }
}

pub(crate) fn scan_options() -> upper::ScanOptions {
    upper::ScanOptions { xattrs: namespace(), ..upper::ScanOptions::default() }
}

/// Everything below `path`, as a layer on nothing.
pub(crate) fn whole(path: &Path) -> Index {
    upper::scan(path, &View::default(), &scan_options(), &mut io::sink()).unwrap()
}

/// An overlay, mounted until it is dropped.
pub(crate) struct Overlay {
    pub(crate) merged: PathBuf,
    pub(crate) upper: PathBuf,
}

impl Overlay {
    /// An overlay over `lower`, lowest first, with its directories in `scratch`; `None`, said
    /// aloud, where none can be mounted.
    pub(crate) fn mount(scratch: &Path, lower: &[PathBuf]) -> Option<Self> {
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| scratch.join(name));
        for directory in [&upper, &work, &merged] {
            fs::create_dir_all(directory).unwrap();
        }
        let lower: Vec<_> = lower.iter().rev().map(|path| path.to_str().unwrap()).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=nofollow,index=off,metacopy=off",
            lower.join(":"),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).unwrap();
        let flags = MountFlags::empty();
        match mount("overlay", &merged, "overlay", flags, Some(options.as_c_str())) {
            Ok(()) => Some(Self { merged, upper }),
            Err(errno) => {
                println!("SKIPPED: cannot mount an overlay: {errno}");
                None
            }
        }
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        unmount(&self.merged, UnmountFlags::DETACH).unwrap();
    }
}

/// What counts of an entry when trees are compared: the times of directories depend on what came
/// and went in them, and hard links do not survive a copy-up.
pub(crate) fn flat(view: &View, root: &TreePath) -> Vec<Entry> {
    let walk = view.walk(root).filter(|found| !found.entry.path.is_root());
    walk.map(|found| {
        let mut entry: Entry = found.entry.clone();
        entry.kind = view.origin(&found).entry.kind.clone();
        if entry.kind.is_directory() {
            entry.mtime = 0;
            entry.kind = Kind::DIRECTORY;
        }
        entry
    })
    .collect()
}
