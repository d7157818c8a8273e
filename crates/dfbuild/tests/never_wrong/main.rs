//! What comes from the cache is what a build without one makes: random Dockerfiles over random
//! contexts, with random edits, each built with a store that lives on and with a fresh one.
//!
//! A world is a Dockerfile and its contexts, made from a seed, and a number of edits. What fails is
//! built again without the edits that are not needed for it, and its seed is printed:
//!
//! ```text
//! DFBUILD_NEVER_WRONG_SEED=17 cargo test -p dfbuild --test never_wrong
//! DFBUILD_NEVER_WRONG_EDITS=1000 cargo test -p dfbuild --test never_wrong
//! DFBUILD_NEVER_WRONG_FIRST=500 cargo test -p dfbuild --test never_wrong
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
    let wanted = number("DFBUILD_NEVER_WRONG_EDITS").unwrap_or(EDITS);
    let first = number("DFBUILD_NEVER_WRONG_FIRST").unwrap_or(0);
    let mut all = Counts::default();
    for seed in first.. {
        let counts = check(&bed, seed);
        all.edits += counts.edits;
        all.cached += counts.cached;
        all.ran += counts.ran;
        all.failed += counts.failed;
        if all.edits >= wanted {
            break;
        }
    }
    println!("never_wrong: {all:?}, no difference");
    // A test of a cache that never hits would prove nothing.
    assert!(all.cached > all.ran / 4, "{all:?}");
    Ok(())
}

/// How the steps of a world went.
#[derive(Debug, Default)]
struct Counts {
    /// Edits that were built.
    edits: usize,
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
    let room = bed.room();
    let mut edits = Vec::new();
    let mut attempts = (0..).map(|attempt| World::new(seed, attempt));
    let (mut world, mut lines) = loop {
        let world = attempts.next().expect("there is always another");
        if let Some(lines) = room.compare(&world, counts) {
            break (world, lines);
        }
    };
    for edit in 0..=EDITS_OF_WORLD {
        // The first build is of the world as it was made.
        if edit > 0 {
            if skipped.contains(&(edit - 1)) {
                continue;
            }
            edits.push(world.edit(seed, edit));
            let Some(found) = room.compare(&world, counts) else {
                world.undo();
                edits.push("which cannot be built, so it is taken back".to_owned());
                continue;
            };
            counts.edits += 1;
            lines = found;
        }
        if !lines.is_empty() {
            let dockerfile = world.dockerfile();
            return Some(Difference { edit, edits, dockerfile, lines });
        }
    }
    None
}
