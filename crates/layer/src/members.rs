use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crc32fast::hash as crc32;
use dfbuild_image::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::buffers::Buffers;

/// Where the blocks of an archive lie in a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    blob: Digest,
    level: u32,
    members: Vec<Member>,
}

/// The compressed form of a block, in a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    length: u64,
    crc: u32,
    /// The digest of the blob to the end of this member, in computation.
    state: Vec<u8>,
}

impl Members {
    /// The digest of the blob.
    pub fn blob(&self) -> Digest {
        self.blob
    }
}

/// A compressed block on its way into a blob.
pub(crate) struct Packed {
    bytes: Vec<u8>,
    crc: u32,
    /// Which member of the known blob it is.
    number: Option<usize>,
}

impl Packed {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { crc: crc32(&bytes), bytes, number: None }
    }
}

/// Compressed blocks that are there.
pub(crate) struct Known<'a> {
    /// Number and offset of the member of each block, by its name.
    places: HashMap<Digest, (usize, u64)>,
    blob: Option<(&'a [Member], &'a File)>,
    buffers: Buffers,
}

impl<'a> Known<'a> {
    /// Those of a blob, if there is one, whose blocks have these names, for blobs of `level`. As many of them are in
    /// memory at a time.
    pub(crate) fn new<'n>(
        names: impl Iterator<Item = &'n Digest>,
        blob: Option<(&'a Members, &'a File)>,
        level: u32,
        at_a_time: usize,
    ) -> Self {
        let blob = blob.filter(|(members, _)| members.level == level);
        let blob = blob.map(|(members, file)| (&members.members[..], file));
        let mut offset = 0;
        let members = blob.map(|(members, _)| members).unwrap_or_default();
        let places = names.zip(members).enumerate().map(|(number, (name, member))| {
            let place = (number, offset);
            offset += member.length;
            (*name, place)
        });
        let places = places.collect();
        let buffers = Buffers::new(if blob.is_some() { at_a_time } else { 0 });
        Self { places, blob, buffers }
    }

    /// The member of a block, if it is there and undamaged.
    pub(crate) fn get(&self, name: &Digest) -> Option<Packed> {
        let (number, offset) = *self.places.get(name)?;
        let (members, file) = self.blob?;
        let Member { length, crc, .. } = members[number];
        let mut bytes = self.buffers.take();
        bytes.resize(usize::try_from(length).ok()?, 0);
        let is_it = file.read_exact_at(&mut bytes, offset).is_ok() && crc32(&bytes) == crc;
        let packed = Packed { bytes, crc, number: Some(number) };
        if is_it {
            return Some(packed);
        }
        self.give(packed);
        None
    }

    /// Takes a member back that was written.
    fn give(&self, packed: Packed) {
        if packed.number.is_some() {
            self.buffers.give(packed.bytes);
        }
    }

    /// The digest of the known blob to the end of a member, in computation.
    fn state(&self, number: usize) -> Option<Hasher> {
        Hasher::resume(&self.blob?.0.get(number)?.state)
    }
}

/// Writes the members of a blob. As long as they are those of the known blob their digest is known as well.
pub(crate) struct MemberWriter<'a> {
    out: &'a mut dyn Write,
    known: &'a Known<'a>,
    level: u32,
    hasher: Hasher,
    /// Whether all so far are those of the known blob.
    is_same: bool,
    size: u64,
    members: Vec<Member>,
}

impl<'a> MemberWriter<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, known: &'a Known<'a>, level: u32) -> Self {
        let (hasher, members) = (Hasher::new(), Vec::new());
        Self { out, known, level, hasher, is_same: true, size: 0, members }
    }

    pub(crate) fn put(&mut self, packed: Packed) -> Result<(), Error> {
        let follows = self.is_same && packed.number == Some(self.members.len());
        let digested = packed.number.filter(|_| follows).and_then(|at| self.known.state(at));
        self.is_same = digested.is_some();
        match digested {
            Some(hasher) => self.hasher = hasher,
            None => self.hasher.update(&packed.bytes),
        }
        let (length, crc) = (packed.bytes.len() as u64, packed.crc);
        self.members.push(Member { length, crc, state: self.hasher.state() });
        self.size += length;
        self.out.write_all(&packed.bytes).map_err(Error::write)?;
        self.known.give(packed);
        Ok(())
    }

    /// What was written, and its length.
    pub(crate) fn finish(self) -> (Members, u64) {
        let members =
            Members { blob: self.hasher.finish(), level: self.level, members: self.members };
        (members, self.size)
    }
}
