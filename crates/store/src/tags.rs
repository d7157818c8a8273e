use std::fs;
use std::os::unix::fs::MetadataExt;

use dfbuild_image::{Descriptor, DescriptorExt, Index, REF_NAME_ANNOTATION, Reference};
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext};
use crate::files::read_checked;
use crate::lock_file::{LockFile, Mode};
use crate::store::Store;

/// An image that has a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The name.
    pub reference: Reference,
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// When it was given that name, seconds since 1970-01-01 UTC.
    pub tagged: i64,
}

/// The content of a file in `tags/`.
#[derive(Serialize, Deserialize)]
struct TagFile {
    reference: String,
    descriptor: Descriptor,
}

impl Store {
    /// Names an image. Its blobs are synced before, so the name never promises what a crash took.
    pub fn tag(&self, reference: &Reference, descriptor: &Descriptor) -> Result<(), Error> {
        let synced = self.commit()?;
        // Nothing to write, and a store that cannot be written to has nothing against it.
        if self.resolve(reference).as_ref() == Some(descriptor) {
            return Ok(());
        }
        if !synced {
            self.disk.sync_all(self.root())?;
        }
        let file = TagFile { reference: reference.to_string(), descriptor: descriptor.clone() };
        let path = self.path("tags").join(file_name(reference));
        self.write_durably(&path, &dfbuild_image::canonical_json(&file))?;
        self.write_index()
    }

    /// Removes a name. Says whether it was there.
    pub fn untag(&self, reference: &Reference) -> Result<bool, Error> {
        let path = self.path("tags").join(file_name(reference));
        let removed = self.disk.remove_file(&path)?;
        if removed {
            self.write_index()?;
        }
        Ok(removed)
    }

    /// What the name stands for.
    pub fn resolve(&self, reference: &Reference) -> Option<Descriptor> {
        let bytes = read_checked(&self.path("tags").join(file_name(reference)))?;
        serde_json::from_slice::<TagFile>(&bytes).ok().map(|file| file.descriptor)
    }

    /// All named images by name. A tag file that cannot be read is left out.
    pub fn tags(&self) -> Result<Vec<Tag>, Error> {
        let folder = self.path("tags");
        let mut tags = Vec::new();
        for entry in fs::read_dir(&folder).context("read", &folder)? {
            let entry = entry.context("read", &folder)?;
            let tag = read_checked(&entry.path()).and_then(|bytes| {
                let file: TagFile = serde_json::from_slice(&bytes).ok()?;
                let tagged = entry.metadata().ok()?.mtime();
                let reference = file.reference.parse().ok()?;
                Some(Tag { reference, descriptor: file.descriptor, tagged })
            });
            tags.extend(tag);
        }
        tags.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(tags)
    }

    /// Derives `index.json` from the tags, under a lock: of two builds that end at the same time,
    /// the second must see the tag of the first.
    pub(crate) fn write_index(&self) -> Result<(), Error> {
        let path = self.path("index.lock");
        let _turn = LockFile::wait(&path, Mode::Exclusive).context("lock", &path)?;
        self.write(&self.path("index.json"), &self.index_of_tags()?)
    }

    /// Whether `index.json` lists the tags.
    pub(crate) fn index_is_current(&self) -> Result<bool, Error> {
        let path = self.path("index.lock");
        let _turn = LockFile::wait(&path, Mode::Exclusive).context("lock", &path)?;
        let expect = self.index_of_tags()?;
        Ok(fs::read(self.path("index.json")).is_ok_and(|bytes| bytes == expect))
    }

    fn index_of_tags(&self) -> Result<Vec<u8>, Error> {
        let manifests = self.tags()?.into_iter().map(|tag| {
            let name = tag.reference.familiar_name();
            let short = match &tag.reference.tag {
                Some(version) => format!("{name}:{version}"),
                None => name,
            };
            tag.descriptor.with_annotations([
                (REF_NAME_ANNOTATION, short),
                ("io.containerd.image.name", tag.reference.to_string()),
            ])
        });
        Ok(Index::new(manifests.collect()).to_json())
    }
}

/// The reference as one file name: `%` and `/` as in a URL.
fn file_name(reference: &Reference) -> String {
    reference.to_string().replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use dfbuild_image::{Digest, MediaType, descriptor};

    use super::*;

    #[test]
    fn tag_is_found_by_name_and_in_the_layout() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let manifest = descriptor(MediaType::ImageManifest, Digest::of("m"), 1);
        for name in ["base", "localhost:5000/a/b:1"] {
            store.tag(&name.parse().unwrap(), &manifest).unwrap();
        }
        assert_eq!(store.resolve(&"base:latest".parse().unwrap()), Some(manifest));
        assert_eq!(store.tags().unwrap().len(), 2);
        assert!(store.layout().find(Some("base:latest")).is_ok());
        assert!(store.layout().find(Some("1")).is_ok());
        assert!(store.untag(&"base".parse().unwrap()).unwrap());
        assert!(!store.untag(&"base".parse().unwrap()).unwrap());
        assert!(matches!(store.layout().find(Some("base:latest")), Err(Error::NoTag { .. })));
    }
}
