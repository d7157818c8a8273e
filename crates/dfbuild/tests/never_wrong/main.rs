//! What comes from the cache is what a build without one makes: random Dockerfiles over random
//! contexts, with random edits, each built with a store that lives on and with a fresh one.
//!
//! A world is a Dockerfile and its contexts, made from a seed, and a number of edits. What fails is
//! built again without the edits that are not needed for it, and its seed is printed:
//!
//! ```text
//! DFBUILD_NEVER_WRONG_SEED=17 cargo test -p dfbuild --test never_wrong
//! DFBUILD_NEVER_WRONG_EDITS=1000 cargo test -p dfbuild --test never_wrong
//! ```
//! It has a `main` of its own: an ordinary user's process has to enter a user namespace before it
//! has threads.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![expect(clippy::print_stdout, reason = "the test says what it did")]

mod builds;
mod random;
mod world;

use std::collections::BTreeSet;
use std::env;

use builds::{Bed, Difference};
use dfbuild_testkit::{Skipped, run_or_skip};
use world::World;

/// Edits of one world.
const EDITS_OF_WORLD: usize = 10;

/// Edits in all, unless the environment says otherwise.
const EDITS: usize = 40;

fn main() {
    // Test runners ask for a list; this is one test.
    if env::args().any(|arg| arg == "--list") {
        println!("never_wrong: test");
        return;
    }
    let entered = dfbuild::rootless::enter();
    run_or_skip("never_wrong", || {
        entered.map_err(|error| Skipped::because(format!("no commands can run: {error}")))?;
        run()
    });
}

fn number(name: &str) -> Option<usize> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run() -> Result<(), Skipped> {
    let bed = Bed::new()?;
    if let Some(seed) = number("DFBUILD_NEVER_WRONG_SEED") {
        let counts = check(&bed, seed);
        println!("never_wrong: seed {seed}: {counts:?}, no difference");
        return Ok(());
    }
    let worlds = number("DFBUILD_NEVER_WRONG_EDITS").unwrap_or(EDITS).div_ceil(EDITS_OF_WORLD);
    let (mut cached, mut ran, mut failed) = (0, 0, 0);
    for seed in 0..worlds {
        let counts = check(&bed, seed);
        cached += counts.cached;
        ran += counts.ran;
        failed += counts.failed;
    }
    println!(
        "never_wrong: {} edits, {cached} steps cached, {ran} ran, {failed} builds failed alike, \
         no difference",
        worlds * EDITS_OF_WORLD
    );
    // A test of a cache that never hits, or of nothing but mistakes, would prove nothing.
    assert!(cached > ran / 4, "{cached} steps cached, {ran} ran");
    assert!(failed < worlds * EDITS_OF_WORLD / 2, "{failed} builds failed");
    Ok(())
}

/// How the steps of a world went.
#[derive(Debug, Default)]
struct Counts {
    cached: usize,
    ran: usize,
    failed: usize,
}

/// Builds a world and its edits.
fn check(bed: &Bed, seed: usize) -> Counts {
    let mut counts = Counts::default();
    let Some(found) = first_difference(bed, seed, &BTreeSet::new(), &mut counts) else {
        return counts;
    };
    // The fewest edits that still show it.
    let mut skipped = BTreeSet::new();
    let mut smallest = found;
    for edit in 0..smallest.edit {
        let mut fewer = skipped.clone();
        fewer.insert(edit);
        if let Some(still) = first_difference(bed, seed, &fewer, &mut Counts::default()) {
            (skipped, smallest) = (fewer, still);
        }
    }
    panic!(
        "DFBUILD_NEVER_WRONG_SEED={seed}: after the edits {:#?}\n{}\n{}",
        smallest.edits,
        smallest.dockerfile,
        smallest.lines.join("\n")
    );
}

/// The first build of a world that differs from one without cache.
fn first_difference(
    bed: &Bed,
    seed: usize,
    skipped: &BTreeSet<usize>,
    counts: &mut Counts,
) -> Option<Difference> {
    let mut world = World::new(seed);
    let room = bed.room();
    let mut edits = Vec::new();
    for edit in 0..=EDITS_OF_WORLD {
        // The first build is of the world as it was made.
        if edit > 0 && !skipped.contains(&(edit - 1)) {
            edits.push(world.edit(seed, edit));
        }
        let lines = room.compare(&world, counts);
        if !lines.is_empty() {
            let dockerfile = world.dockerfile();
            return Some(Difference { edit, edits, dockerfile, lines });
        }
    }
    None
}
