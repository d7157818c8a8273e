//! The rows of the table.

use std::io;
use std::path::{Path, PathBuf};

use crate::contexts::{Context, small_file};
use crate::peers::{Compression, Job};
use crate::random::Random;

/// A row of the table.
pub(crate) struct Scenario {
    /// A letter, or a letter and what tells variants apart.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// How dfbuild is to compare with the best of the others: at most this part of it.
    pub(crate) bar: f64,
    /// What a peer has built when a run begins.
    pub(crate) before: Before,
    /// Makes the context.
    pub(crate) prepare: fn(&Path, &Scale) -> io::Result<Context>,
    /// Changes the context before a run, the number of which counts from 0.
    pub(crate) change: Option<Change>,
    /// Whether the image is written to an archive, and how.
    pub(crate) archive: Option<Compression>,
    /// Whether each run has a build argument `N` of its own.
    pub(crate) argument: bool,
}

/// A change of a context.
type Change = fn(&Context, usize, &Scale) -> io::Result<()>;

/// What a peer has built when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: everything is forgotten before each run.
    Nothing,
    /// The same context, as it was before the change.
    Same,
}

/// How large the contexts are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Files in the contexts of A, B and C.
    pub(crate) files: usize,
    /// By how much the large files are smaller than they should be; 1 for figures that count.
    pub(crate) smaller: usize,
}

const MIB: usize = 1 << 20;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "A",
        title: "no-op rebuild, 50,000 small files",
        bar: 0.25,
        before: Before::Same,
        prepare: small_files,
        change: None,
        archive: None,
        argument: false,
    },
    Scenario {
        id: "B",
        title: "the same after one file changed, gzip image",
        bar: 0.1,
        before: Before::Same,
        prepare: small_files,
        change: Some(one_file),
        archive: None,
        argument: false,
    },
    Scenario {
        id: "C",
        title: "the same from nothing, gzip image",
        bar: 0.25,
        before: Before::Nothing,
        prepare: small_files,
        change: None,
        archive: None,
        argument: false,
    },
    Scenario {
        id: "D",
        title: "20 × RUN echo, no cache",
        bar: 0.125,
        before: Before::Same,
        prepare: twenty_commands,
        change: None,
        archive: None,
        argument: true,
    },
    Scenario {
        id: "E",
        title: "one RUN, whole process",
        bar: 0.2,
        before: Before::Same,
        prepare: one_command,
        change: None,
        archive: None,
        argument: true,
    },
    Scenario {
        id: "F",
        title: "six independent stages of 2 s",
        bar: 0.9,
        before: Before::Same,
        prepare: six_stages,
        change: None,
        archive: None,
        argument: true,
    },
    Scenario {
        id: "G",
        title: "one small COPY on a local base of 170 MB",
        bar: 0.2,
        before: Before::Same,
        prepare: large_base,
        change: Some(small_file_on_top),
        archive: None,
        argument: false,
    },
    Scenario {
        id: "H",
        title: "RUN that writes 500 MB, gzip OCI archive",
        bar: 0.5,
        before: Before::Same,
        prepare: large_result,
        change: None,
        archive: Some(Compression::Gzip),
        argument: true,
    },
    Scenario {
        id: "H-zstd",
        title: "the same with zstd",
        bar: 0.5,
        before: Before::Same,
        prepare: large_result,
        change: None,
        archive: Some(Compression::Zstd),
        argument: true,
    },
];

fn small_files(folder: &Path, scale: &Scale) -> io::Result<Context> {
    let context = Context::new(PathBuf::from(folder), "COPY app /app\nRUN true\n")?;
    context.add_small_files(scale.files)?;
    Ok(context)
}

/// Another file each time, anywhere in the tree.
fn one_file(context: &Context, run: usize, scale: &Scale) -> io::Result<()> {
    let mut random = Random::new(run as u64);
    let name = small_file(random.below(scale.files));
    context.write(&name, format!("changed in run {run}\n"))
}

fn twenty_commands(folder: &Path, _: &Scale) -> io::Result<Context> {
    let commands: Vec<String> = (0..20).map(|n| format!("RUN echo $N > /f{n}\n")).collect();
    Context::new(folder.to_owned(), &format!("ARG N\n{}", commands.concat()))
}

fn one_command(folder: &Path, _: &Scale) -> io::Result<Context> {
    Context::new(folder.to_owned(), "ARG N\nRUN true\n")
}

fn six_stages(folder: &Path, _: &Scale) -> io::Result<Context> {
    let stages: Vec<String> = (0..6)
        .map(|n| format!("FROM base AS s{n}\nARG N\nRUN sleep 2; echo $N > /f{n}\n"))
        .collect();
    let copies: Vec<String> = (0..6).map(|n| format!("COPY --from=s{n} /f{n} /\n")).collect();
    Context::new(folder.to_owned(), &format!("{}FROM base\n{}", stages.concat(), copies.concat()))
}

fn large_base(folder: &Path, scale: &Scale) -> io::Result<Context> {
    let context = Context::new(folder.to_owned(), "COPY base /usr/share\nCOPY small /small\n")?;
    for number in 0..17_u64 {
        context.add_half_compressible(
            &format!("base/{number}"),
            10 * MIB / scale.smaller,
            number,
        )?;
    }
    context.write("small", "0")?;
    Ok(context)
}

fn small_file_on_top(context: &Context, run: usize, _: &Scale) -> io::Result<()> {
    context.write("small", format!("run {run}"))
}

fn large_result(folder: &Path, scale: &Scale) -> io::Result<Context> {
    let commands = "COPY part /part\nARG N\n\
         RUN echo $N > /n; for n in 0 1 2 3 4 5 6 7 8 9; do echo $n$N | cat - /part > /large$n; done\n";
    let context = Context::new(folder.to_owned(), commands)?;
    context.add_half_compressible("part", 50 * MIB / scale.smaller, 0)?;
    Ok(context)
}

impl Scenario {
    /// The build of a run.
    pub(crate) fn job<'a>(&self, context: &'a Path, run: &str, archive: &Path) -> Job<'a> {
        let mut job = Job::new(context);
        if self.argument {
            job.arguments.push(("N".to_owned(), run.to_owned()));
        }
        job.archive = self.archive.map(|compression| (archive.to_owned(), compression));
        job
    }
}
