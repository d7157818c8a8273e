use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dfbuild_image::{Digest, TreePath};
use dfbuild_layer::{Index, Layers, View};

use crate::engine::Engine;
use crate::error::StepError;
use crate::images::layer_cache::Form;
use crate::images::layer_ref::LayerRef;
use crate::images::layer_ref::is_clock_time;
use crate::images::transfer::each;

/// The files of a stage or an image: a stack of layers, the lowest first. Nothing is read before
/// somebody looks.
pub(crate) struct Rootfs<'a> {
    engine: &'a Engine,
    layers: Vec<LayerRef>,
    view: OnceLock<View>,
    directories: OnceLock<Vec<PathBuf>>,
}

impl<'a> Rootfs<'a> {
    pub(crate) fn new(engine: &'a Engine, layers: Vec<LayerRef>) -> Self {
        Self { engine, layers, view: OnceLock::new(), directories: OnceLock::new() }
    }

    /// No files at all.
    pub(crate) fn empty(engine: &'a Engine) -> Self {
        Self::new(engine, Vec::new())
    }

    pub(crate) fn engine(&self) -> &'a Engine {
        self.engine
    }

    /// The name of a snapshot that looks different on other layers than these.
    pub(super) fn name_of(&self, diff_id: &Digest) -> Digest {
        let below: Vec<String> = self.layers.iter().map(|layer| layer.diff_id.hex()).collect();
        Digest::of(format!("{diff_id} on {}", below.join(" ")))
    }

    /// The merged tree.
    pub(crate) fn view(&self) -> Result<&View, StepError> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let unread = self.layers.iter().map(|layer| layer.diff_id);
        let unread = unread.filter(|diff_id| self.engine.known_index(diff_id).is_none());
        self.engine.obtain_layers(&unread.collect::<Vec<_>>())?;
        let mut settled: Vec<Arc<Index>> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let index = self.engine.index(&layer.diff_id)?;
            let index = if index.needs_below() {
                Arc::new(Index::clone(&index).settle(&View::new(settled.clone()))?)
            } else {
                index
            };
            settled.push(index);
        }
        Ok(self.view.get_or_init(|| View::new(settled)))
    }

    /// The layers, the lowest first.
    pub(crate) fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.diff_id).collect()
    }

    /// The folders with the files of the layers, the lowest first.
    pub(crate) fn directories(&self) -> Result<&[PathBuf], StepError> {
        if let Some(directories) = self.directories.get() {
            return Ok(directories);
        }
        let directories = self.snapshots(Form::Plain)?;
        Ok(self.directories.get_or_init(|| directories))
    }

    fn snapshots(&self, form: Form) -> Result<Vec<PathBuf>, StepError> {
        let missing = |at: &usize| !self.engine.has_snapshot(&self.layers[*at].diff_id);
        let missing: Vec<usize> = (0..self.layers.len()).filter(missing).collect();
        let far: Vec<Digest> = missing.iter().map(|at| self.layers[*at].diff_id).collect();
        self.engine.obtain_layers(&far)?;
        let snapshot = |at: usize| {
            let below = Rootfs::new(self.engine, self.layers[..at].to_vec());
            self.engine.snapshot(&self.layers[at].diff_id, form, &below)
        };
        each(&missing, &|at| snapshot(*at).map(drop))?;
        (0..self.layers.len()).map(snapshot).collect()
    }

    /// The folders for an overlay, each once: the kernel refuses the same one twice. Of equal
    /// layers the topmost counts; what it says of a path hides what the others say.
    pub(crate) fn overlay_directories(&self) -> Result<Vec<PathBuf>, StepError> {
        let mut seen = HashSet::new();
        let from_top = self.snapshots(Form::Overlay)?.into_iter().rev();
        let mut kept: Vec<PathBuf> = from_top.filter(|path| seen.insert(path.clone())).collect();
        kept.reverse();
        Ok(kept)
    }

    /// The content of the file at `path`.
    pub(crate) fn open(&self, path: &TreePath) -> io::Result<File> {
        let view = self.view().map_err(io::Error::other)?;
        let directories = self.directories().map_err(io::Error::other)?;
        Layers::new(view, directories).open_file(path)
    }

    /// Whether the time of `path` came from a clock or a builder: `SOURCE_DATE_EPOCH` takes its
    /// place, wherever the file is copied.
    pub(crate) fn has_clock_time(&self, path: &TreePath) -> bool {
        let found = self.view().ok().and_then(|view| view.get(path));
        let Some(found) = found else { return false };
        // The root is there without any layer.
        let clock = self.layers.get(found.layer).and_then(|layer| layer.clock.as_ref());
        clock.is_some_and(|clock| is_clock_time(found.entry, clock))
    }

    /// The entries of a layer on top of this that kept a time which came from a clock: a directory
    /// comes along with every change in it.
    pub(crate) fn kept_clock_times(&self, layer: &Index) -> Result<Vec<TreePath>, StepError> {
        let view = self.view()?;
        let kept = layer.entries().iter().filter(|entry| {
            view.get(&entry.path).is_some_and(|below| below.entry.mtime == entry.mtime)
                && self.has_clock_time(&entry.path)
        });
        Ok(kept.map(|entry| entry.path.clone()).collect())
    }

    /// The bytes of a small file such as `/etc/passwd`, through links; `None` if it is not a file.
    pub(crate) fn read_small(&self, path: &TreePath) -> Result<Option<Vec<u8>>, StepError> {
        let view = self.view()?;
        let Ok(resolved) = view.resolve(path, true) else { return Ok(None) };
        if let Some(bytes) = view.inline(&resolved.path) {
            return Ok(Some(bytes.to_vec()));
        }
        let Some(content) = resolved.found.as_ref().and_then(|found| view.file(found)) else {
            return Ok(None);
        };
        if content.size > MOST_SMALL_BYTES {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = self.open(&resolved.path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(StepError::io("read", resolved.path.to_path()))?;
        Ok(Some(bytes))
    }
}

/// More than that is no database of users (BuildKit `file/user_linux.go`).
const MOST_SMALL_BYTES: u64 = 10 << 20;

impl dfbuild_layer::Contents for Rootfs<'_> {
    fn open(&self, entry: &dfbuild_image::Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open(&entry.path)?))
    }

    fn file(&self, entry: &dfbuild_image::Entry) -> io::Result<Option<File>> {
        self.open(&entry.path).map(Some)
    }
}
