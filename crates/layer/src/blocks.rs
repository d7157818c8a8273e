use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use crc32fast::hash as crc32;
use dfbuild_image::{Digest, Hasher, Kind};
use serde::{Deserialize, Serialize};

use crate::blob::Sealed;
use crate::buffers::Buffers;
use crate::cutter::MOST;
use crate::gzip::BlockCompressor;
use crate::members::{Known, MemberWriter, Members, Packed};
use crate::ordered::{in_order, under_way};
use crate::placing::{Hand, Placing};
use crate::plan::{Plan, Planned};
use crate::{Contents, Error, Index, Similar, UnpackOptions, View};

/// What is remembered of the blocks of an archive, so that the next one like it costs what changed.
///
/// ```text
/// file = "dfbuild blocks 2\n" SHA-256(body) body
/// body = postcard of the outline and of the members, if it was compressed
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    diff_id: Digest,
    tar_size: u64,
    blocks: Vec<Block>,
}

/// A block of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    name: Digest,
    crc: u32,
    /// The digest of the archive to the end of this block, in computation.
    state: Vec<u8>,
}

/// A layer that was made before, and its blob.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// Its archive.
    pub outline: &'a Outline,
    /// Where its compressed blocks are, if they are.
    pub blob: Option<(&'a Members, &'a File)>,
}

const MAGIC: &[u8] = b"dfbuild blocks 2\n";

impl Outline {
    /// The digest of the archive.
    pub fn diff_id(&self) -> Digest {
        self.diff_id
    }

    /// The length of the archive.
    pub fn tar_size(&self) -> u64 {
        self.tar_size
    }

    /// The outline of the archive that [`pack`](crate::pack()) writes. What `earlier` has as well is not
    /// digested again up to the first difference, and after it only read. `None` for an archive that is
    /// cut in another way than its index says.
    ///
    /// # Errors
    /// [`Error::Changed`] for a file that differs from its entry.
    pub fn new(
        index: &Index,
        contents: &dyn Contents,
        earlier: Option<&Self>,
        threads: usize,
    ) -> Result<Option<Self>, Error> {
        let Some(plan) = Plan::new(index) else { return Ok(None) };
        let outlining = Outlining::new(&plan, earlier);
        outlining.run(contents, threads, &mut |_| Ok(()), &Work::default()).map(Some)
    }

