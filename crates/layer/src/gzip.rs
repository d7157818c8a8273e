use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use libdeflater::{CompressionLvl, Compressor};

use crate::cpu::Helper;
use crate::cutter::{Cutter, Follows, HEADER, MOST, Piece};

/// The level of layers that ask for none; Docker's.
pub const DEFAULT_LEVEL: u32 = 6;

/// Names everything that decides the bytes of a gzip blob at [`DEFAULT_LEVEL`], for cache keys.
pub const GZIP_ID: &str = "libdeflate 1.26.1 members cut 1 noise 1 level 6";

/// [`GZIP_ID`] for another level.
pub fn gzip_id(level: u32) -> String {
    format!("libdeflate 1.26.1 members cut 1 noise 1 level {level}")
}

/// The levels of libdeflate that compress at least as well as those of zlib, of 0 to 9: at 6 a block
/// by itself comes out a little smaller than with zlib and the block before it as dictionary, in half
/// the time.
const LEVELS: [i32; 10] = [0, 1, 2, 3, 3, 4, 4, 6, 7, 9];

/// Compresses an archive into gzip members (RFC 1952, 2.2) on several threads; the bytes do not depend
/// on their number.
///
/// The input is cut into blocks by a `Cutter`, and each becomes a member. So the
/// compressed form of a block depends on nothing but the block. The threads start with the second
/// block. At most twice as many blocks as threads are under way.
#[must_use = "the stream is cut off unless `finish` is called"]
pub struct Gzip<W: Write> {
    inner: W,
    level: u32,
    threads: usize,
    cutter: Cutter,
    expected: Expected,
    block: Vec<u8>,
    /// Blocks that were handed to the pool, in order.
    pending: VecDeque<Receiver<Vec<u8>>>,
    pool: Option<Pool>,
    begun: bool,
    failed: bool,
}

/// What comes next in the archive.
enum Expected {
    /// A header, of which this is here.
    Header(Vec<u8>),
    /// So much content.
    Content(u64),
    Anything,
}

impl<W: Write> Gzip<W> {
    /// Compresses at `level`, 0 to 9, on `threads` threads; on the caller's for 0 and 1.
    pub fn new(inner: W, level: u32, threads: usize) -> Self {
        Self {
            inner,
            level,
            threads,
            cutter: Cutter::default(),
            expected: Expected::Header(Vec::with_capacity(HEADER)),
            block: Vec::new(),
            pending: VecDeque::new(),
            pool: None,
            begun: false,
            failed: false,
        }
    }

