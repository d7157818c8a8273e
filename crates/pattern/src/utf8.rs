//! Characters in bytes that may not be text.

/// What a byte that is not part of a character decodes to, as in Go.
pub(crate) const REPLACEMENT: u32 = 0xfffd;

/// The first character and its width; a byte that is no text is one replacement character. `bytes` is not empty.
pub(crate) fn next_char(bytes: &[u8]) -> (u32, usize) {
    let first = bytes[0];
    let width = match first {
        0x00..=0x7f => return (u32::from(first), 1),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return (REPLACEMENT, 1),
    };
    let char = bytes.get(..width).and_then(|head| std::str::from_utf8(head).ok());
    match char.and_then(|text| text.chars().next()) {
        Some(char) => (u32::from(char), width),
        None => (REPLACEMENT, 1),
    }
}
