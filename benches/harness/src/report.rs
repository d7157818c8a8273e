//! Results as a table, and as data.

use std::fmt::Write as _;

use serde::Serialize;

use crate::measure::{Cost, median};

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The command that measured it, without the name of the program.
    pub(crate) command: Vec<String>,
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    pub(crate) date: String,
    /// Where contexts and stores lay.
    pub(crate) folder: String,
}

/// A scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) title: String,
    /// At most this part of the best of the others.
    pub(crate) bar: f64,
    /// dfbuild first.
    pub(crate) peers: Vec<PeerRuns>,
}

/// The runs of one builder.
#[derive(Debug, Serialize)]
pub(crate) struct PeerRuns {
    pub(crate) name: String,
    pub(crate) runs: Vec<Cost>,
    /// Whether it did all that was asked for, so that its time says something of ours.
    pub(crate) comparable: bool,
    /// Bytes it kept at the end, if it says so.
    pub(crate) stored: Option<u64>,
    /// What else was counted, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) counts: Vec<(String, f64)>,
}

impl PeerRuns {
    pub(crate) fn wall(&self) -> f64 {
        median(self.runs.iter().map(|run| run.wall))
    }

    pub(crate) fn processor(&self) -> f64 {
        median(self.runs.iter().map(|run| run.user + run.system))
    }

    /// In MiB.
    #[expect(clippy::cast_precision_loss, reason = "mebibytes for people")]
    pub(crate) fn memory(&self) -> f64 {
        median(self.runs.iter().map(|run| run.peak_memory as f64 / 1_048_576.0))
    }
}

impl Row {
    /// The time of dfbuild as a part of that of the fastest of the others that did the same.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (own, others) = self.peers.split_first()?;
        let comparable = others.iter().filter(|peer| peer.comparable);
        let best = comparable.map(PeerRuns::wall).min_by(f64::total_cmp)?;
        Some(own.wall() / best)
    }
}

impl Report {
    /// The table: wall seconds, then processor seconds and peak memory.
    pub(crate) fn markdown(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for peer in self.rows.iter().flat_map(|row| &row.peers) {
            if !names.contains(&peer.name.as_str()) {
                names.push(&peer.name);
            }
        }
        let Machine { processor, processors, kernel, date, folder } = &self.machine;
        let mut text = format!(
            "{date}, {processors} × {processor}, Linux {kernel}, everything in {folder}. Medians: seconds \
             (seconds of processors, MiB at the peak).\n\n    dfbuild-bench {}\n\n",
            self.command.join(" ")
        );
        let _ = writeln!(text, "| scenario | {} | dfbuild / best |", names.join(" | "));
        let _ = writeln!(text, "|---|{}---|", "---|".repeat(names.len()));
        for row in &self.rows {
            let cells = names.iter().map(|name| {
                let runs =
                    row.peers.iter().find(|peer| peer.name == *name && !peer.runs.is_empty());
                runs.map_or("–".to_owned(), cell)
            });
            let cells: Vec<String> = cells.collect();
            let ratio = row.ratio().map_or("–".to_owned(), |ratio| {
                let bar = if ratio <= row.bar { "" } else { ", bar missed" };
                format!("{ratio:.3} (bar {}{bar})", row.bar)
            });
            let _ =
                writeln!(text, "| {}. {} | {} | {ratio} |", row.id, row.title, cells.join(" | "));
        }
        let own = self.rows.iter().filter(|row| matches!(row.id.as_str(), "A" | "C" | "H"));
        let peaks: Vec<String> = own
            .filter_map(|row| Some(format!("{} {:.0}", row.id, row.peers.first()?.memory())))
            .collect();
        if !peaks.is_empty() {
            let _ =
                writeln!(text, "\nJ. Peak memory of dfbuild in MiB (bar 64): {}", peaks.join(", "));
        }
        for row in &self.rows {
            for peer in row.peers.iter().filter(|peer| !peer.counts.is_empty()) {
                let counts: Vec<String> = peer
                    .counts
                    .iter()
                    .map(|(name, count)| format!("{name} {}", rounded(*count)))
                    .collect();
                let _ = writeln!(text, "\n{}, {}: {}", row.id, peer.name, counts.join(", "));
            }
        }
        text
    }
}

fn cell(peer: &PeerRuns) -> String {
    let less = if peer.comparable { "" } else { ", not compressed" };
    let (wall, processor) = (seconds(peer.wall()), seconds(peer.processor()));
    format!("{wall} ({processor}, {:.0}{less})", peer.memory())
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Three digits that count.
fn seconds(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}
