//! Looking steps up in a store of 100,000 records.
//!
//! A record is a small file: the time is that of the file system, so compare only runs on the same one;
//! `TMPDIR` says where.
//!
//!     cargo bench -p dfbuild-store --bench records
#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

use std::hint::black_box;

use criterion::Criterion;
use dfbuild_image::Digest;
use dfbuild_store::Store;
use tempfile::TempDir;

const RECORDS: usize = 100_000;

fn key(number: usize) -> Digest {
    Digest::of(format!("key {number}"))
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let root = TempDir::new().unwrap();
    let store = Store::open(root.path()).unwrap();
    // As long as one of a step mostly is.
    let record = vec![b'r'; 400];
    for number in 0..RECORDS {
        store.put_record(key(number), record.clone());
    }
    store.commit().unwrap();
    let mut group = criterion.benchmark_group("100,000 records");
    let mut number = 0;
    group.bench_function("a hit", |b| {
        b.iter(|| {
            // Another one each time, in no order that the file system knows.
            number = (number + 7919) % RECORDS;
            black_box(store.record(&key(number)).unwrap())
        });
    });
    group.bench_function("a miss", |b| {
        b.iter(|| {
            number += 1;
            assert!(black_box(store.record(&key(RECORDS + number))).is_none());
        });
    });
    group.bench_function("opening the store", |b| {
        b.iter(|| black_box(Store::open(root.path()).unwrap()));
    });
    group.finish();
    criterion.final_summary();
}
