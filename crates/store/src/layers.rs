use std::fs;
use std::io;
use std::path::PathBuf;

use dfbuild_image::{Descriptor, Digest, digest_of};

use crate::disk::Change;
use crate::error::{Error, IoContext};
use crate::files::read_checked;
use crate::store::Store;

impl Store {
    /// The encoded index of the layer with this diff id.
    pub fn layer_index(&self, diff_id: &Digest) -> Option<Vec<u8>> {
        fs::read(self.layer_path(diff_id).join("index")).ok()
    }

    /// Keeps the encoded index of a layer.
    pub fn put_layer_index(&self, diff_id: &Digest, index: &[u8]) -> Result<(), Error> {
        let folder = self.layer_path(diff_id);
        self.hold(diff_id);
        self.disk.create_folder(&folder)?;
        self.grew(index.len() as u64);
        self.write(&folder.join("index"), index)
    }

    /// The length of the layer's archive in bytes, if it was noted.
    pub fn layer_size(&self, diff_id: &Digest) -> Option<u64> {
        let text = read_checked(&self.layer_path(diff_id).join("size"))?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    /// Notes the length of the layer's archive in bytes.
    pub fn put_layer_size(&self, diff_id: &Digest, size: u64) -> Result<(), Error> {
        self.write_checked(&self.layer_path(diff_id).join("size"), format!("{size}\n").as_bytes())
    }

    /// The digest of what is in the layer, if it was noted.
    pub fn layer_content(&self, diff_id: &Digest) -> Option<Digest> {
        let text = read_checked(&self.layer_path(diff_id).join("content"))?;
        std::str::from_utf8(&text).ok()?.parse().ok()
    }

    /// Notes the digest of what is in the layer.
    pub fn put_layer_content(&self, diff_id: &Digest, content: &Digest) -> Result<(), Error> {
        self.write_checked(
            &self.layer_path(diff_id).join("content"),
            content.to_string().as_bytes(),
        )
    }

    /// The descriptor of the blob that `compressor` makes of the layer, if that blob is there.
    pub fn layer_blob(&self, diff_id: &Digest, compressor: &str) -> Option<Descriptor> {
        let descriptor = self.known_layer_blob(diff_id, compressor)?;
        self.has_blob(&digest_of(&descriptor)?, descriptor.size()).then_some(descriptor)
    }

    /// Notes which blob `compressor` made of the layer.
    pub fn put_layer_blob(
        &self,
        diff_id: &Digest,
        compressor: &str,
        blob: &Descriptor,
    ) -> Result<(), Error> {
        self.hold(diff_id);
        let path = self.layer_path(diff_id).join(format!("blob.{compressor}"));
        self.write_checked(&path, &dfbuild_image::canonical_json(blob))
    }

    /// Any blob of the layer that is there, whoever compressed it.
    pub fn any_layer_blob(&self, diff_id: &Digest) -> Option<Descriptor> {
        let mut known = self.known_layer_blobs(diff_id).into_iter().map(|(_, blob)| blob);
        known.find(|blob| digest_of(blob).is_some_and(|digest| self.has_blob(&digest, blob.size())))
    }

    /// What is known to be a blob of the layer, by compressor, whether it is there or not: it may
    /// be had from one of its origins.
    pub fn known_layer_blobs(&self, diff_id: &Digest) -> Vec<(String, Descriptor)> {
        self.hold(diff_id);
        let Ok(entries) = fs::read_dir(self.layer_path(diff_id)) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let compressors = names.iter().filter_map(|name| name.strip_prefix("blob."));
        let known = compressors.filter_map(|compressor| {
            Some((compressor.to_owned(), self.known_layer_blob(diff_id, compressor)?))
        });
        known.collect()
    }

    fn known_layer_blob(&self, diff_id: &Digest, compressor: &str) -> Option<Descriptor> {
        self.hold(diff_id);
        let path = self.layer_path(diff_id).join(format!("blob.{compressor}"));
        serde_json::from_slice(&read_checked(&path)?).ok()
    }

    /// Forgets a layer of which not enough is left: what is known of it, and its snapshots.
    pub fn drop_layer(&self, diff_id: &Digest) -> Result<(), Error> {
        self.unmark_snapshots(diff_id)?;
        let folder = self.layer_path(diff_id);
        self.disk.tell(|| Change::Remove(folder.clone()));
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("remove", &folder)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.path("layers").join(diff_id.hex())
    }
}
