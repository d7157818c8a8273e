//! What explains misses on other machines: what steps depended on, and the folders they read.
//!
//! ```text
//! a tar archive in gzip:
//!   objects/HEX   a note of a step, or a node of a folder, as the store has it
//!   history/HEX   the digests of the notes of a step, one a line; HEX is the step's text
//! ```
//! Values of variables are not there, only their digests: an argument of a stage that is in no
//! image may be somebody's secret.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use dfbuild_cache::{Key, Label, Note, children};
use dfbuild_image::{Descriptor, Digest, MediaType, descriptor, digest_of};
use dfbuild_layer::Gzip;
use dfbuild_layer::archive::{Compression, decompress};
use dfbuild_store::Store;

use crate::engine::Engine;
use crate::schedule::keys::text_name;

/// The media type of the archive.
const MEDIA_TYPE: &str = "application/vnd.dfbuild.cache.notes.v1.tar+gzip";

/// More than that nobody fetches to be told why: a step of 50,000 files has 5 MB.
const LARGEST: u64 = 64 << 20;

/// What explains the steps of a cache.
#[derive(Debug, Default)]
pub(super) struct Notes {
    objects: BTreeMap<Digest, Vec<u8>>,
    histories: BTreeMap<Digest, BTreeSet<Digest>>,
}

impl Notes {
    /// Adds what a step of that text depended on, by its note. Returns its note's new digest; `None` if nothing is known.
    pub(super) fn add(&mut self, store: &Store, note: &Digest, text: &str) -> Option<Digest> {
        let note = hidden(Note::decode(&store.object(note)?)?);
        for part in note.key.parts().iter().filter(|part| part.label == Label::SourceFiles) {
            if let Ok(node) = part.value.parse() {
                self.add_node(store, &node);
            }
        }
        let bytes = note.encode();
        let digest = Digest::of(&bytes);
        self.objects.insert(digest, bytes);
        self.histories.entry(text_name(text)).or_default().insert(digest);
        Some(digest)
    }

    fn add_node(&mut self, store: &Store, node: &Digest) {
        if self.objects.contains_key(node) {
            return;
        }
        let Some(bytes) = store.object(node) else { return };
        for child in children(&bytes) {
            self.add_node(store, &child);
        }
        self.objects.insert(*node, bytes);
    }

    /// Puts the archive into the store, if there is something in it.
    pub(super) fn keep(&self, store: &Store) -> io::Result<Option<Descriptor>> {
        if self.objects.is_empty() {
            return Ok(None);
        }
        let mut archive = tar::Builder::new(Gzip::new(Vec::new(), dfbuild_layer::DEFAULT_LEVEL, 1));
        for (digest, bytes) in &self.objects {
            append(&mut archive, &format!("objects/{}", digest.hex()), bytes)?;
        }
        for (name, notes) in &self.histories {
            let lines: Vec<String> = notes.iter().map(ToString::to_string).collect();
            append(&mut archive, &format!("history/{}", name.hex()), lines.join("\n").as_bytes())?;
        }
        let bytes = archive.into_inner()?.finish()?;
        if bytes.len() as u64 > LARGEST {
            return Ok(None);
        }
        let digest = store.put_blob(&bytes).map_err(io::Error::other)?;
        let media_type = MediaType::Other(MEDIA_TYPE.to_owned());
        Ok(Some(descriptor(media_type, digest, bytes.len() as u64)))
    }
}

fn append(archive: &mut tar::Builder<Gzip<Vec<u8>>>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    header.set_mtime(0);
    header.set_cksum();
    archive.append(&header, bytes)
}