    /// Writes what is left and gives the inner writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.check()?;
        if let Expected::Header(part) = std::mem::replace(&mut self.expected, Expected::Anything) {
            self.anything(&part)?;
        }
        // Even nothing is a member.
        if !self.block.is_empty() || !self.begun {
            self.dispatch(true)?;
        }
        while let Some(member) = self.pending.pop_front() {
            self.inner.write_all(&member.recv().map_err(|_| died())?)?;
        }
        Ok(self.inner)
    }

    /// Takes the beginning of `bytes` and says how much that is.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.expected {
            Expected::Header(part) => {
                let count = bytes.len().min(HEADER - part.len());
                part.extend_from_slice(&bytes[..count]);
                if let Some(header) = part.first_chunk() {
                    let (cut, follows) = self.cutter.header(header);
                    let header = *header;
                    self.expected = match follows {
                        Follows::Content(0) => {
                            part.clear();
                            Expected::Header(std::mem::take(part))
                        }
                        Follows::Content(length) => Expected::Content(length),
                        Follows::Anything => Expected::Anything,
                    };
                    self.put(Piece { cut, length: HEADER }, &header)?;
                }
                Ok(count)
            }
            Expected::Content(left) => {
                let piece = self.cutter.piece((*left).min(bytes.len() as u64));
                *left -= piece.length as u64;
                if *left == 0 {
                    self.expected = Expected::Header(Vec::with_capacity(HEADER));
                }
                self.put(piece, bytes)?;
                Ok(piece.length)
            }
            Expected::Anything => self.anything(bytes),
        }
    }

    fn anything(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = self.cutter.piece(bytes.len() as u64);
        self.put(piece, bytes)?;
        Ok(piece.length)
    }

    fn put(&mut self, piece: Piece, bytes: &[u8]) -> io::Result<()> {
        if piece.cut {
            self.dispatch(false)?;
        }
        self.block.extend_from_slice(&bytes[..piece.length]);
        Ok(())
    }

    /// Hands the block over.
    fn dispatch(&mut self, last: bool) -> io::Result<()> {
        let is_only = last && !self.begun;
        self.begun = true;
        if self.threads > 1 && self.pool.is_none() && !is_only {
            self.pool = Some(Pool::new(self.threads, self.level));
        }
        let Some(pool) = self.pool.as_ref().filter(|pool| !pool.threads.is_empty()) else {
            let member = BlockCompressor::new(self.level).compress(&self.block);
            self.block.clear();
            return self.inner.write_all(&member);
        };
        let room = Vec::with_capacity(if last { 0 } else { MOST });
        let block = std::mem::replace(&mut self.block, room);
        self.pending.push_back(pool.submit(block)?);
        while let Some(member) = self.pending.front() {
            let member = if self.pending.len() > 2 * self.threads {
                member.recv().map_err(|_| died())?
            } else if let Ok(member) = member.try_recv() {
                member
            } else {
                break;
            };
            self.pending.pop_front();
            self.inner.write_all(&member)?;
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        if self.failed { Err(io::Error::other("an earlier write failed")) } else { Ok(()) }
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let mut taken = 0;
        while taken < bytes.len() {
            let count = self.take(&bytes[taken..]);
            self.failed = count.is_err();
            taken += count?;
        }
        Ok(taken)
    }

    /// Flushes the inner writer only: a block that ends early would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write + fmt::Debug> fmt::Debug for Gzip<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gzip").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// Compresses blocks at a level from 0 to 9. It is large: one serves many blocks.
pub(crate) struct BlockCompressor {
    level: u32,
    own: Option<Compressor>,
    /// For blocks with noise in them.
    noise: Option<Compressor>,
    /// Where members are made, with room for the worst of them.
    room: Vec<u8>,
}

impl BlockCompressor {
    pub(crate) fn new(level: u32) -> Self {
        Self { level: level.min(9), own: None, noise: None, room: Vec::new() }
    }

    /// The same with all that most blocks need, in the memory of the thread that asks.
    pub(crate) fn ready(level: u32) -> Self {
        let mut ready = Self::new(level);
        let own = ready.own.insert(compressor(ready.level));
        ready.room = Vec::with_capacity(own.gzip_compress_bound(MOST));
        ready
    }

    /// A block as a gzip member: without name and time, and an operating system of 255, "unknown".
    ///
    /// In blocks with much noise a longer search finds nothing, and takes the longest there; and the
    /// lowest level of libdeflate begins new Huffman codes more often, so that what is no noise gets its
    /// own: half noise, half words comes out smaller, in two thirds of the time. Long repetitions lose some
    /// percent. Who asks for more than
    /// the default wants every byte.
    pub(crate) fn compress(&mut self, block: &[u8]) -> Vec<u8> {
        let is_noise = (2..=DEFAULT_LEVEL).contains(&self.level) && is_noisy(block);
        let (place, level) =
            if is_noise { (&mut self.noise, 1) } else { (&mut self.own, self.level) };
        let compressor = place.get_or_insert_with(|| compressor(level));
        let bound = compressor.gzip_compress_bound(block.len());
        if self.room.len() < bound {
            self.room.resize(bound, 0);
        }
        let length = compressor.gzip_compress(block, &mut self.room).expect("its bound is a bound");
        self.room[..length].to_vec()
    }
}

fn compressor(level: u32) -> Compressor {
    let level = LEVELS[usize::try_from(level).expect("one digit")];
    Compressor::new(CompressionLvl::new(level).expect("libdeflate has levels from 0 to 12"))
}

/// Whether at least a quarter of a block is noise, which nothing compresses: packed or encrypted. The
/// beginning of each 4 KiB stands for the rest.
fn is_noisy(block: &[u8]) -> bool {
    const PIECE: usize = 4 << 10;
    let noisy = block.chunks(PIECE).filter(|piece| is_noise(piece)).count();
    4 * noisy >= block.len().div_ceil(PIECE).max(1)
}

/// Whether all bytes are about as frequent: the chance that two bytes of noise are the same is 1 in 256, by
/// the few that are looked at 1.25 in 256; in what can be compressed it is 3 in 256 at least.
fn is_noise(piece: &[u8]) -> bool {
    const SAMPLE: usize = 1 << 10;
    let Some(sample) = piece.first_chunk::<SAMPLE>() else { return false };
    let mut counts = [0_u16; 256];
    for &byte in sample {
        counts[usize::from(byte)] += 1;
    }
    let pairs: u64 = counts.iter().map(|&count| u64::from(count) * u64::from(count)).sum();
    2 * 256 * pairs < 3 * (SAMPLE * SAMPLE) as u64
}

/// A block, and where its member goes.
type Job = (Vec<u8>, Sender<Vec<u8>>);

/// Threads that compress. Dropping it joins them.
struct Pool {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `count` threads, or of fewer if the system grants no more.
    fn new(count: usize, level: u32) -> Self {
        let (jobs, queue) = bounded::<Job>(2 * count + 1);
        let helper = Helper::new();
        let run = |queue: Receiver<Job>| {
            let helper = helper.clone();
            let compress = move || {
                let mut compressor = BlockCompressor::new(level);
                for (block, reply) in queue {
                    // Nobody listens any more if the writer was dropped.
                    let _ = reply.send(compressor.compress(&block));
                }
            };
            move || helper.work(compress)
        };
        let spawn = |_| thread::Builder::new().name("gzip".into()).spawn(run(queue.clone())).ok();
        Self { threads: (0..count).map_while(spawn).collect(), jobs: Some(jobs) }
    }

    fn submit(&self, block: Vec<u8>) -> io::Result<Receiver<Vec<u8>>> {
        let (reply, member) = bounded(1);
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        jobs.send((block, reply)).map_err(|_| died())?;
        Ok(member)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic there has surfaced as an error already.
            let _ = thread.join();
        }
    }
}

