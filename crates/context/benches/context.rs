//! What it takes to know that 50,000 files are as they were, with two ways to walk, and to know nothing of them.
//!
//! The tree lies in the system's folder for temporary files, in the page cache.
//!
//! ```text
//! cargo bench -p dfbuild-context --bench context
//! ```

use std::fs;
use std::hint::black_box;
use std::time::{Duration, SystemTime};

use criterion::Criterion;
use dfbuild_context::{Context, StatCache};
use dfbuild_image::TreePath;
use dfbuild_pattern::PatternSet;

const FILES: usize = 50_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for number in 0..FILES {
        let parent = folder.path().join(format!("d{:02}/s{:02}", number % 50, number / 50 % 20));
        fs::create_dir_all(&parent).expect("it can be written to");
        fs::write(parent.join(format!("f{number}.js")), format!("{number}\n").repeat(60))
            .expect("so can this");
    }
    // Files that have just been written are read again: their times could hide a change.
    let written = SystemTime::now();
    while written.elapsed().unwrap_or_default() < Duration::from_secs(4) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let open = |cache, plain| {
        Context::new(folder.path(), PatternSet::default(), cache).walking_plainly(plain)
    };
    let notes = folder.path().with_extension("notes");
    let walk = |context: &Context| context.walk(&TreePath::ROOT).expect("nobody changes it");
    let first = open(StatCache::default(), false);
    walk(&first);
    first.save_stat_cache(&notes).expect("it can be written beside it");
    let mut group = criterion.benchmark_group("50,000 files");
    group.sample_size(10);
    group.bench_function("load what is known of them", |bench| {
        bench.iter(|| black_box(StatCache::load(&notes)));
    });
    for (name, plain) in [("walk, all known", false), ("walkdir, all known", true)] {
        let context = open(StatCache::load(&notes), plain);
        group.bench_function(name, |bench| bench.iter(|| walk(&context)));
    }
    group.bench_function("walk and read", |bench| {
        bench.iter(|| walk(&open(StatCache::default(), false)));
    });
    group.finish();
    let _ = fs::remove_file(notes);
    criterion.final_summary();
}
