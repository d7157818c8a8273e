//! Why a step would run, where one of 50,000 files changed: walking the context, and comparing the trees of
//! two keys.
//!
//!     cargo bench -p dfbuild --bench explain
#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use dfbuild::{Build, Cancel, Engine, Event};

const FILES: usize = 50_000;

fn file(number: usize) -> String {
    format!("app/d{:02}/s{:02}/f{number}.js", number % 50, number / 50 % 20)
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (context, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(context.path(), "Dockerfile", "FROM scratch\nCOPY app /app\n");
    for number in 0..FILES {
        write(context.path(), &file(number), &format!("file {number}\n"));
    }
    let quiet = |_: &Event| {};
    let engine = Engine::open(root.path()).unwrap();
    let build = Build::new(context.path());
    build.run(&engine, &quiet, &Cancel::new()).unwrap();
    let explain = || {
        let loaded = build.load(&engine, &quiet, &Cancel::new()).unwrap();
        black_box(loaded.explain(&quiet).unwrap())
    };
    let mut group = criterion.benchmark_group("explain, 50,000 files");
    group.sample_size(10);
    group.bench_function("nothing changed", |b| b.iter(explain));
    write(context.path(), &file(FILES / 2), "changed\n");
    group.bench_function("one changed", |b| b.iter(explain));
    group.finish();
    criterion.final_summary();
}
