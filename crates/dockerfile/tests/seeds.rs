//! Every seed of the fuzz targets, given to every target: as it is, and with slips.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut seeds = Vec::new();
    for target in fs::read_dir(&folder).expect("the seeds are there") {
        for seed in fs::read_dir(target.expect("readable").path()).expect("a folder of seeds") {
            seeds.push(fs::read(seed.expect("readable").path()).expect("a seed can be read"));
        }
    }
    assert!(seeds.len() >= 20, "{} seeds", seeds.len());
    seeds.sort();
    seeds
}

fn try_all(data: &[u8]) {
    targets::parse(data);
    targets::expand(data);
    targets::ignore(data);
    targets::print(data);
}

#[test]
fn seeds_keep_what_the_targets_hold_true() {
    for seed in seeds() {
        try_all(&seed);
    }
}

/// Numbers that are the same in every run (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % end.max(1)
    }
}

/// What a slip puts in.
const PIECES: [&str; 24] = [
    "\n", " ", "\\", "\\\n", "\"", "'", "`", "$", "${", "}", ":-", "<<E", "\nE\n", "[", "]", "#",
    "=", "--", "!", "**", "*", "ONBUILD ", "\u{e4}", "\0",
];

#[test]
fn slips_keep_what_the_targets_hold_true() {
    let (seeds, mut numbers) = (seeds(), Numbers(0x2545_f491_4f6c_dd1d));
    let rounds = std::env::var("DFBUILD_TEST_SLIPS").ok().and_then(|it| it.parse().ok());
    for _ in 0..rounds.unwrap_or(300) {
        let mut data = seeds[numbers.below(seeds.len())].clone();
        data.truncate(2000);
        for _ in 0..=numbers.below(4) {
            let (at, end) = (numbers.below(data.len() + 1), numbers.below(data.len() + 1));
            let range = at.min(end)..at.max(end);
            match numbers.below(4) {
                0 => drop(data.splice(at..at, PIECES[numbers.below(PIECES.len())].bytes())),
                1 => drop(data.drain(range.start..range.end.min(range.start + 20))),
                2 => {
                    let other = &seeds[numbers.below(seeds.len())];
                    let from = numbers.below(other.len());
                    let part = other[from..].iter().take(60).copied().collect::<Vec<_>>();
                    data.splice(at..at, part);
                }
                _ => {
                    let part = data[range].iter().take(40).copied().collect::<Vec<_>>();
                    data.extend(part);
                }
            }
        }
        try_all(&data);
    }
}
