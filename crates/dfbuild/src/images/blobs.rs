use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use dfbuild_cache::{ClockTimes, LayerRecord};
use dfbuild_image::{Descriptor, Digest, Entry, HashingWriter, Kind, MediaType, descriptor};
use dfbuild_layer::{
    BlobWriter, Contents, Directory, Encoding, Index, Outline, Sealed, Similar, materialise, pack,
};
use dfbuild_store::{StagedFile, Staging};
use serde::{Deserialize, Serialize};

use crate::damaged::Damaged;
use crate::engine::Engine;
use crate::error::StepError;
use crate::images::last_layer::LastLayer;
use crate::images::layer_ref::{LayerRef, is_clock_time};
use crate::images::lineage::Lineage;
use crate::images::meter::{Counted, archive_size};
use crate::images::packing::PackingTask;
use crate::images::rootfs::Rootfs;

/// A layer as it goes into an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalLayer {
    pub(crate) diff_id: Digest,
    pub(crate) blob: Descriptor,
}

/// In which form the layers of a build go into an image. Those of a base stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packing {
    pub(crate) encoding: Encoding,
    /// Which times change.
    pub(crate) times: Option<Times>,
}

/// Which times `SOURCE_DATE_EPOCH` replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// Those that came from a clock.
    Clock(i64),
    /// Those, and whatever is later than it.
    All(i64),
}

impl Engine {
    /// Makes a layer from an index and its contents, as a folder: something will look into it. What the
    /// last layer of the lineage has as well is neither digested nor written again.
    pub(crate) fn keep_as_snapshot(
        &self,
        staging: &Staging,
        rootfs: &Rootfs<'_>,
        index: Arc<Index>,
        contents: &dyn Contents,
        clock: ClockTimes,
        lineage: Option<Lineage>,
    ) -> Result<LayerRecord, StepError> {
        let _span = tracing::info_span!("placing and digesting a layer");
        let folder = staging.folder("layer")?;
        let Some(lineage) = lineage else {
            return self.keep_plainly(&folder, rootfs, index, contents, clock);
        };
        let watched = self.ending().watch(contents);
        let form = self.form();
        let (below, options) = (rootfs.view()?, self.unpack_options(form));
        let last = self.last_layer(lineage);
        let files = last.as_ref().and_then(|last| self.last_files(last, form));
        let similar = files.as_ref().map(|(index, folder)| Similar::new(index, folder));
        let known = last.as_ref().map(LastLayer::outline);
        let outline = Outline::new_placed(
            &index,
            &watched,
            (&folder, below),
            &options,
            (known, similar.as_ref()),
            threads(),
        )?;
        let Some(outline) = outline else {
            return self.keep_plainly(&folder, rootfs, index, contents, clock);
        };
        let (diff_id, tar_size) = (outline.diff_id(), outline.tar_size());
        self.layers().keep_outline(lineage, outline);
        self.keep_folder(&folder, index, diff_id, tar_size, clock)
    }

    /// The same without anything that is known.
    fn keep_plainly(
        &self,
        folder: &Path,
        rootfs: &Rootfs<'_>,
        index: Arc<Index>,
        contents: &dyn Contents,
        clock: ClockTimes,
    ) -> Result<LayerRecord, StepError> {
        let watched = self.ending().watch(contents);
        let options = self.unpack_options(self.form());
        materialise(&index, &watched, folder, rootfs.view()?, &options)?;
        let mut archive = HashingWriter::new(self.ending().watch(io::sink()));
        pack(&index, &Directory::new(folder), &mut archive)?;
        let (_, diff_id, tar_size) = archive.finish();
        self.keep_folder(folder, index, diff_id, tar_size, clock)
    }

    fn keep_folder(
        &self,
        folder: &Path,
        index: Arc<Index>,
        diff_id: Digest,
        tar_size: u64,
        clock: ClockTimes,
    ) -> Result<LayerRecord, StepError> {
        let (flavour, bytes) = (self.flavour(self.form()), Some(index.allocated()));
        self.store().put_measured_snapshot(&flavour, &diff_id, folder, bytes)?;
        self.keep(index, diff_id, tar_size, clock)
    }