    /// Makes the outline, and places the layer in the empty directory `dest` as
    /// [`materialise`](crate::materialise()) does: each file is read once. Those that a `similar` layer has
    /// as well are not made anew but become further names of the same files.
    pub fn new_placed(
        index: &Index,
        contents: &dyn Contents,
        (dest, below): (&Path, &View),
        options: &UnpackOptions,
        (earlier, similar): (Option<&Self>, Option<&Similar<'_>>),
        threads: usize,
    ) -> Result<Option<Self>, Error> {
        let Some(plan) = Plan::new(index) else { return Ok(None) };
        let placing = Placing::new(index, contents, dest, below, options, similar);
        let work = Work { packing: None, placing: Some(&placing) };
        let outlining = Outlining::new(&plan, earlier);
        let outline = outlining.run(contents, threads, &mut |_| Ok(()), &work)?;
        placing.finish()?;
        Ok(Some(outline))
    }

    /// Writes the blob of this archive, which is that of `index`: the bytes that a
    /// [`BlobWriter`](crate::BlobWriter) writes with gzip at `level`. Blocks that `earlier` has compressed
    /// are taken from there, and neither read nor compressed.
    ///
    /// # Errors
    /// [`Error::Changed`] for a file that differs from what it was when the outline was made.
    pub fn pack(
        &self,
        index: &Index,
        contents: &dyn Contents,
        level: u32,
        earlier: Option<Earlier<'_>>,
        threads: usize,
        out: &mut dyn Write,
    ) -> Result<Option<(Sealed, Members)>, Error> {
        let Some(plan) = Plan::new(index).filter(|plan| self.is_of(plan)) else { return Ok(None) };
        let count = plan.blocks.len();
        let known = known_members(earlier, level, threads);
        let mut writer = MemberWriter::new(out, &known, level);
        let member = |tool: &mut Tool, at: usize| -> Result<Packed, Error> {
            let (planned, block): (&Planned, &Block) = (&plan.blocks[at], &self.blocks[at]);
            if let Some(member) = known.get(&planned.name) {
                return Ok(member);
            }
            plan.read(planned, contents, false, &mut tool.bytes)?;
            if crc32(&tool.bytes) != block.crc {
                return Err(changed(&plan, planned, contents));
            }
            Ok(Packed::new(tool.compressor.compress(&tool.bytes)))
        };
        let tool = || Tool::new(level);
        in_order(count, threads, tool, member, |at, member| {
            contents.advanced(plan.blocks[at].length as u64);
            writer.put(member)
        })?;
        Ok(Some(self.sealed(writer)))
    }

    /// Makes outline and blob at once: each file is read once.
    pub fn new_packed(
        index: &Index,
        contents: &dyn Contents,
        level: u32,
        earlier: Option<Earlier<'_>>,
        threads: usize,
        out: &mut dyn Write,
    ) -> Result<Option<(Self, Sealed, Members)>, Error> {
        let Some(plan) = Plan::new(index) else { return Ok(None) };
        let known = known_members(earlier, level, threads);
        let mut writer = MemberWriter::new(out, &known, level);
        let outlining = Outlining::new(&plan, earlier.map(|earlier| earlier.outline));
        let work = Work { packing: Some((level, &known)), placing: None };
        let outline = outlining.run(contents, threads, &mut |member| writer.put(member), &work)?;
        let (sealed, members) = outline.sealed(writer);
        Ok(Some((outline, sealed, members)))
    }

    /// What came of the blob of this archive.
    fn sealed(&self, writer: MemberWriter<'_>) -> (Sealed, Members) {
        let (members, blob_size) = writer.finish();
        let (diff_id, tar_size) = (self.diff_id, self.tar_size);
        (Sealed { diff_id, tar_size, blob_digest: members.blob(), blob_size }, members)
    }

    fn is_of(&self, plan: &Plan<'_>) -> bool {
        self.blocks.len() == plan.blocks.len()
            && self
                .blocks
                .iter()
                .zip(&plan.blocks)
                .all(|(block, planned)| block.name == planned.name)
    }
}

/// Outline and members as bytes.
pub fn encode_blocks(outline: &Outline, members: Option<&Members>) -> Vec<u8> {
    let body =
        postcard::to_stdvec(&(outline, members)).expect("a growing vector takes every value");
    [MAGIC, Digest::of(&body).as_bytes(), &body].concat()
}

/// Outline and members from what [`encode_blocks`] gave; `None` for anything else.
pub fn decode_blocks(bytes: &[u8]) -> Option<(Outline, Option<Members>)> {
    let (digest, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    (Digest::of(body).as_bytes() == digest).then(|| postcard::from_bytes(body).ok())?
}

/// The error for a block that is not what it was: which file it is, if that can be found out.
fn changed(plan: &Plan<'_>, planned: &Planned, contents: &dyn Contents) -> Error {
    let found = plan.read(planned, contents, true, &mut Vec::new()).err();
    let parts = || plan.parts(planned).first().map(|part| part.entry.path.clone());
    found.unwrap_or_else(|| Error::Changed { path: parts().unwrap_or_default() })
}

/// The compressed blocks of an earlier layer that can be used.
fn known_members(earlier: Option<Earlier<'_>>, level: u32, threads: usize) -> Known<'_> {
    let names = earlier.into_iter().flat_map(|earlier| &earlier.outline.blocks);
    let blob = earlier.and_then(|earlier| earlier.blob);
    Known::new(names.map(|block| &block.name), blob, level, under_way(threads))
}

/// What a thread compresses with.
struct Tool {
    compressor: BlockCompressor,
    bytes: Vec<u8>,
}

impl Tool {
    fn new(level: u32) -> Self {
        // One byte more for what a file must not have.
        Self { compressor: BlockCompressor::ready(level), bytes: Vec::with_capacity(MOST + 1) }
    }
}

/// What is to be done with each block beside digesting it.
#[derive(Default)]
struct Work<'a> {
    /// To be compressed at a level, unless it is known.
    packing: Option<(u32, &'a Known<'a>)>,
    /// Its files are to be placed.
    placing: Option<&'a Placing<'a>>,
}

/// What a thread works with.
struct Tools<'a> {
    compressor: Option<BlockCompressor>,
    hand: Option<Hand<'a>>,
}

impl<'a> Work<'a> {
    /// The compressed form of a block that is known.
    fn known(&self, name: &Digest) -> Option<Packed> {
        self.packing.and_then(|(_, known)| known.get(name))
    }

    /// Does what is to be done with the block `at`, whose bytes are here if they were needed.
    fn carry_out(
        &self,
        tools: &mut Tools<'a>,
        plan: &Plan<'_>,
        at: usize,
        bytes: Option<&[u8]>,
    ) -> Result<Option<Packed>, Error> {
        if let Some(placing) = self.placing {
            let hand = match &mut tools.hand {
                Some(hand) => hand,
                none => none.insert(placing.hand()?),
            };
            for (entry, range) in plan.entries(at) {
                let content = range.and_then(|range| bytes?.get(range));
                hand.put(entry, content)?;
            }
        }
        let compressor = tools.compressor.as_mut().zip(bytes);
        Ok(compressor.map(|(compressor, bytes)| Packed::new(compressor.compress(bytes))))
    }
}

/// What takes the compressed blocks.
type Sink<'a> = dyn FnMut(Packed) -> Result<(), Error> + 'a;

/// An outline in the making.
struct Outlining<'a> {
    plan: &'a Plan<'a>,
    /// Of the first blocks, which are those of an earlier archive.
    blocks: Vec<Block>,
    hasher: Hasher,
    /// Blocks of the earlier archive: their checksums say that nothing has changed.
    checksums: HashMap<Digest, u32>,
    /// The digest of a file that lies in several blocks, in computation.
    file: Hasher,
}

