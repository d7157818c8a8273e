use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use crc32fast::Hasher as Crc32;
use crossbeam_channel::{Receiver, Sender, bounded};
use zlib_rs::{Deflate, DeflateFlush, Status};

/// The level of layers that ask for none; Docker's.
pub const DEFAULT_LEVEL: u32 = 6;

/// Names everything that decides the bytes of a gzip blob at [`DEFAULT_LEVEL`], for cache keys.
pub const GZIP_ID: &str = "zlib-rs 0.6.8 block 512k dictionary 32k level 6";

/// [`GZIP_ID`] for another level.
pub fn gzip_id(level: u32) -> String {
    format!("zlib-rs 0.6.8 block 512k dictionary 32k level {level}")
}

/// Compresses into one gzip member on several threads; the bytes do not depend on their number.
///
/// The input is cut into blocks of 512 KiB. Each is deflated by itself, with the last 32 KiB of the
/// block before it as dictionary, and ends on a byte, so that they can be put one after the other,
/// as pigz does. The threads start with the second block. At most twice as many blocks as threads
/// are under way.
#[must_use = "the stream is cut off unless `finish` is called"]
pub struct Gzip<W: Write> {
    inner: W,
    level: i32,
    threads: usize,
    block: Vec<u8>,
    dictionary: Vec<u8>,
    /// Of what was written to `inner`.
    crc: Crc32,
    length: u64,
    /// Blocks that were handed to the pool, in order.
    pending: VecDeque<Receiver<Block>>,
    pool: Option<Pool>,
    begun: bool,
    failed: bool,
}

/// Large enough that dictionaries cost little, small enough that small layers use all threads.
const BLOCK: usize = 512 << 10;
/// The window of deflate.
const DICTIONARY: usize = 32 << 10;
/// No name, no time, and an operating system of 255, "unknown" (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

impl<W: Write> Gzip<W> {
    /// Compresses at `level`, 0 to 9, on `threads` threads; on the caller's for 0 and 1.
    pub fn new(inner: W, level: u32, threads: usize) -> Self {
        Self {
            inner,
            level: i32::try_from(level.min(9)).expect("one digit"),
            threads,
            block: Vec::new(),
            dictionary: Vec::new(),
            crc: Crc32::new(),
            length: 0,
            pending: VecDeque::new(),
            pool: None,
            begun: false,
            failed: false,
        }
    }

    /// Writes what is left and gives the inner writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.check()?;
        self.dispatch(true)?;
        while let Some(block) = self.pending.pop_front() {
            self.emit(&block.recv().map_err(|_| died())?)?;
        }
        let length = u32::try_from(self.length & 0xffff_ffff).expect("masked");
        self.inner.write_all(&self.crc.finalize().to_le_bytes())?;
        self.inner.write_all(&length.to_le_bytes())?;
        Ok(self.inner)
    }

    /// Hands the block over, which is full or the last one.
    fn dispatch(&mut self, last: bool) -> io::Result<()> {
        let data = std::mem::take(&mut self.block);
        let tail = data[data.len().saturating_sub(DICTIONARY)..].to_vec();
        let dictionary = std::mem::replace(&mut self.dictionary, tail);
        let job = Job { data, dictionary, last, level: self.level };
        if !last && self.threads > 1 && self.pool.is_none() {
            self.pool = Some(Pool::new(self.threads));
        }
        let Some(pool) = self.pool.as_ref().filter(|pool| !pool.threads.is_empty()) else {
            let block = job.run();
            return self.emit(&block);
        };
        self.pending.push_back(pool.submit(job)?);
        while let Some(block) = self.pending.front() {
            let block = if self.pending.len() > 2 * self.threads {
                block.recv().map_err(|_| died())?
            } else if let Ok(block) = block.try_recv() {
                block
            } else {
                break;
            };
            self.pending.pop_front();
            self.emit(&block)?;
        }
        Ok(())
    }

    fn emit(&mut self, block: &Block) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            self.inner.write_all(&HEADER)?;
        }
        self.crc.combine(&block.crc);
        self.length += block.length;
        self.inner.write_all(&block.deflated)
    }

    fn check(&self) -> io::Result<()> {
        if self.failed { Err(io::Error::other("an earlier write failed")) } else { Ok(()) }
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        if self.block.len() == BLOCK && !bytes.is_empty() {
            // Only now is it sure that the block is not the last one.
            let dispatched = self.dispatch(false);
            self.failed = dispatched.is_err();
            dispatched?;
        }
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Ok(count)
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

struct Job {
    data: Vec<u8>,
    dictionary: Vec<u8>,
    last: bool,
    level: i32,
}

struct Block {
    deflated: Vec<u8>,
    crc: Crc32,
    length: u64,
}

impl Job {
    fn run(&self) -> Block {
        let mut crc = Crc32::new();
        crc.update(&self.data);
        Block { deflated: self.deflate(), crc, length: self.data.len() as u64 }
    }

    fn deflate(&self) -> Vec<u8> {
        let mut deflate = Deflate::new(self.level, false, 15);
        if !self.dictionary.is_empty() {
            deflate.set_dictionary(&self.dictionary).expect("the stream has not begun");
        }
        let flush = if self.last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush };
        let mut deflated = vec![0; self.data.len() / 2 + 1024];
        let (mut taken, mut made) = (0, 0);
        loop {
            let status = deflate
                .compress(&self.data[taken..], &mut deflated[made..], flush)
                .expect("the parameters are valid");
            taken = position(deflate.total_in());
            made = position(deflate.total_out());
            // A full buffer means that there may be more, whatever the status says. Six bytes are
            // what a flush needs to end in one piece.
            let has_room = deflated.len() - made > 6;
            if status == Status::StreamEnd || (!self.last && taken == self.data.len() && has_room) {
                break;
            }
            deflated.resize(deflated.len() * 2, 0);
        }
        deflated.truncate(made);
        deflated
    }
}

fn position(total: u64) -> usize {
    usize::try_from(total).expect("a block fits in memory")
}

/// Threads that deflate. Dropping it joins them.
struct Pool {
    jobs: Option<Sender<(Job, Sender<Block>)>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `count` threads, or of fewer if the system grants no more.
    fn new(count: usize) -> Self {
        let (jobs, queue) = bounded::<(Job, Sender<Block>)>(2 * count + 1);
        let run = |queue: Receiver<(Job, Sender<Block>)>| {
            move || {
                for (job, reply) in queue {
                    // Nobody listens any more if the writer was dropped.
                    let _ = reply.send(job.run());
                }
            }
        };
        let spawn = |_| thread::Builder::new().name("gzip".into()).spawn(run(queue.clone())).ok();
        Self { threads: (0..count).map_while(spawn).collect(), jobs: Some(jobs) }
    }

    fn submit(&self, job: Job) -> io::Result<Receiver<Block>> {
        let (reply, block) = bounded(1);
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        jobs.send((job, reply)).map_err(|_| died())?;
        Ok(block)
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
