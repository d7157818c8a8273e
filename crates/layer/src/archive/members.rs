use std::collections::VecDeque;
use std::io::{self, Read};

use dfbuild_image::TreePath;
use tar::Header;

use super::pax::Pax;
use crate::Error;
use crate::disk::read_some;

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name as written.
    pub name: Vec<u8>,
    /// The name cleaned, within the root.
    pub path: TreePath,
    /// What it is.
    pub kind: MemberKind,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in whole seconds, rounded down.
    pub mtime: i64,
    /// The value of `security.capability`.
    pub capability: Option<Vec<u8>>,
}

/// What a [`Member`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file of this many bytes, which are read from [`Members`].
    File {
        /// Length in bytes.
        size: u64,
    },
    /// Another name of a member before it.
    HardLink {
        /// The name, cleaned, within the root.
        target: TreePath,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: Vec<u8>,
    },
    /// A directory.
    Directory,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Reads the members of the tar archive `read` one after the other: V7, ustar, GNU and PAX, sparse
/// files included.
///
/// PAX records are read here and not by the `tar` crate, whose reader splits them at line feeds,
/// which are as good as any byte in a capability or a name.
pub fn members<R: Read>(read: R) -> Members<R> {
    Members { read, raw: 0, padding: 0, data: Data::default(), name: Vec::new() }
}

/// The members of an archive. As a reader it gives the content of the member that
/// [`Members::advance`] returned last.
#[derive(Debug)]
pub struct Members<R> {
    read: R,
    /// Bytes of the current member that are still in the archive, without the padding.
    raw: u64,
    padding: u64,
    data: Data,
    /// The name of the current member, for errors.
    name: Vec<u8>,
}

/// What is left of the content of a file.
#[derive(Debug, Default)]
struct Data {
    at: u64,
    size: u64,
    /// The parts of a sparse file that are stored: offset and length.
    stored: VecDeque<(u64, u64)>,
}

/// The longest extension header or name; as in Go. A bomb against memory else.
const MAX_EXTENSION: u64 = 1 << 20;
const BLOCK: u64 = 512;

