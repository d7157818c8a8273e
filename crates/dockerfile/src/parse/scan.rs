//! Looking for bytes eight at a time: lines and words are so short that a call to a search costs more than the search.

/// The number of bytes that are looked at together.
const WIDTH: usize = 8;

const ONES: u64 = u64::from_le_bytes([1; WIDTH]);
const SPACES: u64 = u64::from_le_bytes([b' '; WIDTH]);
const NEWLINES: u64 = u64::from_le_bytes([b'\n'; WIDTH]);
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

/// Where the first `\n` from `at` on is, or the end.
#[expect(clippy::inline_always, reason = "each line is looked for with it")]
#[inline(always)]
pub(crate) fn find_newline(bytes: &[u8], at: usize) -> usize {
    let (chunks, rest) = bytes.get(at..).unwrap_or_default().as_chunks();
    let mut passed = at;
    for chunk in chunks {
        if has_newline(chunk) {
            return passed + first_newline(chunk);
        }
        passed += chunk.len();
    }
    passed + rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len())
}

/// Whether there is a `\n`, written so that all bytes are compared at once.
#[inline]
fn has_newline(chunk: &[u8; 2 * WIDTH]) -> bool {
    chunk.map(|it| it == b'\n').contains(&true)
}

/// The index of the first `\n`, of which there is one. It takes no branch, as none could be foreseen.
#[inline]
fn first_newline(chunk: &[u8; 2 * WIDTH]) -> usize {
    let (halves, _) = chunk.as_chunks::<WIDTH>();
    let zeros = |half: [u8; WIDTH]| {
        // A byte that is 0 borrows from the bit above it; what is marked behind the first such byte means nothing.
        let zero = u64::from_le_bytes(half) ^ NEWLINES;
        zero.wrapping_sub(ONES) & !zero & HIGHS
    };
    let (low, high) = (first(zeros(halves[0])), first(zeros(halves[1])));
    // Without a mark in the lower half its first one is at its width.
    low + low / WIDTH * high
}

/// Where the first blank or control character from `at` on is, or the end.
#[inline]
pub(crate) fn find_blank(bytes: &[u8], at: usize) -> usize {
    let (chunks, rest) = bytes.get(at..).unwrap_or_default().as_chunks();
    let mut passed = at;
    for chunk in chunks {
        let marks = blanks(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return passed + first(marks);
        }
        passed += WIDTH;
    }
    passed + rest.iter().position(|it| *it <= b' ').unwrap_or(rest.len())
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
    use super::{find_blank, find_newline, skip_spaces};

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
                        assert_eq!(find_newline(&text, from), by_byte(&|it| it == b'\n', from));
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