    /// Makes a layer from an index and its contents, as a blob: it goes into the image and nobody
    /// looks into it before. What the last layer of the lineage has as well is not compressed again.
    pub(crate) fn keep_as_blob(
        &self,
        staging: &Staging,
        index: Arc<Index>,
        contents: &dyn Contents,
        clock: ClockTimes,
        task: &PackingTask<'_>,
        lineage: Option<Lineage>,
    ) -> Result<LayerRecord, StepError> {
        let sealed = match (lineage, task.encoding) {
            (Some(lineage), Encoding::Gzip(level)) => {
                self.write_blob_like_last(staging, &index, contents, lineage, level, task)?
            }
            _ => None,
        };
        let sealed = match sealed {
            Some(sealed) => sealed,
            None => *self.write_blob(staging, task, |out| Ok(pack(&index, contents, out)?))?,
        };
        self.keep(index, sealed.diff_id, sealed.tar_size, clock)
    }

    /// Writes a gzip blob with the blocks of the last one where they are the same. `None` for an archive
    /// that has to be written in one go.
    fn write_blob_like_last(
        &self,
        staging: &Staging,
        index: &Index,
        contents: &dyn Contents,
        lineage: Lineage,
        level: u32,
        task: &PackingTask<'_>,
    ) -> Result<Option<Sealed>, StepError> {
        let work = || {
            let watched = Counted(self.ending().watch(contents), &task.meter);
            let last = self.last_layer(lineage);
            let earlier = last.as_ref().map(LastLayer::earlier);
            let mut file = staging.file()?;
            let made = Outline::new_packed(index, &watched, level, earlier, threads(), &mut file)?;
            let Some((outline, sealed, members)) = made else { return Ok(None) };
            self.put_sealed(file, sealed, Encoding::Gzip(level))?;
            self.remember_blocks(lineage, &outline, &members);
            Ok(Some(sealed))
        };
        task.run(work, |made| made.as_ref().map(blob_of))
    }

    /// Keeps what is known of a layer that is in place.
    pub(crate) fn keep(
        &self,
        index: Arc<Index>,
        diff_id: Digest,
        tar_size: u64,
        clock: ClockTimes,
    ) -> Result<LayerRecord, StepError> {
        let content_id = index.content_id();
        self.keep_index(&diff_id, index, tar_size)?;
        Ok(LayerRecord { diff_id, content_id, tar_size, clock })
    }

    /// The layer as it goes into an image: packed if it is not yet. `below` are the layers under
    /// it.
    pub(crate) fn finish_layer(
        &self,
        layer: &LayerRef,
        below: &[LayerRef],
        packing: &Packing,
    ) -> Result<FinalLayer, StepError> {
        let diff_id = layer.diff_id;
        if let Some(blob) = &layer.blob {
            return Ok(FinalLayer { diff_id, blob: blob.clone() });
        }
        if let (Some(times), Some(clock)) = (packing.times, &layer.clock) {
            return self.derive(layer, below, clock, times, packing.encoding);
        }
        if let Some(blob) = self.blob_by(&diff_id, &compressor(packing.encoding)) {
            return Ok(FinalLayer { diff_id, blob });
        }
        if self.has_snapshot(&diff_id) {
            let index = self.index(&diff_id)?;
            return self.pack_from_snapshot(layer, below, &index, packing.encoding);
        }
        // Only the compression changes, so nothing needs to be unpacked.
        let size = self.store().layer_size(&diff_id).unwrap_or(0);
        let task = self.packing(packing.encoding, layer.step, size);
        let (blob, archive) = self.open_archive(&diff_id)?;
        let mut archive = self.ending().watch(archive);
        let path = self.store().blob_path(&blob);
        let staging = self.store().stage()?;
        let sealed = self.write_blob(&staging, &task, |out| {
            io::copy(&mut archive, out).map(drop).map_err(StepError::io("read", path))
        })?;
        if sealed.diff_id != diff_id {
            return Err(StepError::Damaged(Damaged::Blob(blob)));
        }
        Ok(sealed.into())
    }