/// Takes the notes of a cache into the store. Without them misses are explained less well.
pub(super) fn take(engine: &Engine, blob: &Descriptor) -> Option<()> {
    if blob.size() > LARGEST {
        return None;
    }
    engine.obtain_blob(blob).ok()?;
    let store = engine.store();
    let bytes = store.read_blob(&digest_of(blob)?).ok()?;
    let read = decompress(Compression::Gzip, Box::new(&bytes[..]));
    // Text repeats itself, but not a hundred times.
    let mut archive = tar::Archive::new(read.take(LARGEST * 16));
    for member in archive.entries().ok()? {
        let mut member = member.ok()?;
        let name = String::from_utf8(member.path_bytes().into_owned()).ok()?;
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).ok()?;
        match name.split_once('/')? {
            // Under the digest that it has, whatever it is called.
            ("objects", _) => store.put_object(&Digest::of(&bytes), &bytes).ok()?,
            ("history", hex) => {
                let name = format!("sha256:{hex}").parse().ok()?;
                let text = String::from_utf8(bytes).ok()?;
                for note in text.lines().filter_map(|line| line.parse().ok()) {
                    store.add_history(&name, note).ok()?;
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// A note without the values of variables.
fn hidden(note: Note) -> Note {
    let mut key = Key::new();
    for part in note.key.parts() {
        match part.label {
            Label::Environment => {
                key.content(Label::HiddenEnvironment, &part.name, Digest::of(&part.value));
            }
            label => key.text(label, &part.name, &part.value),
        }
    }
    Note { key, ..note }
}

/// A note with the values of those variables that the step `key` has as well: only the others
/// differ then.
pub(crate) fn revealed(note: Note, key: &Key) -> Note {
    let same = |name: &str, digest: &str| {
        let known = key.parts().iter().find(|part| {
            part.label == Label::Environment
                && part.name == name
                && Digest::of(&part.value).to_string() == digest
        });
        known.map(|part| part.value.clone())
    };
    let mut revealed = Key::new();
    for part in note.key.parts() {
        let hides = part.label == Label::HiddenEnvironment;
        match same(&part.name, &part.value).filter(|_| hides) {
            Some(value) => revealed.text(Label::Environment, &part.name, value),
            None => revealed.text(part.label, &part.name, &part.value),
        }
    }
    Note { key: revealed, ..note }
}

#[cfg(test)]
mod tests {
    use dfbuild_cache::BaseNote;
    use dfbuild_image::Timestamp;

    use super::*;

    fn note(variables: &[(&str, &str)]) -> Note {
        let mut key = Key::new();
        key.text(Label::Argument, "0", "make");
        for (name, value) in variables {
            key.text(Label::Environment, *name, *value);
        }
        Note {
            key,
            base: BaseNote { name: "base".to_owned(), digest: Digest::of("b") },
            after: String::new(),
            created: Timestamp::NO_CLOCK,
            milliseconds: 1,
        }
    }

    #[test]
    fn values_are_only_seen_by_who_has_them() {
        let original = note(&[("A", "secret"), ("B", "2")]);
        let shared = hidden(original.clone());
        assert!(!String::from_utf8(shared.encode()).unwrap().contains("secret"));
        assert_eq!(hidden(shared.clone()), shared);
        assert_eq!(revealed(shared.clone(), &original.key), original);
        let other = revealed(shared.clone(), &note(&[("A", "other"), ("B", "2")]).key);
        assert_eq!(other.key.parts()[1], shared.key.parts()[1]);
        assert_eq!(other.key.parts()[2], original.key.parts()[2]);
    }

    #[test]
    fn an_archive_is_read_back() {
        let root = tempfile::tempdir().unwrap();
        let engines = ["a", "b"].map(|name| Engine::open(root.path().join(name)).unwrap());
        let (object, name) = (b"an object".to_vec(), Digest::of("a step"));
        let digest = Digest::of(&object);
        let notes = Notes {
            objects: BTreeMap::from([(digest, object.clone())]),
            histories: BTreeMap::from([(name, BTreeSet::from([digest]))]),
        };
        let blob = notes.keep(engines[0].store()).unwrap().unwrap();
        assert_eq!(notes.keep(engines[0].store()).unwrap(), Some(blob.clone()));
        let bytes = engines[0].store().read_blob(&digest_of(&blob).unwrap()).unwrap();
        engines[1].store().put_blob(&bytes).unwrap();
        take(&engines[1], &blob).unwrap();
        assert_eq!(engines[1].store().object(&digest), Some(object));
        assert_eq!(engines[1].store().history(&name), [digest]);
        assert_eq!(Notes::default().keep(engines[0].store()).unwrap(), None);
    }
}
