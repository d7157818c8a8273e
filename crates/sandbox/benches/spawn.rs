//! One command that does nothing: namespaces, an overlay, mounts, the system call filter, and their end.
//!
//! Needs root and a static busybox. With a gigabyte of memory in the host beside it, because a sandbox
//! must not take longer in a large process.
//!
//!     cargo bench -p dfbuild-sandbox
#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]
#![expect(clippy::print_stderr, reason = "says why it measures nothing")]

use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::Criterion;
use dfbuild_sandbox::{Exit, Network, Spec, probe, spawn};

/// A specification that runs `/bin/true` over `base` in new directories.
fn spec(dir: &Path, number: &Cell<u32>) -> Spec {
    let own = dir.join(format!("step{}", number.replace(number.get() + 1)));
    let (upper, work) = (own.join("upper"), own.join("work"));
    fs::create_dir_all(&upper).unwrap();
    fs::create_dir_all(&work).unwrap();
    Spec { lower: vec![dir.join("base")], args: vec!["/bin/true".into()], ..Spec::new(upper, work) }
}

fn run(spec: &Spec) {
    let exit = spawn(spec).unwrap().wait().unwrap();
    assert_eq!(exit, Exit::Code(0));
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let dir = tempfile::tempdir().unwrap();
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let (true, Some(busybox)) = (rustix::process::geteuid().is_root(), busybox) else {
        eprintln!("SKIPPED: takes root and a static busybox (package busybox-static)");
        return;
    };
    // With the places that it mounts something on.
    for name in ["bin", "proc", "sys", "dev", "etc"] {
        fs::create_dir_all(dir.path().join("base").join(name)).unwrap();
    }
    fs::copy(busybox, dir.path().join("base/bin/true")).unwrap();
    let number = Cell::new(0);
    let mut group = criterion.benchmark_group("sandbox");
    group.bench_function("true", |b| b.iter(|| run(&spec(dir.path(), &number))));
    group.bench_function("true without network", |b| {
        b.iter(|| run(&Spec { network: Network::None, ..spec(dir.path(), &number) }));
    });
    group.bench_function("asking what works", |b| {
        b.iter(|| black_box(probe(dir.path()).unwrap()));
    });
    let memory = vec![1_u8; 1 << 30];
    group.bench_function("true beside a gigabyte", |b| b.iter(|| run(&spec(dir.path(), &number))));
    assert_eq!(black_box(&memory).last(), Some(&1));
    group.finish();
    criterion.final_summary();
}
