use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use dfbuild_image::{Digest, Entry, Hasher, Kind};

use crate::cutter::{Cutter, Follows, HEADER, Piece};
use crate::header::{header, header_length, opaque_marker};
use crate::{Contents, Error, Index};

/// The blocks of the archive of a layer, by its index alone: nothing is read.
pub(crate) struct Plan<'a> {
    index: &'a Index,
    pub(crate) blocks: Vec<Planned>,
}

/// A block of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Says what is in it: equal blocks have equal names, in whatever archive.
    pub(crate) name: Digest,
    pub(crate) length: usize,
    /// The entry that it begins in; the number of entries for the end of the archive.
    entry: usize,
    /// Where in the headers and the content of that entry.
    offset: u64,
}

/// A part of a content that lies in several blocks.
pub(crate) struct Part<'a> {
    pub(crate) entry: &'a Entry,
    /// Where it lies in the block, without padding.
    pub(crate) range: Range<usize>,
    /// Whether it is the last one.
    pub(crate) ends: bool,
}

impl Planned {
    /// Whether a block begins inside of an entry.
    pub(crate) fn begins_inside(&self) -> bool {
        self.offset > 0
    }
}

/// The end of an archive.
const END: usize = 2 * HEADER;

impl<'a> Plan<'a> {
    /// `None` for archives that only a reader of the whole stream can cut.
    pub(crate) fn new(index: &'a Index) -> Option<Self> {
        let mut planner = Planner::default();
        for (at, entry) in index.entries().iter().enumerate() {
            planner.at = (at, 0);
            planner.headers(&headers(entry))?;
            if let Kind::File { size, digest } = &entry.kind {
                planner.content(*size, digest)?;
            }
        }
        planner.at = (index.entries().len(), 0);
        planner.end();
        Some(Self { index, blocks: planner.blocks })
    }

    /// The bytes of a block, in the place of what is in `bytes`. Contents are compared with their digests
    /// if `verify` and they lie wholly in it; the others are for [`Plan::parts`].
    pub(crate) fn read(
        &self,
        block: &Planned,
        contents: &dyn Contents,
        verify: bool,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        bytes.clear();
        // One more for what a file must not have.
        bytes.reserve(block.length + 1);
        let (mut at, mut offset) = (block.entry, block.offset);
        while bytes.len() < block.length {
            let Some(entry) = self.index.entries().get(at) else {
                bytes.resize(block.length, 0);
                break;
            };
            let headers = headers(entry);
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(headers.len());
            let until = headers.len().min(from + block.length - bytes.len());
            bytes.extend_from_slice(&headers[from..until]);
            if let Kind::File { size, digest } = &entry.kind {
                let skip = offset.saturating_sub(headers.len() as u64);
                let padded = size.next_multiple_of(HEADER as u64);
                let count = (padded - skip).min((block.length - bytes.len()) as u64);
                let begin = bytes.len();
                read_content(entry, *size, contents, skip, count, bytes)?;
                let whole = skip == 0 && count == padded;
                let content =
                    usize::try_from(*size).ok().and_then(|size| bytes.get(begin..begin + size));
                if verify && whole && content.is_none_or(|content| Digest::of(content) != *digest) {
                    return Err(Error::Changed { path: entry.path.clone() });
                }
            }
            (at, offset) = (at + 1, 0);
        }
        Ok(())
    }

    /// The entries that begin in a block, and where in it their contents lie, without padding, if they do
    /// wholly.
    pub(crate) fn entries(&self, at: usize) -> Vec<(&'a Entry, Option<Range<usize>>)> {
        let block = &self.blocks[at];
        let all = self.index.entries();
        let inside = |block: &Planned| block.entry + usize::from(block.begins_inside());
        let first = inside(block).min(all.len());
        let end = self.blocks.get(at + 1).map_or(all.len(), inside).min(all.len());
        let mut begin = match all.get(block.entry).filter(|_| block.begins_inside()) {
            Some(entry) => length(entry) - block.offset,
            None => 0,
        };
        let entries = all[first..end].iter().map(|entry| {
            let start = usize::try_from(begin + headers_length(entry)).unwrap_or(usize::MAX);
            begin += length(entry);
            let size = match entry.kind {
                Kind::File { size, .. } => usize::try_from(size).unwrap_or(usize::MAX),
                _ => 0,
            };
            let whole = begin <= block.length as u64;
            (entry, whole.then(|| start..start + size))
        });
        entries.collect()
    }

    /// The contents that begin or end outside of a block.
    pub(crate) fn parts(&self, block: &Planned) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let (mut at, mut offset, mut begin) = (block.entry, block.offset, 0);
        while let Some(entry) = self.index.entries().get(at).filter(|_| begin < block.length) {
            let size = match entry.kind {
                Kind::File { size, .. } => size,
                _ => 0,
            };
            let headers = headers_length(entry);
            let total = headers + content_length(entry);
            let count = (total - offset).min((block.length - begin) as u64);
            let end = offset + count;
            if size > 0 && (offset > headers || end < total) && end > headers {
                let place = |position: u64| begin + usize::try_from(position - offset).unwrap_or(0);
                let last = end.min(headers + size).max(offset);
                let range = place(headers.max(offset))..place(last);
                parts.push(Part { entry, range, ends: end == total });
            }
            begin += usize::try_from(count).unwrap_or(block.length);
            (at, offset) = (at + 1, 0);
        }
        parts
    }
}

