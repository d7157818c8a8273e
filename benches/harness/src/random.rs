/// Numbers from a seed: the same on every machine (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// `count` bytes that nothing compresses.
    pub(crate) fn noise(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Text of words, as source code compresses.
#[derive(Debug)]
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn new(random: &mut Random) -> Self {
        const LETTERS: &[u8] = b"etaoinshrdlucmfwypvbgk";
        let word = |random: &mut Random| {
            let length = 2 + random.below(8);
            (0..length).map(|_| char::from(LETTERS[random.below(LETTERS.len())])).collect()
        };
        Self((0..2000).map(|_| word(random)).collect())
    }

    /// A text of `count` words.
    pub(crate) fn text(&self, random: &mut Random, count: usize) -> String {
        let mut text = String::new();
        for number in 0..count {
            text.push_str(&self.0[random.below(self.0.len())]);
            text.push(if number % 11 == 10 { '\n' } else { ' ' });
        }
        text
    }
}
