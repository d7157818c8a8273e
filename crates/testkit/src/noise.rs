/// Bytes that do not compress and that no two places of are alike; always the same ones.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state: u32 = 0x1234_5678;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