/// Appends `count` bytes of the padded content of `entry`, from `skip` on.
fn read_content(
    entry: &Entry,
    size: u64,
    contents: &dyn Contents,
    skip: u64,
    count: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    let error = |source| Error::Content { path: entry.path.clone(), source };
    let changed = || Error::Changed { path: entry.path.clone() };
    let length = |count: u64| usize::try_from(count).map_err(|_| changed());
    let (begin, real) = (bytes.len(), length(count.min(size.saturating_sub(skip)))?);
    let padded = begin + length(count)?;
    if real == 0 {
        bytes.resize(padded, 0);
        return Ok(());
    }
    if skip > 0
        && let Some(file) = contents.file(entry).map_err(error)?
    {
        bytes.resize(padded, 0);
        return match file.read_exact_at(&mut bytes[begin..begin + real], skip) {
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => Err(changed()),
            result => result.map_err(error),
        };
    }
    let mut content = contents.open(entry).map_err(error)?;
    if skip > 0 {
        io::copy(&mut content.by_ref().take(skip), &mut io::sink()).map_err(error)?;
    }
    // One byte more than there should be shows that there are too many.
    let extra = usize::from(skip + real as u64 == size);
    bytes.resize(begin + real + extra, 0);
    if read_at_once(&mut *content, &mut bytes[begin..], real).map_err(error)? != real {
        return Err(changed());
    }
    bytes.resize(padded, 0);
    Ok(())
}

/// Reads `count` bytes into `buffer`, which may have room for more, and says how many there were. A file
/// that gives what is wanted and leaves room has ended: asking again would be a system call for each file.
fn read_at_once(content: &mut dyn Read, buffer: &mut [u8], count: usize) -> io::Result<usize> {
    let mut filled = 0;
    while filled < count {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The bytes of an entry in an archive.
fn length(entry: &Entry) -> u64 {
    headers_length(entry) + content_length(entry)
}

/// The length of [`headers`].
fn headers_length(entry: &Entry) -> u64 {
    let marker = match entry.kind {
        Kind::Directory { opaque: true } => opaque_marker(&entry.path).len(),
        _ => 0,
    };
    (header_length(entry) + marker) as u64
}

/// The bytes of the content of an entry, with padding.
fn content_length(entry: &Entry) -> u64 {
    match entry.kind {
        Kind::File { size, .. } => size.next_multiple_of(HEADER as u64),
        _ => 0,
    }
}

/// All that stands before the content of an entry.
fn headers(entry: &Entry) -> Vec<u8> {
    let mut bytes = header(entry);
    if entry.kind == (Kind::Directory { opaque: true }) {
        bytes.extend(opaque_marker(&entry.path));
    }
    bytes
}

/// A plan in the making: does what [`Gzip`](crate::Gzip) does, without the contents.
#[derive(Default)]
struct Planner {
    cutter: Cutter,
    blocks: Vec<Planned>,
    hasher: Hasher,
    length: usize,
    /// Where the current block began.
    begin: (usize, u64),
    /// Where the next bytes lie.
    at: (usize, u64),
}

impl Planner {
    /// `None` if a stream of these headers would be cut in another way.
    fn headers(&mut self, headers: &[u8]) -> Option<()> {
        let mut rest = headers;
        let mut extension = 0_u64;
        while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
            rest = after;
            if extension > 0 {
                let piece = self.cutter.piece(HEADER as u64);
                self.put(piece, |hasher| hasher.update([b"r", &header[..]].concat()));
                extension -= HEADER as u64;
                continue;
            }
            let (cut, follows) = self.cutter.header(header);
            let Follows::Content(length) = follows else { return None };
            self.put(Piece { cut, length: HEADER }, |hasher| {
                hasher.update(b"h");
                hasher.update(header);
            });
            // The records of an extension stand here; the content of a file does not.
            if matches!(header[156], b'x') {
                extension = length;
            }
        }
        Some(())
    }

    /// `None` for a size that is not in the header but in its extension.
    fn content(&mut self, size: u64, digest: &Digest) -> Option<()> {
        if size >= 1 << 33 {
            return None;
        }
        let padded = size.next_multiple_of(HEADER as u64);
        let mut done = 0;
        while done < padded {
            let piece = self.cutter.piece(padded - done);
            self.put(piece, |hasher| {
                hasher.update(b"c");
                hasher.update(digest.as_bytes());
                hasher.update(done.to_le_bytes());
                hasher.update((piece.length as u64).to_le_bytes());
            });
            done += piece.length as u64;
        }
        Some(())
    }

    fn end(&mut self) {
        let (cut, _) = self.cutter.header(&[0; HEADER]);
        self.put(Piece { cut, length: HEADER }, |hasher| hasher.update(b"e"));
        let piece = self.cutter.piece((END - HEADER) as u64);
        self.put(piece, |hasher| hasher.update(b"e"));
        self.close();
    }

    fn put(&mut self, piece: Piece, name: impl FnOnce(&mut Hasher)) {
        if piece.cut {
            self.close();
        }
        name(&mut self.hasher);
        self.length += piece.length;
        self.at.1 += piece.length as u64;
    }

    fn close(&mut self) {
        let name = std::mem::take(&mut self.hasher).finish();
        let (entry, offset) = std::mem::replace(&mut self.begin, self.at);
        let length = std::mem::take(&mut self.length);
        self.blocks.push(Planned { name, length, entry, offset });
    }
}