    /// The layer with other times. Which one it is, is remembered: the epoch is in no key.
    fn derive(
        &self,
        layer: &LayerRef,
        below: &[LayerRef],
        clock: &ClockTimes,
        times: Times,
        encoding: Encoding,
    ) -> Result<FinalLayer, StepError> {
        let name = compressor(encoding);
        let key = times.key_of(&layer.diff_id, &name);
        let known = self.store().record(&key);
        let known = known.and_then(|bytes| serde_json::from_slice::<FinalLayer>(&bytes).ok());
        let there =
            |known: &FinalLayer| self.blob_by(&known.diff_id, &name).as_ref() == Some(&known.blob);
        if let Some(known) = known.filter(there) {
            return Ok(known);
        }
        let index = self.index(&layer.diff_id)?;
        let derived = with_times(&index, clock, times)?;
        let last = self.pack_from_snapshot(layer, below, &derived, encoding)?;
        self.store().put_record(key, dfbuild_image::canonical_json(&last));
        Ok(last)
    }

    fn pack_from_snapshot(
        &self,
        layer: &LayerRef,
        below: &[LayerRef],
        index: &Index,
        encoding: Encoding,
    ) -> Result<FinalLayer, StepError> {
        let stack = below.iter().chain([layer]).cloned().collect();
        let rootfs = Rootfs::new(self, stack);
        let folder = rootfs.directories()?.last().expect("the layer itself is there").clone();
        let staging = self.store().stage()?;
        let contents = Directory::new(folder);
        let task = self.packing(encoding, layer.step, archive_size(index));
        if let Some(last) = self.pack_outlined(&staging, index, &contents, layer, &task)? {
            return Ok(last);
        }
        let sealed = self.write_blob(&staging, &task, |out| Ok(pack(index, &contents, out)?))?;
        self.store().put_layer_size(&sealed.diff_id, sealed.tar_size)?;
        Ok(sealed.into())
    }

    /// Puts a layer into the store as a blob: whatever archive `write` gives.
    pub(crate) fn put_layer(
        &self,
        staging: &Staging,
        encoding: Encoding,
        write: impl FnOnce(&mut dyn Write) -> Result<(), StepError>,
    ) -> Result<FinalLayer, StepError> {
        let task = self.packing(encoding, None, 0);
        self.write_blob(staging, &task, write).map(FinalLayer::from)
    }

    /// Packs a layer that was made in this process with what is known of its blocks. `None` for others.
    fn pack_outlined(
        &self,
        staging: &Staging,
        index: &Index,
        contents: &dyn Contents,
        layer: &LayerRef,
        task: &PackingTask<'_>,
    ) -> Result<Option<FinalLayer>, StepError> {
        let encoding = task.encoding;
        let (Some((lineage, outline)), Encoding::Gzip(level)) =
            (self.layers().outline(&layer.diff_id), encoding)
        else {
            return Ok(None);
        };
        if *index != *self.index(&layer.diff_id)? {
            // With other times it is another archive, with a history of its own.
            let lineage = lineage.with_other_times();
            let sealed =
                self.write_blob_like_last(staging, index, contents, lineage, level, task)?;
            let Some(sealed) = sealed else { return Ok(None) };
            self.store().put_layer_size(&sealed.diff_id, sealed.tar_size)?;
            return Ok(Some(SealedAs { sealed, encoding }.into()));
        }
        let work = || {
            let watched = Counted(self.ending().watch(contents), &task.meter);
            let last = self.last_layer(lineage);
            let earlier = last.as_ref().map(LastLayer::earlier);
            let mut file = staging.file()?;
            let packed = outline.pack(index, &watched, level, earlier, threads(), &mut file)?;
            let Some((sealed, members)) = packed else { return Ok(None) };
            let sealed = self.put_sealed(file, sealed, encoding)?;
            self.remember_blocks(lineage, &outline, &members);
            self.store().put_layer_size(&sealed.diff_id, sealed.tar_size)?;
            Ok(Some(sealed))
        };
        let sealed = task.run(work, |made| made.as_ref().map(|sealed| blob_of(sealed)))?;
        Ok(sealed.map(FinalLayer::from))
    }

