//! Collection in a store with many records.
//!
//! The time is mostly that of the file system: reading 10,000 small files, and renaming and removing what
//! goes. Where it lies decides, so compare only runs on the same one; `TMPDIR` says where.
//!
//!     cargo bench -p dfbuild-store --bench collect
#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion};
use dfbuild_image::{Digest, MediaType, descriptor};
use dfbuild_store::{Policy, Store};
use tempfile::TempDir;

const RECORDS: usize = 10_000;

/// A record is the digest of its layer.
fn read(bytes: &[u8]) -> Option<Vec<Digest>> {
    Some(vec![std::str::from_utf8(bytes).ok()?.parse().ok()?])
}

/// A store of so many steps, each with a record, a blob and what is known of its layer.
fn store() -> (TempDir, Store) {
    let root = TempDir::new().unwrap();
    let store = Store::open(root.path()).unwrap();
    let in_use = store.in_use();
    for number in 0..RECORDS {
        let diff_id = Digest::of(format!("layer {number}"));
        let content = format!("blob {number}");
        let blob = store.put_blob(content.as_bytes()).unwrap();
        store.put_layer_index(&diff_id, b"index").unwrap();
        let of = descriptor(MediaType::ImageLayer, blob, content.len() as u64);
        store.put_layer_blob(&diff_id, "plain", &of).unwrap();
        store.put_record(Digest::of(format!("key {number}")), diff_id.to_string().into_bytes());
    }
    store.commit().unwrap();
    drop(in_use);
    (root, store)
}

fn copy(from: &Path) -> (TempDir, Store) {
    let root = TempDir::new().unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-a", "--", &format!("{}/.", from.display())])
        .arg(root.path())
        .status();
    assert!(copied.unwrap().success());
    assert!(fs::read_dir(root.path()).unwrap().next().is_some());
    let store = Store::open(root.path()).unwrap();
    (root, store)
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (root, store) = store();
    let mut group = criterion.benchmark_group("10,000 records");
    group.sample_size(10);
    group.bench_function("look at all", |b| {
        b.iter(|| black_box(store.inventory(&read).unwrap().items.len()));
    });
    group.bench_function("remove a tenth", |b| {
        b.iter_batched(
            || copy(root.path()),
            |(root, store)| {
                let inventory = store.inventory(&read).unwrap();
                let keep_bytes = Some(inventory.total / 10 * 9);
                let policy = Policy { keep_bytes, ..Policy::default() };
                assert!(store.collect(&inventory, &policy).unwrap().items.len() >= RECORDS / 20);
                (root, store)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    criterion.final_summary();
}
