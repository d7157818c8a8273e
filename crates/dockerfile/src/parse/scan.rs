//! Looking for bytes, many at a time: lines and words are so short that a call to a search costs more than the search.

/// The number of bytes that are looked at together.
const WIDTH: usize = 8;

const ONES: u64 = u64::from_le_bytes([1; WIDTH]);
const SPACES: u64 = u64::from_le_bytes([b' '; WIDTH]);
const HIGHS: u64 = u64::from_le_bytes([0x80; WIDTH]);

/// The first bytes as a number whose lowest byte is the first; none if there are fewer.
#[inline]
pub(crate) fn eight(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The index of the first byte whose highest bit is set in `marks`.
#[inline]
fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / u8::BITS) as usize
}

/// The number of bytes whose newlines are looked for together.
const BLOCK: usize = 64;

/// Where all newlines are.
///
/// They are found before anything else is read: how many there are in a block cannot be foreseen, and who waits for one
/// block after the other to know waits long.
pub(crate) fn all_newlines(bytes: &[u8]) -> Vec<usize> {
    let mut places = Vec::with_capacity(bytes.len() / BYTES_PER_LINE + FEW);
    let mut add = |mut marks: u64, at: usize| {
        let mut len = places.len();
        // What there is not is written too, and taken back: that is quicker than a choice.
        let first = [(); FEW].map(|()| {
            let place = at + (marks | 1 << (BLOCK - 1)).trailing_zeros() as usize;
            len += usize::from(marks != 0);
            marks &= marks.wrapping_sub(1);
            place
        });
        places.extend_from_slice(&first);
        places.truncate(len);
        while marks != 0 {
            places.push(at + marks.trailing_zeros() as usize);
            marks &= marks - 1;
        }
    };
    let (blocks, rest) = bytes.as_chunks();
    for (at, block) in (0..).step_by(BLOCK).zip(blocks) {
        add(newlines_of(block), at);
    }
    add(last_newlines(bytes, bytes.len() - rest.len()), bytes.len() - rest.len());
    places
}

/// Hardly any block has more newlines.
const FEW: usize = 4;

/// No more than lines of people have on average, so that there is room for them.
const BYTES_PER_LINE: usize = 24;

/// The newlines from `at` on, where less than a whole block is left.
fn last_newlines(bytes: &[u8], at: usize) -> u64 {
    let len = bytes.len().saturating_sub(at);
    if len == 0 {
        return 0;
    }
    if let Some(block) = bytes.last_chunk() {
        return newlines_of(block) >> (BLOCK - len);
    }
    let mut block = [0; BLOCK];
    block[..len].copy_from_slice(&bytes[at..]);
    newlines_of(&block)
}

#[inline]
fn newlines_of(block: &[u8; BLOCK]) -> u64 {
    let mut columns = [0; 2 * WIDTH];
    newline_columns(block, &mut columns);
    let (halves, _) = columns.as_chunks();
    transposed(u64::from_le_bytes(halves[0]) | u64::from_le_bytes(halves[1]))
}

/// Takes the bytes as rows of eight and puts into byte `j`, or `j + 8`, a bit for each row that has a `\n` at `j`.
///
/// It is written so that every processor compares 16 bytes at once, and stays a function of its own because the compiler
/// would take the vectors to pieces again where it sees what becomes of them.
#[inline(never)]
fn newline_columns(block: &[u8; BLOCK], columns: &mut [u8; 2 * WIDTH]) {
    let (rows, _) = block.as_chunks::<{ 2 * WIDTH }>();
    let mut found = [0; 2 * WIDTH];
    for (at, column) in found.iter_mut().enumerate() {
        let bit = |pair: usize| {
            let bit = if at < WIDTH { 1 << (2 * pair) } else { 2 << (2 * pair) };
            if rows[pair][at] == b'\n' { bit } else { 0 }
        };
        *column = bit(0) | bit(1) | bit(2) | bit(3);
    }
    *columns = found;
}

