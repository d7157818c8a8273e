/// Where an archive is cut into blocks, which are compressed each by itself.
///
/// A block ends before a member whose name says so, once it is long enough; so a file that changes
/// moves no cut but its own, and all other blocks stay what they are. A block that gets too long ends
/// anywhere. The cuts are a matter of the archive's bytes alone: whoever has only an index and writes the
/// same headers cuts in the same places.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// Of the current block.
    length: usize,
    /// The last header goes with the one after it.
    extends: bool,
}

/// What comes next, and whether a block ends before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) cut: bool,
    /// How many bytes of what comes next go into one block.
    pub(crate) length: usize,
}

/// Blocks smaller than that compress badly; ends of shorter ones are not looked for.
const LEAST: usize = 256 << 10;
/// What one thread compresses at a time, and what one changed file costs at most.
pub(crate) const MOST: usize = 1 << 20;
/// One name in so many ends a block.
const ONE_IN: u64 = 64;
pub(crate) const HEADER: usize = 512;

/// What follows a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    /// So much content, in whole blocks of tar, then another header.
    Content(u64),
    /// Nobody knows; from there on the length alone counts.
    Anything,
}

impl Cutter {
    /// Whether a block ends before this header, and what comes after it.
    pub(crate) fn header(&mut self, header: &[u8; HEADER]) -> (bool, Follows) {
        let content = content_length(header);
        let may_end = content.is_some() && !self.extends && self.length >= LEAST;
        let cut = self.length == MOST || (may_end && ends_block(header));
        if cut {
            self.length = 0;
        }
        self.length += HEADER;
        self.extends = matches!(header[156], b'x' | b'g' | b'L' | b'K');
        (cut, content.map_or(Follows::Anything, Follows::Content))
    }

    /// How many of `left` bytes that are no header go into the same block.
    pub(crate) fn piece(&mut self, left: u64) -> Piece {
        let cut = self.length == MOST;
        if cut {
            self.length = 0;
        }
        let length = usize::try_from(left).unwrap_or(MOST).min(MOST - self.length);
        self.length += length;
        Piece { cut, length }
    }
}

/// The bytes of content after a header, padded; `None` if it is none.
fn content_length(header: &[u8; HEADER]) -> Option<u64> {
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    let field = &header[148..156];
    let own: u64 = field.iter().map(|&byte| u64::from(byte)).sum();
    if octal(field)? != sum - own + 8 * u64::from(b' ') {
        return None;
    }
    match header[156] {
        // Links, devices, directories and pipes.
        b'1'..=b'6' => Some(0),
        _ => octal(&header[124..136])?.checked_next_multiple_of(HEADER as u64),
    }
}

/// The number in octal digits at the beginning of `field`.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.iter().skip_while(|&&byte| byte == b' ');
    let digits: Vec<u8> = digits.copied().take_while(|byte| matches!(byte, b'0'..=b'7')).collect();
    let value = digits.iter().fold(0_u64, |value, digit| value << 3 | u64::from(digit & 7));
    (!digits.is_empty()).then_some(value)
}

/// Whether the name in a header is one that ends a block before it: FNV-1a of name and prefix.
fn ends_block(header: &[u8; HEADER]) -> bool {
    let name = header[..100].iter().chain(&header[345..500]);
    let hash = name.fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Its upper bits depend on all bytes.
    (hash >> 32) % ONE_IN == 0
}