impl<R: Read> Members<R> {
    /// The next member, after skipping what was not read of the one before; `None` at the end.
    pub fn advance(&mut self) -> Result<Option<Member>, Error> {
        self.skip()?;
        let mut pax = Pax::default();
        let mut long_name = None;
        let mut long_link = None;
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            match header.as_old().linkflag[0] {
                b'x' => pax = Pax::parse(&self.extension(&header)?, &self.name)?,
                // containerd, Docker and Go leave global records to the caller, who leaves them.
                b'g' => drop(self.extension(&header)?),
                b'L' => long_name = Some(until_nul(self.extension(&header)?)),
                b'K' => long_link = Some(until_nul(self.extension(&header)?)),
                _ => {
                    let name = long_name.or(pax.name.take()).unwrap_or_else(|| name(&header));
                    let link = long_link
                        .or(pax.link.take())
                        .unwrap_or_else(|| until_nul(header.as_old().linkname.to_vec()));
                    return self.member(&header, name, link, pax).map(Some);
                }
            }
        }
    }

    /// The reader of the archive, wherever it stands.
    pub fn into_inner(self) -> R {
        self.read
    }

    fn member(
        &mut self,
        header: &Header,
        name: Vec<u8>,
        link: Vec<u8>,
        mut pax: Pax,
    ) -> Result<Member, Error> {
        self.name.clone_from(&name);
        let old = header.as_old();
        let size = match pax.size {
            Some(size) => size,
            None => self.unsigned(&old.size, "size")?,
        };
        let id = |record: Option<u64>, field: &[u8], what| match record {
            Some(id) => u32::try_from(id).map_err(|_| self.bad(what)),
            None => u32::try_from(self.unsigned(field, what)?).map_err(|_| self.bad(what)),
        };
        let (uid, gid) = (id(pax.uid, &old.uid, "uid")?, id(pax.gid, &old.gid, "gid")?);
        let mode = self.unsigned(&old.mode, "mode")? & 0o7777;
        let mode = u32::try_from(mode).expect("twelve bits");
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => number(&old.mtime).ok_or_else(|| self.bad("time"))?,
        };
        let kind = match old.linkflag[0] {
            b'1' => MemberKind::HardLink { target: TreePath::new(&link) },
            b'2' => MemberKind::Symlink { target: link },
            b'3' => {
                let (major, minor) = self.device(header)?;
                MemberKind::CharDevice { major, minor }
            }
            b'4' => {
                let (major, minor) = self.device(header)?;
                MemberKind::BlockDevice { major, minor }
            }
            b'5' => MemberKind::Directory,
            0 if name.ends_with(b"/") => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            // Contiguous files are a hint to the disks of 1988.
            0 | b'0' | b'7' => {
                self.raw = size;
                self.data = Data { at: 0, size, stored: VecDeque::from([(0, size)]) };
                self.padding = padding(size);
                self.pax_sparse(&mut pax)?;
                MemberKind::File { size: self.data.size }
            }
            b'S' => {
                self.raw = size;
                self.padding = padding(size);
                self.gnu_sparse(header)?;
                MemberKind::File { size: self.data.size }
            }
            other => {
                let reason = format!("unknown type `{}`", other.escape_ascii());
                return Err(Error::malformed(&name, reason));
            }
        };
        // Sparse files carry their real name in a record of their own.
        let name = pax.sparse_name.take().unwrap_or(name);
        let path = TreePath::new(&name);
        Ok(Member { name, path, kind, mode, uid, gid, mtime, capability: pax.capability })
    }

    /// The next header that is not zeros; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        match read_some(&mut self.read, bytes).map_err(Error::read)? {
            0 => return Ok(None),
            512 => {}
            _ => return Err(Error::malformed(b"", "the archive ends inside a header")),
        }
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        self.name = name(&header);
        if is_header(header.as_bytes()) {
            Ok(Some(header))
        } else {
            Err(self.malformed("the checksum of its header does not match"))
        }
    }

    /// The content of a member that describes the next one.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let size = self.unsigned(&header.as_old().size, "size")?;
        if size > MAX_EXTENSION {
            return Err(self.malformed("an extension header of more than a mebibyte"));
        }
        let mut content = Vec::new();
        let whole = size + padding(size);
        let read = self.read.by_ref().take(whole).read_to_end(&mut content).map_err(Error::read)?;
        if (read as u64) < whole {
            return Err(self.malformed("the archive ends inside an extension header"));
        }
        content.truncate(usize::try_from(size).expect("at most a mebibyte"));
        Ok(content)
    }

    fn skip(&mut self) -> Result<(), Error> {
        let left = self.raw + self.padding;
        let skipped = io::copy(&mut self.read.by_ref().take(left), &mut io::sink());
        // The padding of the last member may be missing; Go, too, takes such archives.
        if skipped.map_err(Error::read)? < self.raw {
            return Err(self.malformed("the archive ends inside it"));
        }
        (self.raw, self.padding) = (0, 0);
        self.data = Data::default();
        Ok(())
    }

    /// The map of a file in the sparse formats 0.0, 0.1 and 1.0 of GNU tar's PAX.
    fn pax_sparse(&mut self, pax: &mut Pax) -> Result<(), Error> {
        let numbers = match (pax.sparse_version, pax.sparse_map.take()) {
            (Some((1, 0)), _) => self.leading_map()?,
            (_, Some(map)) => map,
            _ => return Ok(()),
        };
        let size = pax.sparse_size.ok_or_else(|| self.bad("sparse size"))?;
        let stored = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        self.sparse(size, stored)
    }

    /// The map that precedes the content: decimal numbers, one a line, padded to a block.
    fn leading_map(&mut self) -> Result<Vec<u64>, Error> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut digits = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; 512];
            if self.raw < BLOCK || read_some(&mut self.read, &mut block).map_err(Error::read)? < 512
            {
                return Err(self.bad("sparse map"));
            }
            self.raw -= BLOCK;
            for &byte in &block {
                if byte != b'\n' {
                    digits.push(byte);
                    continue;
                }
                let text = std::str::from_utf8(&digits).ok();
                let number = text.and_then(|text| text.parse().ok());
                let number: u64 = number.ok_or_else(|| self.bad("sparse map"))?;
                digits.clear();
                match wanted {
                    None if number > MAX_EXTENSION => return Err(self.bad("sparse map")),
                    None => wanted = usize::try_from(number * 2).ok(),
                    Some(wanted) if numbers.len() < wanted => numbers.push(number),
                    Some(_) => {}
                }
                if wanted == Some(numbers.len()) {
                    break;
                }
            }
        }
        Ok(numbers)
    }

    /// The map of GNU tar's own format: in the header, and in blocks after it.
    fn gnu_sparse(&mut self, header: &Header) -> Result<(), Error> {
        let gnu = header.as_gnu().ok_or_else(|| self.bad("sparse map"))?;
        let size = self.unsigned(&gnu.realsize, "sparse size")?;
        let mut pairs: Vec<[u8; 24]> = Vec::new();
        let mut take = |offset: &[u8; 12], length: &[u8; 12]| {
            let mut pair = [0; 24];
            pair[..12].copy_from_slice(offset);
            pair[12..].copy_from_slice(length);
            pairs.push(pair);
        };
        for pair in gnu.sparse.iter().filter(|pair| !pair.is_empty()) {
            take(&pair.offset, &pair.numbytes);
        }
        let mut extended = gnu.is_extended();
        while extended {
            let mut block = tar::GnuExtSparseHeader::new();
            let read = read_some(&mut self.read, block.as_mut_bytes()).map_err(Error::read)?;
            if read < 512 {
                return Err(self.bad("sparse map"));
            }
            for pair in block.sparse.iter().filter(|pair| !pair.is_empty()) {
                take(&pair.offset, &pair.numbytes);
            }
            extended = block.is_extended();
        }
        let mut stored = VecDeque::new();
        for pair in pairs {
            let (offset, length) = pair.split_at(12);
            let offset = self.unsigned(offset, "sparse map")?;
            stored.push_back((offset, self.unsigned(length, "sparse map")?));
        }
        self.sparse(size, stored)
    }

    fn sparse(&mut self, size: u64, stored: VecDeque<(u64, u64)>) -> Result<(), Error> {
        let (mut at, mut bytes) = (0, 0_u64);
        for &(offset, length) in &stored {
            let end = offset.checked_add(length).filter(|&end| offset >= at && end <= size);
            at = end.ok_or_else(|| self.bad("sparse map"))?;
            bytes += length;
        }
        if bytes != self.raw {
            return Err(self.bad("sparse map"));
        }
        self.data = Data { at: 0, size, stored };
        Ok(())
    }

    fn device(&self, header: &Header) -> Result<(u32, u32), Error> {
        let number = |number: io::Result<Option<u32>>| {
            number.ok().flatten().ok_or_else(|| self.bad("device number"))
        };
        Ok((number(header.device_major())?, number(header.device_minor())?))
    }

    fn unsigned(&self, field: &[u8], what: &'static str) -> Result<u64, Error> {
        number(field).and_then(|value| u64::try_from(value).ok()).ok_or_else(|| self.bad(what))
    }

    fn bad(&self, what: &str) -> Error {
        self.malformed(format!("invalid {what}"))
    }

    fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::malformed(&self.name, reason)
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let data = &mut self.data;
        while data.stored.front().is_some_and(|&(offset, length)| offset + length <= data.at) {
            data.stored.pop_front();
        }
        let limit = |bytes: u64| buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        let (offset, length) = data.stored.front().copied().unwrap_or((data.size, 0));
        if data.at < offset {
            let count = limit(offset - data.at);
            buffer[..count].fill(0);
            data.at += count as u64;
            return Ok(count);
        }
        let count = limit(offset + length - data.at);
        if count == 0 {
            return Ok(0);
        }
        let count = self.read.read(&mut buffer[..count])?;
        if count == 0 {
            let reason = "the archive ends inside a member";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
        }
        data.at += count as u64;
        self.raw -= count as u64;
        Ok(count)
    }
}

