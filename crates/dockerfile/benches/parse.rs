//! How fast files are read, beside two other crates in the same run.
//!
//! What the numbers do not say: the other crates stop at the first error and know fewer shapes of files, so only files
//! that all three read are compared; `parse-dockerfile` leaves the arguments of `ENV`, `LABEL` and `ARG` in one piece and
//! checks no flags, this one splits and checks them as each instruction wants it; nobody else on the machine should be busy.
//! How the linker happens to lay out `parse-dockerfile` makes a difference of a sixth from one build to the next.
//!
//! The files are made from a number; `DFBUILD_BENCH_DOCKERFILES` names a folder of others, searched for files of any
//! name.
//!
//! ```text
//! cargo bench -p dfbuild-dockerfile --bench parse
//! ```
#![expect(clippy::print_stderr, reason = "standard output belongs to the figures")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use dfbuild_dockerfile::{Diagnostic, parse, tree};

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Dialect, Random, dockerfile};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut random = Random::new(1);
    let dialect = Dialect { heredocs: false, oddities: false };
    let made: Vec<String> = (0..400).map(|_| dockerfile(&mut random, dialect)).collect();
    compare(&mut criterion, "made", &made);
    if let Some(folder) = std::env::var_os("DFBUILD_BENCH_DOCKERFILES") {
        let mut found = Vec::new();
        collect(Path::new(&folder), &mut found);
        compare(&mut criterion, "found", &found);
    }
    large(&mut criterion);
    criterion.final_summary();
}

/// All text files of a folder.
fn collect(folder: &Path, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).expect("DFBUILD_BENCH_DOCKERFILES is a folder");
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push(text);
        }
    }
}

fn compare(criterion: &mut Criterion, name: &str, files: &[String]) {
    let readable = |text: &&String| {
        parse_dockerfile::parse(text).is_ok()
            && dockerfile_parser::Dockerfile::parse(text).is_ok()
            && !parse(text).diagnostics.iter().any(Diagnostic::is_error)
    };
    let common: Vec<&str> = files.iter().filter(readable).map(String::as_str).collect();
    let bytes: usize = common.iter().map(|it| it.len()).sum();
    eprintln!("{name}: {} of {} files are read by all, {bytes} bytes", common.len(), files.len());
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    let each = |read: &dyn Fn(&str)| common.iter().for_each(|text| read(text));
    group.bench_function("tree", |bencher| {
        bencher.iter(|| each(&|text| drop(black_box(tree(text)))));
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| each(&|text| drop(black_box(parse(text)))));
    });
    group.bench_function("parse-dockerfile", |bencher| {
        bencher.iter(|| each(&|text| drop(black_box(parse_dockerfile::parse(text)))));
    });
    group.bench_function("dockerfile-parser", |bencher| {
        bencher.iter(|| each(&|text| drop(black_box(dockerfile_parser::Dockerfile::parse(text)))));
    });
    group.finish();
    alternate(name, &common);
}

/// The speed of `parse` over that of `parse-dockerfile`, which takes turns with it file by file: what else the machine does
/// then falls on both.
fn alternate(name: &str, files: &[&str]) {
    const ROUNDS: usize = 200;
    let time = |read: &dyn Fn()| {
        let start = Instant::now();
        read();
        start.elapsed()
    };
    let mut ratios = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
        for text in files {
            let us = || drop(black_box(parse(text)));
            let them = || drop(black_box(parse_dockerfile::parse(text)));
            if round % 2 == 0 {
                ours += time(&us);
                theirs += time(&them);
            } else {
                theirs += time(&them);
                ours += time(&us);
            }
        }
        ratios.push(theirs.as_secs_f64() / ours.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    eprintln!(
        "{name}: parse has {median:.2} of the speed of parse-dockerfile, the median of {ROUNDS} rounds"
    );
}

/// Files that no person writes.
fn large(criterion: &mut Criterion) {
    let instructions = "RUN apt-get install -y foo bar \\\n   && echo 'hello world' > /tmp/x \\\n  # why\n  && true\n";
    let cases = [
        ("10 MB of instructions", format!("FROM a\n{}", instructions.repeat(115_000))),
        (
            "10 MB of heredocs",
            format!("FROM a\n{}", "RUN cat <<EOF > /x\nfoo\nbar\nEOF\n".repeat(320_000)),
        ),
        ("10 MB in one ENV", format!("FROM a\nENV {}a=b\n", "KEY=value \\\n ".repeat(770_000))),
        ("10 MB of stages", "FROM a AS b\nCOPY --from=b x y\n".repeat(330_000)),
        ("10 MB of nonsense", format!("FROM a\n{}", "xyzzy foo\nrnu x\n".repeat(620_000))),
        ("64 kB in one line", format!("FROM a\nENV A={}\n", "\"x$y\"'z'${a:-b}".repeat(4_300))),
    ];
    let mut group = criterion.benchmark_group("large");
    group.sample_size(10);
    for (name, text) in cases {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(parse(&text))));
    }
    group.finish();
}
