//! Runs scenarios.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::compare::{differences, tree};
use crate::daemons::Daemons;
use crate::measure::{measure, median};
use crate::peers::Peer;
use crate::report::{PeerRuns, Row};
use crate::scenarios::{Before, Scale, Scenario};

/// Runs a scenario: the builders in alternation, so that a busy machine hurts them alike. At the end
/// all must have built the same files.
pub(crate) fn run(
    scenario: &Scenario,
    peers: &[Box<dyn Peer>],
    runs: usize,
    scale: &Scale,
    work: &Path,
) -> io::Result<Row> {
    let folder = work.join("context");
    let archive = work.join("image.tar");
    let context = (scenario.prepare)(&folder, scale)?;
    let result = |peer: &dyn Peer| PeerRuns {
        comparable: scenario.archive.is_none() || peer.compresses(),
        ..PeerRuns::new(peer.name())
    };
    let mut results: Vec<PeerRuns> = peers.iter().map(|peer| result(&**peer)).collect();
    for peer in peers {
        peer.reset()?;
        if scenario.before == Before::Same {
            measure(&peer.build(&scenario.job(context.folder(), "before", &archive)))?;
        }
    }
    let mut last = String::new();
    for number in 0..runs {
        if let Some(change) = scenario.change {
            change(&context, number, scale)?;
        }
        last = format!("run-{number}");
        for (peer, result) in peers.iter().zip(&mut results) {
            if scenario.before == Before::Nothing {
                peer.reset()?;
            }
            let daemons = Daemons::of(&**peer);
            let mut cost = measure(&peer.build(&scenario.job(context.folder(), &last, &archive)))?;
            cost.peak_memory += daemons.peak_memory();
            result.runs.push(cost);
            if archive.exists() {
                #[expect(clippy::cast_precision_loss, reason = "mebibytes for people")]
                let size = fs::metadata(&archive)?.len() as f64 / 1_048_576.0;
                result.counts = vec![("archive in MiB".to_owned(), (size * 10.0).round() / 10.0)];
                fs::remove_file(&archive)?;
            }
        }
    }
    if scenario.id == "A" {
        let seconds = find(context.folder(), runs)?;
        results[0].counts = vec![
            ("find -printf of the same tree in seconds".to_owned(), seconds),
            ("as a part of it (bar 1.5)".to_owned(), results[0].wall() / seconds),
        ];
    }
    let mut built: Option<BTreeMap<String, String>> = None;
    for (peer, result) in peers.iter().zip(&mut results) {
        result.stored = peer.stored();
        let to = work.join("exported");
        peer.export(&scenario.job(context.folder(), &last, &archive), &to)?;
        let files = tree(&to)?;
        fs::remove_dir_all(&to)?;
        match &built {
            None => built = Some(files),
            Some(first) => {
                let differences = differences(first, &files);
                if !differences.is_empty() {
                    let message = format!("{} built something else: {differences:?}", peer.name());
                    return Err(io::Error::other(message));
                }
            }
        }
    }
    for peer in peers {
        peer.reset()?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(Row {
        id: scenario.id.to_owned(),
        title: scenario.title.to_owned(),
        bar: scenario.bar,
        peers: results,
    })
}

/// What it takes to ask for every file of a tree once.
fn find(folder: &Path, runs: usize) -> io::Result<f64> {
    let mut command = Command::new("find");
    command.arg(folder).args(["-printf", "%p %s %T@ %m\\n"]);
    let costs = (0..runs).map(|_| measure(&command).map(|cost| cost.wall));
    Ok(median(costs.collect::<io::Result<Vec<f64>>>()?))
}

impl PeerRuns {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, runs: Vec::new(), comparable: true, stored: None, counts: Vec::new() }
    }
}