    /// Writes a blob into the store: whatever archive `write` gives.
    fn write_blob(
        &self,
        staging: &Staging,
        task: &PackingTask<'_>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), StepError>,
    ) -> Result<SealedAs, StepError> {
        let work = || {
            let file = staging.file()?;
            let path = file.path().to_owned();
            let failed = |error| StepError::io("write", &path)(error);
            let blob = BlobWriter::new(file, task.encoding, threads()).map_err(failed)?;
            let mut blob = Counted(self.ending().watch(blob), &task.meter);
            write(&mut blob)?;
            blob.flush().map_err(failed)?;
            let (file, sealed) = blob.0.into_inner().finish().map_err(failed)?;
            self.put_sealed(file, sealed, task.encoding)
        };
        task.run(work, |sealed| Some(blob_of(sealed)))
    }

    /// Puts a blob that was written into the store.
    fn put_sealed(
        &self,
        file: StagedFile,
        sealed: Sealed,
        encoding: Encoding,
    ) -> Result<SealedAs, StepError> {
        self.store().put_staged(file, &sealed.blob_digest)?;
        let sealed = SealedAs { sealed, encoding };
        let descriptor = sealed.descriptor();
        self.store().put_layer_blob(&sealed.diff_id, &compressor(encoding), &descriptor)?;
        Ok(sealed)
    }
}

/// A blob that is in the store, and how it is written.
#[derive(Debug, Clone, Copy)]
struct SealedAs {
    sealed: Sealed,
    encoding: Encoding,
}

impl std::ops::Deref for SealedAs {
    type Target = Sealed;

    fn deref(&self) -> &Sealed {
        &self.sealed
    }
}

impl SealedAs {
    fn descriptor(&self) -> Descriptor {
        let media_type = match self.encoding {
            Encoding::Gzip(_) => MediaType::ImageLayerGzip,
            Encoding::Zstd(_) => MediaType::ImageLayerZstd,
            Encoding::Plain => MediaType::ImageLayer,
        };
        descriptor(media_type, self.blob_digest, self.blob_size)
    }
}

impl From<SealedAs> for FinalLayer {
    fn from(sealed: SealedAs) -> Self {
        Self { diff_id: sealed.diff_id, blob: sealed.descriptor() }
    }
}

fn blob_of(sealed: &Sealed) -> (Digest, u64) {
    (sealed.blob_digest, sealed.blob_size)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The encoding as the store calls it.
pub(crate) fn compressor(encoding: Encoding) -> String {
    encoding.id().replace(' ', "-")
}

fn with_times(index: &Index, clock: &ClockTimes, times: Times) -> Result<Index, StepError> {
    let entries = index.entries().iter().map(|entry| {
        let mtime = times.of(entry, clock);
        Entry { mtime, ..entry.clone() }
    });
    Ok(Index::new(entries.collect())?)
}

impl Times {
    /// The key under which a layer with these times is found.
    pub(crate) fn key_of(self, diff_id: &Digest, compressor: &str) -> Digest {
        Digest::of(match self {
            Self::Clock(epoch) => format!("epoch 1 {diff_id} {epoch} {compressor}"),
            Self::All(epoch) => format!("epoch of all 1 {diff_id} {epoch} {compressor}"),
        })
    }

    /// Which times of a layer with these times are still not the user's.
    pub(crate) fn clock_after(self, clock: &ClockTimes) -> ClockTimes {
        let (Self::Clock(epoch) | Self::All(epoch)) = self;
        match clock {
            ClockTimes::Since(_) | ClockTimes::At(_) => ClockTimes::At(epoch),
            ClockTimes::Paths(paths) => ClockTimes::Paths(paths.clone()),
        }
    }

    /// The time of an entry of a layer with these times. Whiteouts have none.
    pub(crate) fn of(self, entry: &Entry, clock: &ClockTimes) -> i64 {
        match self {
            _ if entry.kind == Kind::Whiteout => entry.mtime,
            Self::Clock(epoch) => at_epoch(entry, clock, epoch),
            Self::All(epoch) => at_epoch(entry, clock, epoch).min(epoch),
        }
    }
}

/// The time of an entry, with `epoch` in the place of one that is not the user's.
fn at_epoch(entry: &Entry, clock: &ClockTimes, epoch: i64) -> i64 {
    if is_clock_time(entry, clock) { epoch } else { entry.mtime }
}
