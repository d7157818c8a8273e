//! Root file systems for commands, and what commands change in them.
//!
//! There are two ways, tried in this order when a build begins: an overlay over the layers, or a
//! copy of their tree. Both give the same layers; what is learned with one counts for the other.

mod copies;
mod overlays;
mod placed;
mod roots;
pub(crate) mod support;
mod trees;

use std::path::PathBuf;

use dfbuild_image::{Digest, Entry};
use dfbuild_layer::Index;
use dfbuild_sandbox::{Mount, Spec};
use dfbuild_store::Staging;

use crate::error::StepError;
use crate::images::rootfs::Rootfs;
use crate::leaks::{Leak, Leaks};
use crate::steps::stubs::Stubs;

pub(crate) use copies::Copies;
pub(crate) use overlays::Overlays;
pub(crate) use roots::Roots;

/// A way to give commands the files of a stack of layers.
pub(crate) trait Snapshotter {
    /// The files of `rootfs` as the root of one command. What only lives as long as the command goes
    /// into `staging`.
    fn prepare<'a>(
        &'a self,
        rootfs: &'a Rootfs<'_>,
        staging: &'a Staging,
    ) -> Result<Box<dyn Workspace + 'a>, StepError>;

    /// A mount of what is at `source` in another stack of layers. What is written to it is lost.
    fn mount(
        &self,
        rootfs: &Rootfs<'_>,
        source: &Entry,
        target: PathBuf,
        read_only: bool,
        staging: &Staging,
    ) -> Result<Mount, StepError>;
}

/// The root of one command. Dropped without [`Workspace::commit`], what the command did is lost.
pub(crate) trait Workspace {
    /// Makes the places where something will be mounted. Called once, before the command runs.
    fn place(&mut self, stubs: &Stubs<'_>) -> Result<(), StepError>;

    /// A specification with this root and nothing else.
    fn spec(&self) -> Result<Spec, StepError>;

    /// Finds what the command changed, and keeps these files in the store. Secrets are looked for on
    /// the way.
    fn commit(self: Box<Self>, leaks: &Leaks) -> Result<Changes, StepError>;

    /// Leaves what is here in the staging folder, for who wants to look why the command failed: the
    /// upper directory, or the whole root.
    fn abandon(self: Box<Self>) -> Result<PathBuf, StepError>;
}

/// What a command changed: a layer whose files are in the store.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The changed entries.
    pub(crate) index: Index,
    /// The digest of its archive.
    pub(crate) diff_id: Digest,
    /// The length of its archive.
    pub(crate) tar_size: u64,
    /// The secrets in them.
    pub(crate) leaks: Vec<Leak>,
}