/// What became of a block.
struct Done {
    bytes: Option<Vec<u8>>,
    crc: u32,
    member: Option<Packed>,
}

impl<'a> Outlining<'a> {
    fn new(plan: &'a Plan<'a>, earlier: Option<&Outline>) -> Self {
        let known = earlier.map(|earlier| &earlier.blocks[..]).unwrap_or_default();
        let same = known.iter().zip(&plan.blocks).take_while(|(old, new)| old.name == new.name);
        let mut same = same.count();
        // A file that lies in several blocks is digested from its beginning.
        while same > 0 && plan.blocks.get(same).is_some_and(Planned::begins_inside) {
            same -= 1;
        }
        let resumed = same.checked_sub(1).and_then(|last| Hasher::resume(&known[last].state));
        let kept = if resumed.is_some() { &known[..same] } else { &[] };
        Self {
            plan,
            blocks: kept.to_vec(),
            hasher: resumed.unwrap_or_default(),
            checksums: known.iter().map(|block| (block.name, block.crc)).collect(),
            file: Hasher::new(),
        }
    }

    fn run<'w>(
        mut self,
        contents: &dyn Contents,
        threads: usize,
        sink: &mut Sink<'_>,
        work: &Work<'w>,
    ) -> Result<Outline, Error> {
        let plan = self.plan;
        let (kept, checksums) = (self.blocks.len(), std::mem::take(&mut self.checksums));
        let is_packed = work.packing.is_some();
        // Without anything else to do the first blocks need not be looked at.
        let first = if is_packed || work.placing.is_some() { 0 } else { kept };
        let count = plan.blocks.len() - first;
        let buffers = Buffers::new(under_way(threads).min(count));
        let one = |tools: &mut Tools<'w>, at: usize| {
            let at = at + first;
            let planned = &plan.blocks[at];
            let member = work.known(&planned.name);
            let (mut bytes, mut crc) = (None, 0);
            if at >= kept || (is_packed && member.is_none()) {
                let buffer = bytes.insert(buffers.take());
                crc = read(plan, planned, contents, checksums.get(&planned.name), buffer)?;
            }
            let made = match member {
                Some(member) => Some(member),
                None => work.carry_out(tools, plan, at, bytes.as_deref())?,
            };
            if at < kept {
                bytes.take().into_iter().for_each(|bytes| buffers.give(bytes));
            }
            Ok(Done { bytes, crc, member: made })
        };
        let tools = || {
            let level = work.packing.map(|(level, _)| level);
            Tools { compressor: level.map(BlockCompressor::ready), hand: None }
        };
        in_order(count, threads, tools, one, |at, done: Done| {
            contents.advanced(plan.blocks[at + first].length as u64);
            if let Some(bytes) = done.bytes {
                self.put(&plan.blocks[at + first], &bytes, done.crc)?;
                buffers.give(bytes);
            }
            done.member.map_or(Ok(()), &mut *sink)
        })?;
        let tar_size = plan.blocks.iter().map(|block| block.length as u64).sum();
        Ok(Outline { diff_id: self.hasher.finish(), tar_size, blocks: self.blocks })
    }

    /// Adds a block that was read.
    fn put(&mut self, planned: &Planned, bytes: &[u8], crc: u32) -> Result<(), Error> {
        for part in self.plan.parts(planned) {
            self.file.update(&bytes[part.range]);
            if part.ends {
                let found = std::mem::take(&mut self.file).finish();
                if !matches!(part.entry.kind, Kind::File { digest, .. } if digest == found) {
                    return Err(Error::Changed { path: part.entry.path.clone() });
                }
            }
        }
        self.hasher.update(bytes);
        self.blocks.push(Block { name: planned.name, crc, state: self.hasher.state() });
        Ok(())
    }
}

/// Reads a block and gives its checksum. One that is known is compared with its checksum, another with the digests of its
/// files: the same bytes are not digested twice where a checksum does.
fn read(
    plan: &Plan<'_>,
    planned: &Planned,
    contents: &dyn Contents,
    known: Option<&u32>,
    bytes: &mut Vec<u8>,
) -> Result<u32, Error> {
    plan.read(planned, contents, known.is_none(), bytes)?;
    let crc = crc32(bytes);
    match known {
        Some(expected) if *expected != crc => Err(changed(plan, planned, contents)),
        _ => Ok(crc),
    }
}