/// Whether `block` has the checksum of a header. Some writers took the bytes as signed.
pub(super) fn is_header(block: &[u8; 512]) -> bool {
    let bytes = block.iter().enumerate();
    let bytes = bytes.map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte });
    let (unsigned, signed) = bytes.fold((0, 0), |(unsigned, signed), byte| {
        (unsigned + i64::from(byte), signed + i64::from(byte.cast_signed()))
    });
    let is_empty = block[..148].iter().all(|&byte| byte == 0);
    !is_empty && number(&block[148..156]).is_some_and(|sum| sum == unsigned || sum == signed)
}

/// A field of octal digits, or, if its highest bit is set, a big-endian number.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        // The second highest bit is the sign.
        let negative = field[0] & 0x40 != 0;
        let fill = if negative { 0xff } else { 0 };
        let first = if negative { field[0] } else { field[0] & 0x7f };
        let (high, low) = field.split_at(field.len() - 8);
        let mut low: [u8; 8] = low.try_into().expect("eight bytes");
        let mut high = high.to_vec();
        *high.first_mut().unwrap_or(&mut low[0]) = first;
        let value = i64::from_be_bytes(low);
        return (high.iter().all(|&byte| byte == fill) && (value < 0) == negative).then_some(value);
    }
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    if text.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok().filter(|&value| value >= 0)
}

fn name(header: &Header) -> Vec<u8> {
    header.path_bytes().into_owned()
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}