fn died() -> io::Error {
    io::Error::other("a compressing thread died")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that nothing compresses (a linear congruential generator, its upper bits).
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn noise_is_told_from_the_rest() {
        let noise = noise(64 << 10);
        let text = include_bytes!("gzip.rs");
        let text: Vec<u8> = text.iter().copied().cycle().take(noise.len()).collect();
        assert!(is_noisy(&noise));
        assert!(!is_noisy(&text) && !is_noisy(&vec![0; 64 << 10]) && !is_noisy(b""));
        assert!(is_noisy(&[&text[..], &noise, &text].concat()));
        assert!(!is_noisy(&[&text[..], &text, &noise[..32 << 10]].concat()));
    }

    #[test]
    fn a_noisy_block_is_hardly_larger_for_it() {
        let noise = noise(512 << 10);
        let text = include_bytes!("gzip.rs").iter().copied().cycle();
        let text: Vec<u8> = text.take(noise.len()).collect();
        let pieces = noise.chunks(4096).zip(text.chunks(4096));
        let block: Vec<u8> = pieces.flat_map(|(a, b)| [a, b].concat()).collect();
        let mut own = compressor(DEFAULT_LEVEL);
        let mut member = vec![0; own.gzip_compress_bound(block.len())];
        let length = own.gzip_compress(&block, &mut member).unwrap();
        let fast = BlockCompressor::new(DEFAULT_LEVEL).compress(&block);
        assert!(fast.len() <= length + length / 20, "{} {length}", fast.len());
    }
}
