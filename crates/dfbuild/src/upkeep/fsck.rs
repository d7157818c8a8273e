use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dfbuild_image::{Descriptor, Digest, Entry, HashingWriter, Kind, Platform, digest_of};
use dfbuild_layer::{Encoding, Index};
use dfbuild_store::Meaning;

use super::records::promised_by;
use crate::engine::Engine;
use crate::error::Error;
use crate::images::blobs::Packing;
use crate::images::layer_ref::LayerRef;

pub use dfbuild_store::{Finding, Looked, Outcome};

/// How to look for damage.
///
/// ```
/// use dfbuild::upkeep::Fsck;
///
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// let mut after_a_crash = Fsck::default();
/// after_a_crash.repair = true;
/// after_a_crash.deep = true;
/// engine.fsck(&after_a_crash, &|finding| println!("{finding:?}"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Fsck {
    /// Make again what can be, and remove what else is damaged, so that it is a miss.
    pub repair: bool,
    /// Read all files of unpacked layers, instead of looking at types and lengths only.
    pub deep: bool,
}

impl Engine {
    /// Looks for damage in the whole store and tells what it finds. Builds may run meanwhile.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// use dfbuild::upkeep::Fsck;
    ///
    /// engine.fsck(&Fsck::default(), &|finding| println!("{finding:?}"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fsck(&self, fsck: &Fsck, tell: &dyn Fn(&Finding)) -> Result<Looked, Error> {
        let meaning = KnownHere { engine: self, deep: fsck.deep };
        Ok(self.store().check(&meaning, fsck.repair, tell)?)
    }
}

/// What the engine knows of the parts of its store.
struct KnownHere<'a> {
    engine: &'a Engine,
    deep: bool,
}

impl Meaning for KnownHere<'_> {
    fn record(&self, bytes: &[u8]) -> Option<Vec<Digest>> {
        promised_by(bytes)
    }

    fn index(&self, bytes: &[u8]) -> Result<Digest, String> {
        Index::decode(bytes).map(|index| index.content_id()).map_err(|error| error.to_string())
    }

    fn snapshot(&self, index: &[u8], folder: &Path) -> Result<(), String> {
        let index = Index::decode(index).map_err(|error| error.to_string())?;
        for entry in index.entries().iter().filter(|entry| entry.kind != Kind::Whiteout) {
            match self.compare(entry, folder) {
                // Of another user's making: that one can look.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
                Err(error) => return Err(format!("/{}: {error}", entry.path)),
                Ok(false) => return Err(format!("/{} is not what it was", entry.path)),
                Ok(true) => {}
            }
        }
        Ok(())
    }

    /// A layer is packed again from its folder, if that gives the same bytes.
    fn restore(&self, image: &Descriptor, blob: &Digest) -> bool {
        let store = self.engine.store();
        let Ok((_, manifest, config)) = store.layout().image(image, &Platform::host()) else {
            return false;
        };
        let mut below: Vec<LayerRef> = Vec::new();
        for (layer, diff_id) in manifest.0.layers().iter().zip(&config.rootfs.diff_ids) {
            let Ok(content_id) = self.engine.content_id(diff_id) else { return false };
            let made =
                LayerRef { diff_id: *diff_id, content_id, clock: None, blob: None, step: None };
            if digest_of(layer).as_ref() == Some(blob) {
                let packing = Packing { encoding: Encoding::default(), times: None };
                return self.engine.has_snapshot(diff_id)
                    && self.engine.finish_layer(&made, &below, &packing).is_ok()
                    && store.has_blob(blob, layer.size());
            }
            below.push(made);
        }
        false
    }
}

impl KnownHere<'_> {
    /// Whether what an entry stands for is there.
    fn compare(&self, entry: &Entry, folder: &Path) -> io::Result<bool> {
        let path = entry.path.below(folder);
        let found = fs::symlink_metadata(&path)?;
        Ok(match &entry.kind {
            Kind::Directory { .. } => found.is_dir(),
            Kind::File { size, digest } => {
                found.is_file()
                    && found.len() == *size
                    && (!self.deep || has_digest(&path, digest)?)
            }
            Kind::Symlink { target } => {
                found.is_symlink() && fs::read_link(&path)?.as_os_str().as_bytes() == target
            }
            Kind::HardLink { target } => {
                same_file(&found, &fs::symlink_metadata(target.below(folder))?)
            }
            // Not everybody can make these; then an empty file stands for them.
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => !found.is_dir(),
            Kind::Whiteout => true,
        })
    }
}

fn has_digest(path: &Path, digest: &Digest) -> io::Result<bool> {
    let mut writer = HashingWriter::new(io::sink());
    io::copy(&mut fs::File::open(path)?, &mut writer)?;
    Ok(writer.finish().1 == *digest)
}

fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use dfbuild_image::Digest;

    use super::*;

    /// Objects are written in place, a page after the other.
    #[test]
    fn what_a_killed_build_left_of_an_object_is_no_damage() {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine::open(root.path()).unwrap();
        let bytes = vec![b'x'; 3 * 4096 + 7];
        let digest = Digest::of(&bytes);
        engine.store().put_object(&digest, &bytes).unwrap();
        let path = root.path().join("objects").join(&digest.hex()[..2]).join(digest.hex());
        let check = |length: usize, expect: &[bool]| {
            fs::write(&path, &bytes[..length]).unwrap();
            let found = Mutex::new(Vec::new());
            let tell = |finding: &Finding| found.lock().unwrap().push(finding.is_damage);
            engine.fsck(&Fsck::default(), &tell).unwrap();
            assert_eq!(*found.lock().unwrap(), expect, "{length}");
        };
        check(bytes.len(), &[]);
        check(0, &[false]);
        check(2 * 4096, &[false]);
        check(4097, &[true]);
    }
}
