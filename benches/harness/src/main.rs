//! Measures builds that people repeat, dfbuild against whichever peers are installed.
//!
//! ```text
//! cargo build --release && cargo run --release -p dfbuild-bench -- --peers buildah --runs 3
//! ```
//!
//! Contexts are made from a seed, on tmpfs where there is one: on a disk the noise of the file system is
//! larger than the differences. Each build is a process of its own, with a warm page cache. The builders
//! run in alternation, medians are printed, and what to quote are the ratios of one run. All must have
//! built the same files. Needs root for buildah, and a static busybox for the commands in the images.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

mod chart;
mod compare;
mod contexts;
mod daemons;
mod measure;
mod peers;
mod pull;
mod random;
mod replay;
mod report;
mod runner;
mod scenarios;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;

use crate::report::{Machine, PeerRuns, Report, Row};
use crate::scenarios::{SCENARIOS, Scale};

/// Measures builds that people repeat, dfbuild against whichever peers are installed.
#[derive(Debug, Parser)]
struct Options {
    /// Rows by letter; all of them unless given.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Builders to compare with: buildah, docker, buildkit, kaniko; or `none`. Those that are not
    /// installed are left out, and named.
    #[arg(long, value_delimiter = ',', default_value = "buildah,docker,buildkit,kaniko")]
    peers: Vec<String>,
    /// Runs of each builder.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The dfbuild to measure.
    #[arg(long, default_value = "target/release/dfbuild")]
    binary: PathBuf,
    /// Files in the contexts of A, B and C.
    #[arg(long, default_value_t = 50_000)]
    files: usize,
    /// Makes the large files that many times smaller, for a quick look.
    #[arg(long, default_value_t = 1)]
    smaller: usize,
    /// Commits of each application in K.
    #[arg(long, default_value_t = 30)]
    commits: usize,
    /// Where contexts and stores go [default: /dev/shm, else the system's folder for temporary files].
    #[arg(long)]
    work: Option<PathBuf>,
    /// Writes what was measured as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the table, which is printed anyway.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Writes a chart.
    #[arg(long)]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let result = if arguments.peek().is_some_and(|first| first == measure::MEASURE) {
        measure::measure_here(arguments.skip(1))
            .and_then(|cost| serde_json::to_writer(io::stdout(), &cost).map_err(io::Error::other))
    } else {
        compare_all(&Options::parse())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare_all(options: &Options) -> io::Result<()> {
    let binary = std::path::absolute(&options.binary)?;
    if !binary.is_file() {
        let text = format!("--binary: there is no {} (cargo build --release)", binary.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let shared = Path::new("/dev/shm");
    let parent = options
        .work
        .clone()
        .unwrap_or_else(|| if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() });
    let work = tempfile::Builder::new().prefix("dfbuild-bench-").tempdir_in(&parent)?;
    let (peers, missing) = peers::find(&options.peers, &binary, work.path());
    for reason in missing {
        eprintln!("left out: {reason}");
    }
    let scale = Scale { files: options.files, smaller: options.smaller.max(1) };
    let wanted =
        |id: &str| options.scenario.is_empty() || options.scenario.iter().any(|name| id == name);
    let mut report = Report {
        command: std::env::args().skip(1).collect(),
        machine: Machine::this(&parent),
        rows: Vec::new(),
    };
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(scenario.id)) {
        eprintln!("{}. {}", scenario.id, scenario.title);
        let row = runner::run(scenario, &peers, options.runs, &scale, work.path());
        report
            .rows
            .push(row.map_err(|error| io::Error::other(format!("{}: {error}", scenario.id)))?);
    }
    if wanted("I") {
        eprintln!("I. {}", pull::TITLE);
        match pull::run(&peers, options.runs, &scale, work.path()) {
            Ok(row) => report.rows.push(row),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("left out: I: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    if wanted("K") {
        eprintln!("K. {}", replay::TITLE);
        report.rows.push(replay::run(&peers, options.runs, options.commits, work.path())?);
    }
    if wanted("start") {
        report.rows.push(start(&binary)?);
    }
    println!("{}", report.markdown());
    if let Some(path) = &options.markdown {
        std::fs::write(path, report.markdown())?;
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::svg(&report))?;
    }
    if let Some(path) = &options.json {
        let mut file = std::fs::File::create(path)?;
        serde_json::to_writer_pretty(&mut file, &report).map_err(io::Error::other)?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// What it takes to begin at all.
fn start(binary: &Path) -> io::Result<Row> {
    let mut command = std::process::Command::new(binary);
    command.arg("--version");
    let mut runs = PeerRuns::new("dfbuild");
    for _ in 0..50 {
        runs.runs.push(measure::measure(&command)?);
    }
    let title = "dfbuild --version (bar 0.003 s)".to_owned();
    Ok(Row { id: "start".to_owned(), title, bar: 1.0, peers: vec![runs] })
}

impl Machine {
    fn this(folder: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
        let processor =
            processor.map_or("unknown", |name| name.trim_start_matches(['\t', ' ', ':']));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            processor: processor.to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim_end().to_owned(),
            date: date(now),
            folder: folder.display().to_string(),
        }
    }
}

/// The day of a time in seconds since 1970 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_767_225_599), "2025-12-31");
    }
}
