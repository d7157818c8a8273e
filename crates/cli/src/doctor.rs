use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use dfbuild::SnapshotterChoice;
use dfbuild::doctor::{Health, Probe};
use serde_json::json;

use crate::args::{DoctorArgs, DoctorFormat};
use crate::{engine, output, report};

/// Tries what builds need. Fails if most builds would.
pub(crate) fn run(args: &DoctorArgs, root: PathBuf) -> ExitCode {
    let probes = match engine::open(root, SnapshotterChoice::Auto) {
        Ok(engine) => engine.doctor(),
        Err(error) => vec![Probe::of_store(&error)],
    };
    let text = match args.format {
        DoctorFormat::Text => text(&probes),
        DoctorFormat::Json => {
            let values: serde_json::Value = probes.iter().map(value).collect();
            format!("{values:#}\n")
        }
    };
    if let Err(error) = output::print(&text) {
        return report::error(&format!("write to standard output: {error}"));
    }
    let bad = probes.iter().any(|probe| probe.health == Health::Bad);
    if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "ok",
        Health::Limited => "limited",
        _ => "bad",
    }
}

fn text(probes: &[Probe]) -> String {
    let width = probes.iter().map(|probe| probe.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for probe in probes {
        let _ = writeln!(text, "{:width$}  {:7}  {}", probe.name, word(probe.health), probe.found);
        for (label, more) in [("so", &probe.consequence), ("fix", &probe.fix)] {
            if let Some(more) = more {
                let _ = writeln!(text, "{:width$}  {label:>7}: {more}", "");
            }
        }
    }
    text
}

fn value(probe: &Probe) -> serde_json::Value {
    json!({
        "name": probe.name,
        "health": word(probe.health),
        "found": probe.found,
        "consequence": probe.consequence,
        "fix": probe.fix,
    })
}
