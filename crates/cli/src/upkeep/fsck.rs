use std::cell::RefCell;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use dfbuild::upkeep::{Finding, Fsck, Looked, Outcome};
use serde::Serialize;

use super::open;
use crate::args::{FsckArgs, UpkeepFormat};
use crate::output::{json_lines, print};

/// Looks for damage in the store. The exit code is 1 if some is left.
pub(crate) fn run(args: &FsckArgs, root: PathBuf) -> Result<ExitCode, Box<dyn Error>> {
    let mut fsck = Fsck::default();
    (fsck.repair, fsck.deep) = (args.repair, args.deep);
    let findings = RefCell::new(Vec::new());
    // Told at once: a large store takes a while.
    let tell = |finding: &Finding| {
        let _ = match args.format {
            UpkeepFormat::Table => print(&line(finding)),
            UpkeepFormat::Json => {
                json_lines([Found::of(finding)]).map_or(Ok(()), |text| print(&text))
            }
        };
        findings.borrow_mut().push(finding.clone());
    };
    let looked = open(root)?.fsck(&fsck, &tell)?;
    let findings = findings.into_inner();
    if args.format == UpkeepFormat::Table {
        print(&summary(&looked, &findings, args.repair))?;
    }
    let is_open = findings.iter().any(Finding::is_open);
    Ok(if is_open { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(finding: &Finding) -> String {
    let Finding { path, problem, .. } = finding;
    let done = match outcome(finding) {
        "left" => String::new(),
        "removed" => "; removed".to_owned(),
        "made_again" => "; made again".to_owned(),
        _ => "; it cannot be had again from here: build or pull the image again".to_owned(),
    };
    format!("{}: {problem}{done}\n", path.display())
}

fn outcome(finding: &Finding) -> &'static str {
    match finding.outcome {
        Outcome::Left => "left",
        Outcome::Removed => "removed",
        Outcome::MadeAgain => "made_again",
        _ => "lost",
    }
}

fn summary(looked: &Looked, findings: &[Finding], repair: bool) -> String {
    let damage = findings.iter().filter(|finding| finding.is_damage).count();
    let left = findings.iter().filter(|finding| finding.is_open()).count();
    let Looked { blobs, layers, snapshots, records, images, .. } = looked;
    let of = |number: usize, one: &str, rest: &str| {
        let end = if number == 1 { "" } else { "s" };
        format!("{number} {one}{end}{rest}")
    };
    let mut text = format!(
        "{}, {}, {}, {}, {}: ",
        of(*blobs, "blob", ""),
        of(*layers, "layer", ""),
        of(*snapshots, "folder", " of layers"),
        of(*records, "result", " of steps"),
        of(*images, "image", ""),
    );
    text += &match (damage, left) {
        (0, _) => "no damage\n".to_owned(),
        (_, 0) => format!("{damage} damaged, all repaired\n"),
        _ if repair => format!("{damage} damaged, {left} not to be repaired\n"),
        _ => format!("{damage} damaged; `dfbuild fsck --repair` repairs what can be\n"),
    };
    text
}

/// A finding for programs.
#[derive(Serialize)]
struct Found<'a> {
    path: String,
    problem: &'a str,
    damage: bool,
    outcome: &'static str,
}

impl<'a> Found<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            path: finding.path.display().to_string(),
            problem: &finding.problem,
            damage: finding.is_damage,
            outcome: outcome(finding),
        }
    }
}
