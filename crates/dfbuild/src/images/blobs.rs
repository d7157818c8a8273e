use std::io::{self, Write};

use dfbuild_cache::{ClockTimes, LayerRecord};
use dfbuild_image::{Descriptor, Digest, Entry, HashingWriter, Kind, MediaType, descriptor};
use dfbuild_layer::{
    BlobWriter, Contents, DEFAULT_LEVEL, Directory, GZIP_ID, Index, Sealed, materialise, pack,
};
use dfbuild_store::Staging;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::StepError;
use crate::images::layers::{LayerRef, Rootfs};

/// A layer as it goes into an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalLayer {
    pub(crate) diff_id: Digest,
    pub(crate) blob: Descriptor,
}

impl Engine {
    /// Makes a layer from an index and its contents, as a folder in overlay form: something will
    /// look into it.
    pub(crate) fn keep_as_snapshot(
        &self,
        staging: &Staging,
        rootfs: &Rootfs<'_>,
        index: Index,
        contents: &dyn Contents,
        clock: ClockTimes,
    ) -> Result<LayerRecord, StepError> {
        let folder = staging.folder("layer")?;
        let contents = self.ending().watch(contents);
        materialise(&index, &contents, &folder, rootfs.view()?, &self.unpack_options())?;
        let mut archive = HashingWriter::new(self.ending().watch(io::sink()));
        pack(&index, &Directory::new(&folder), &mut archive)?;
        let (_, diff_id, tar_size) = archive.finish();
        self.store().put_snapshot(&self.flavour(), &diff_id, &folder)?;
        self.keep(index, diff_id, tar_size, clock)
    }

    /// Makes a layer from an index and its contents, as a compressed blob: it goes into the image
    /// and nobody looks into it before.
    pub(crate) fn keep_as_blob(
        &self,
        staging: &Staging,
        index: Index,
        contents: &dyn Contents,
        clock: ClockTimes,
    ) -> Result<LayerRecord, StepError> {
        let sealed = self.write_blob(staging, &index, contents)?;
        self.keep(index, sealed.diff_id, sealed.tar_size, clock)
    }

    /// Keeps what is known of a layer that is in place.
    pub(crate) fn keep(
        &self,
        index: Index,
        diff_id: Digest,
        tar_size: u64,
        clock: ClockTimes,
    ) -> Result<LayerRecord, StepError> {
        let content_id = index.content_id();
        self.keep_index(&diff_id, index, tar_size)?;
        Ok(LayerRecord { diff_id, content_id, tar_size, clock })
    }

    /// The layer as it goes into an image: packed if it is not yet, and with `epoch` in the place
    /// of the times that are not the user's. `below` are the layers under it.
    pub(crate) fn finish_layer(
        &self,
        layer: &LayerRef,
        below: &[LayerRef],
        epoch: Option<i64>,
    ) -> Result<FinalLayer, StepError> {
        let diff_id = layer.diff_id;
        if let Some(blob) = &layer.blob {
            return Ok(FinalLayer { diff_id, blob: blob.clone() });
        }
        if let (Some(epoch), Some(clock)) = (epoch, &layer.clock) {
            return self.derive(layer, below, clock, epoch);
        }
        if let Some(blob) = self.store().layer_blob(&diff_id, &compressor()) {
            return Ok(FinalLayer { diff_id, blob });
        }
        let index = self.index(&diff_id)?;
        self.pack_from_snapshot(layer, below, &index)
    }

    /// The layer with other times. Which one it is, is remembered: the epoch is in no key.
    fn derive(
        &self,
        layer: &LayerRef,
        below: &[LayerRef],
        clock: &ClockTimes,
        epoch: i64,
    ) -> Result<FinalLayer, StepError> {
        let key = Digest::of(format!("epoch 1 {} {epoch} {}", layer.diff_id, compressor()));
        let known = self.store().record(&key);
        let known = known.and_then(|bytes| serde_json::from_slice::<FinalLayer>(&bytes).ok());
        let there = |known: &FinalLayer| {
            self.store().layer_blob(&known.diff_id, &compressor()).as_ref() == Some(&known.blob)
        };
        if let Some(known) = known.filter(there) {
            return Ok(known);
        }
        let index = self.index(&layer.diff_id)?;
        let derived = with_epoch(&index, clock, epoch)?;
        let last = self.pack_from_snapshot(layer, below, &derived)?;
        self.store().put_record(key, dfbuild_image::canonical_json(&last));
        Ok(last)
    }

    fn pack_from_snapshot(
        &self,
        layer: &LayerRef,
        below: &[LayerRef],
        index: &Index,
    ) -> Result<FinalLayer, StepError> {
        let stack = below.iter().chain([layer]).cloned().collect();
        let rootfs = Rootfs::new(self, stack);
        let folder = rootfs.directories()?.last().expect("the layer itself is there").clone();
        let staging = self.store().stage()?;
        let sealed = self.write_blob(&staging, index, &Directory::new(folder))?;
        self.store().put_layer_size(&sealed.diff_id, sealed.tar_size)?;
        let blob = gzip_descriptor(&sealed);
        Ok(FinalLayer { diff_id: sealed.diff_id, blob })
    }

    fn write_blob(
        &self,
        staging: &Staging,
        index: &Index,
        contents: &dyn Contents,
    ) -> Result<Sealed, StepError> {
        let file = staging.file()?;
        let path = file.path().to_owned();
        let mut writer = BlobWriter::new(file, DEFAULT_LEVEL, threads());
        pack(index, &self.ending().watch(contents), &mut writer)?;
        writer.flush().map_err(StepError::io("write", &path))?;
        let (file, sealed) = writer.finish().map_err(StepError::io("write", &path))?;
        self.store().put_staged(file, &sealed.blob_digest)?;
        self.store().put_layer_blob(&sealed.diff_id, &compressor(), &gzip_descriptor(&sealed))?;
        Ok(sealed)
    }
}

fn gzip_descriptor(sealed: &Sealed) -> Descriptor {
    descriptor(MediaType::ImageLayerGzip, sealed.blob_digest, sealed.blob_size)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The compressor as part of a file name.
fn compressor() -> String {
    GZIP_ID.replace(' ', "-")
}

fn with_epoch(index: &Index, clock: &ClockTimes, epoch: i64) -> Result<Index, StepError> {
    let entries = index.entries().iter().map(|entry| {
        let mtime = at_epoch(entry, clock, epoch);
        Entry { mtime, ..entry.clone() }
    });
    Ok(Index::new(entries.collect())?)
}

/// The time of an entry, with `epoch` in the place of one that is not the user's.
pub(crate) fn at_epoch(entry: &Entry, clock: &ClockTimes, epoch: i64) -> i64 {
    if is_clock_time(entry, clock) { epoch } else { entry.mtime }
}

/// Whether the time of an entry came from a clock or from the builder.
pub(crate) fn is_clock_time(entry: &Entry, clock: &ClockTimes) -> bool {
    let from_clock = match clock {
        ClockTimes::Since(start) => entry.mtime >= *start,
        ClockTimes::Paths(paths) => paths.binary_search(&entry.path).is_ok(),
    };
    from_clock && entry.kind != Kind::Whiteout
}
