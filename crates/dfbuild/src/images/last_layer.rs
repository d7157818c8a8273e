//! What is remembered of the layer that a step made last, so that the next one costs what changed.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild_layer::{Earlier, Index, Members, Outline, decode_blocks, encode_blocks};

use crate::engine::Engine;
use crate::images::layer_cache::Form;
use crate::images::lineage::Lineage;

/// The last layer of a lineage.
pub(crate) struct LastLayer {
    outline: Outline,
    /// Its compressed form, if that is still there.
    blob: Option<(Members, File)>,
}

impl LastLayer {
    pub(crate) fn outline(&self) -> &Outline {
        &self.outline
    }

    pub(crate) fn earlier(&self) -> Earlier<'_> {
        let blob = self.blob.as_ref().map(|(members, file)| (members, file));
        Earlier { outline: &self.outline, blob }
    }
}

impl Engine {
    /// The last layer of a lineage, if anything is known of it.
    pub(crate) fn last_layer(&self, lineage: Lineage) -> Option<LastLayer> {
        let (outline, members) = decode_blocks(&fs::read(self.blocks_path(lineage)).ok()?)?;
        let blob = members.and_then(|members| {
            let file = File::open(self.store().blob_path(&members.blob())).ok()?;
            Some((members, file))
        });
        Some(LastLayer { outline, blob })
    }

    /// The files of the last layer and what they are, if they are there as `form`.
    pub(crate) fn last_files(&self, last: &LastLayer, form: Form) -> Option<(Arc<Index>, PathBuf)> {
        let diff_id = last.outline.diff_id();
        let folder = self.store().snapshot(&self.flavour(form), &diff_id)?;
        Some((self.known_index_once(&diff_id)?, folder))
    }

    /// Remembers how a layer was made. Failing to costs time later and nothing else.
    pub(crate) fn remember_blocks(&self, lineage: Lineage, outline: &Outline, members: &Members) {
        let path = self.blocks_path(lineage);
        let bytes = encode_blocks(outline, Some(members));
        let written = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&path))
            .and_then(|mut file| file.write_all(&bytes).map(|()| file));
        let _ = written.map(|file| file.persist(&path));
    }

    fn blocks_path(&self, lineage: Lineage) -> PathBuf {
        self.store().scratch_path(&format!("blocks-{}", lineage.hex()))
    }
}