/// Eight bytes of eight bits with rows and columns exchanged: Hacker's Delight, 7-3.
#[inline]
fn transposed(mut bits: u64) -> u64 {
    for (by, mask) in
        [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)]
    {
        let differing = (bits ^ (bits >> by)) & mask;
        bits ^= differing ^ (differing << by);
    }
    bits
}

/// Where the first blank or control character from `at` on is, or the end.
#[inline]
pub(crate) fn find_blank(bytes: &[u8], at: usize) -> usize {
    let (chunks, rest) = bytes.get(at..).unwrap_or_default().as_chunks();
    let mut passed = at;
    for chunk in chunks {
        if has_blank(chunk) {
            return passed + first_blank(chunk);
        }
        passed += chunk.len();
    }
    passed + rest.iter().position(|it| *it <= b' ').unwrap_or(rest.len())
}

/// Whether there is a blank or control character, written so that all bytes are compared at once.
#[inline]
fn has_blank(chunk: &[u8; 2 * WIDTH]) -> bool {
    chunk.map(|it| it <= b' ').contains(&true)
}

/// The index of the first one, of which there is one. It takes no branch, as none could be foreseen.
#[inline]
fn first_blank(chunk: &[u8; 2 * WIDTH]) -> usize {
    let (halves, _) = chunk.as_chunks();
    let [low, high] = [halves[0], halves[1]].map(|it| before_blank(u64::from_le_bytes(it)));
    // Without a blank in the lower half its first one is at its width.
    low + low / WIDTH * high
}

/// How many of eight bytes stand before the first blank or control character.
#[inline]
pub(crate) fn before_blank(word: u64) -> usize {
    first(blanks(word))
}

/// Marks the first byte that is at most a blank. Bytes outside ASCII are never marked.
#[inline]
const fn blanks(word: u64) -> u64 {
    word.wrapping_sub(SPACES + ONES) & !word & HIGHS
}

/// How many spaces stand at `at`, up to eight.
#[inline]
pub(crate) fn leading_spaces(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(eight).map_or(0, |word| first(word ^ SPACES))
}

/// Where the spaces end that stand at `at`.
#[inline]
pub(crate) fn skip_spaces(bytes: &[u8], at: usize) -> usize {
    let (chunks, rest) = bytes.get(at..).unwrap_or_default().as_chunks();
    let mut passed = at;
    for chunk in chunks {
        let other = u64::from_le_bytes(*chunk) ^ SPACES;
        if other != 0 {
            return passed + first(other);
        }
        passed += WIDTH;
    }
    passed + rest.iter().position(|it| *it != b' ').unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::{all_newlines, find_blank, skip_spaces};

    #[test]
    fn every_newline_is_found() {
        for len in [0, 1, 63, 64, 65, 130] {
            for (first, second) in (0..len).flat_map(|it| [(it, it), (it, len / 2), (it, len - 1)])
            {
                let mut text = vec![b'a'; len];
                text[first] = b'\n';
                text[second] = b'\n';
                let places = (0..len).filter(|at| text[*at] == b'\n');
                assert_eq!(all_newlines(&text), places.collect::<Vec<_>>());
            }
        }
        assert_eq!(all_newlines(b""), [0; 0]);
        assert_eq!(all_newlines(&[b'\n'; 150]), (0..150).collect::<Vec<_>>());
    }

    #[test]
    fn every_place_is_found() {
        for len in 0..40 {
            for at in 0..=len {
                let mut text = vec![b'a'; len];
                let found = [b'\n', b' ', b'\t', 0, 0x7f, 0xff, b'\x0b'];
                for byte in found {
                    if at < len {
                        text[at] = byte;
                    }
                    let by_byte = |want: &dyn Fn(u8) -> bool, from: usize| {
                        (from..len).find(|it| want(text[*it])).unwrap_or(len)
                    };
                    for from in 0..=len {
                        assert_eq!(find_blank(&text, from), by_byte(&|it| it <= b' ', from));
                    }
                }
                let mut spaces = vec![b' '; at];
                spaces.resize(len, b'!');
                assert_eq!(skip_spaces(&spaces, 0), at);
            }
        }
    }
}
