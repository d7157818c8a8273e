//! What making and unpacking a layer costs: 2,000 files of 4.6 kB on average, and the same with one of
//! them changed.
//!
//! Files are in memory, so that no file system shows; the folder to unpack to is the system's for temporary
//! files. Ratios between the rows say more than the figures.
//!
//! ```text
//! cargo bench -p dfbuild-layer --bench layer
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};

use criterion::{BatchSize, Criterion, Throughput};
use dfbuild_image::{Digest, Entry, Kind, TreePath};
use dfbuild_layer::{
    BlobWriter, Contents, Directory, Earlier, Encoding, Index, Outline, UnpackOptions, View,
    diff_id, pack, unpack,
};

const THREADS: usize = 2;
const LEVEL: u32 = 6;

struct Files(BTreeMap<TreePath, Vec<u8>>);

impl Files {
    fn new(count: usize) -> Self {
        let words = ["return", "const", "self", "import", "value", "=>", "{", "}", "async"];
        let text = |seed: usize| {
            let word = |n: usize| words[(n * seed + n / 7) % words.len()];
            (0..200 + seed * 37 % 1600)
                .map(|n| format!("{} {n:x} ", word(n)))
                .collect::<Vec<_>>()
                .concat()
        };
        let path = |n: usize| TreePath::new(format!("app/d{}/f{n}.js", n % 40));
        Self((0..count).map(|n| (path(n), text(n).into_bytes())).collect())
    }

    fn index(&self) -> Index {
        let entries = self.0.iter().map(|(path, content)| {
            let kind = Kind::File { size: content.len() as u64, digest: Digest::of(content) };
            Entry::new(path.clone(), kind, 0o644, 1)
        });
        Index::new(entries.collect()).expect("the paths differ")
    }
}

impl Contents for Files {
    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0[&entry.path].as_slice()))
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut files = Files::new(2000);
    let index = files.index();
    let mut group = criterion.benchmark_group("layer");
    group.throughput(Throughput::Bytes(files.0.values().map(|content| content.len() as u64).sum()));
    group.bench_function("tar, digest", |bench| {
        bench.iter(|| diff_id(&index, &files).expect("in memory"));
    });
    for encoding in [Encoding::Gzip(LEVEL), Encoding::Zstd(3)] {
        group.bench_function(format!("tar, digest, {}", encoding.id()), |bench| {
            bench.iter(|| {
                let mut blob = BlobWriter::new(io::sink(), encoding, THREADS).expect("in memory");
                pack(&index, &files, &mut blob).expect("in memory");
                black_box(blob.finish().expect("in memory").1)
            });
        });
    }
    let mut bytes = Vec::new();
    let made = Outline::new_packed(&index, &files, LEVEL, None, THREADS, &mut bytes);
    let (outline, _, members) = made.expect("in memory").expect("small files");
    let mut blob: File = tempfile::tempfile().expect("a temporary file can be made");
    blob.write_all(&bytes).expect("it can be written");
    let middle = files.0.keys().nth(1000).cloned().expect("there are more");
    files.0.insert(middle, b"changed".to_vec());
    let changed = files.index();
    group.bench_function("the same after one file changed", |bench| {
        bench.iter(|| {
            let earlier = Earlier { outline: &outline, blob: Some((&members, &blob)) };
            let made = Outline::new_packed(
                &changed,
                &files,
                LEVEL,
                Some(earlier),
                THREADS,
                &mut io::sink(),
            );
            black_box(made.expect("in memory").map(|(_, sealed, _)| sealed))
        });
    });
    let mut tar = Vec::new();
    pack(&changed, &files, &mut tar).expect("in memory");
    let options = UnpackOptions { single_id: true, plain: true, ..UnpackOptions::default() };
    group.sample_size(10).bench_function("unpack", |bench| {
        let folder = || tempfile::tempdir().expect("a temporary folder can be made");
        bench.iter_batched(
            folder,
            |folder| {
                let nothing = Directory::new(folder.path());
                let made = unpack(
                    &mut tar.as_slice(),
                    folder.path(),
                    &View::default(),
                    &nothing,
                    &options,
                );
                made.expect("an empty folder takes it");
                folder
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    criterion.final_summary();
}
