use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use dfbuild::{Cancel, EarlyEnd, Error, Explanation, Fate, Reason};

use crate::args::{BuildArgs, ExplainArgs, ExplainFormat};
use crate::build::request;
use crate::failure::{self, Failure};
use crate::progress::{Mode, Progress};
use crate::request::RequestError;
use crate::source::Source;
use crate::{engine, output, reasons, report};

/// Tells what a build would run, or what the last one ran, and why.
pub(crate) fn run(args: &ExplainArgs, root: PathBuf) -> ExitCode {
    match explanation(&args.build, root, args.last) {
        Ok(Some(explanation)) => {
            let mut text = Vec::new();
            let written = match args.format {
                ExplainFormat::Text => write_text(&mut text, &explanation, args.last),
                ExplainFormat::Json => write_json(&mut text, &explanation),
            };
            match written.and_then(|()| output::print(&String::from_utf8_lossy(&text))) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => report::error(&format!("write to standard output: {error}")),
            }
        }
        Ok(None) => report::error("no build of this Dockerfile with this context is known"),
        Err(code) => code,
    }
}

fn explanation(
    args: &BuildArgs,
    root: PathBuf,
    last: bool,
) -> Result<Option<Explanation>, ExitCode> {
    let request = request(args, &Cancel::new()).map_err(|error| match error {
        RequestError::Usage(text) => report::usage(&text),
        RequestError::Input(text) => report::error(&text),
    })?;
    // Before any thread exists, as for a build: the keys depend on the ids that it has.
    let engine = engine::open(root, args.snapshotter.into());
    let progress = Arc::new(Progress::new(Mode::Quiet, false));
    let engine = engine::connect(engine, &args.registries, &progress)?;
    let engine = if args.trust_archives { engine.trusting_archives() } else { engine };
    let source = Source::default();
    let failed = |error: Error, source: &Source| {
        if let Error::Dockerfile { .. } = &error {
            let _ = failure::write_dockerfile(&mut io::stderr().lock(), &error, source, false);
            return ExitCode::FAILURE;
        }
        report::failure(&match &error {
            Error::Step { .. } => Failure::of(&error, source),
            // Nothing was to be built.
            error => Failure::outside_build(error),
        })
    };
    let loaded = request.build.load(&engine, &*progress, &Cancel::new());
    let loaded = loaded.map_err(|error| failed(error, &source))?;
    if last {
        return Ok(loaded.last_explanation());
    }
    let source = Source::of(&loaded);
    loaded.explain(&*progress).map(Some).map_err(|error| failed(error, &source))
}

/// A line for each step, then what it comes down to.
fn write_text(out: &mut impl Write, explanation: &Explanation, last: bool) -> io::Result<()> {
    let first = explanation.steps.first().map(|step| &step.stage);
    let several = explanation.steps.iter().any(|step| Some(&step.stage) != first);
    let (mut stage, mut runs, mut may_run) = ("", 0, 0);
    for step in &explanation.steps {
        if several && step.stage != stage {
            writeln!(out, "{}:", step.stage)?;
        }
        stage = &step.stage;
        match &step.fate {
            Fate::Cached { created } => {
                let age = reasons::age(created.system_time());
                writeln!(out, "CACHED {}: {age}", step.text)?;
            }
            Fate::Missed { reasons, .. } => {
                let only_dragged = !last && reasons.iter().all(Reason::is_dragged);
                let word = if only_dragged { "MAYBE" } else { "MISS" };
                *(if only_dragged { &mut may_run } else { &mut runs }) += 1;
                writeln!(out, "{word} {}: {}", step.text, reasons::line(reasons))?;
            }
            Fate::NotReached => writeln!(out, "NOT REACHED {}", step.text)?,
            _ => writeln!(out, "NOT NEEDED {}: what reads from its stage is cached", step.text)?,
        }
    }
    for bust in &explanation.busts {
        let verb = if last { "re-ran" } else { "re-runs" };
        writeln!(out, "{}", reasons::bust(bust, verb))?;
    }
    match explanation.end {
        Some(EarlyEnd::Cancelled) => writeln!(out, "the build was cancelled")?,
        Some(_) => writeln!(out, "the build failed")?,
        None => {}
    }
    let total = explanation.steps.len();
    let (ran, would) = if last { ("ran", "") } else { ("would run", "would ") };
    match (runs, may_run) {
        (0, 0) if explanation.end.is_some() => writeln!(out, "0 of {total} steps {ran}"),
        (0, 0) => writeln!(out, "0 of {total} steps {ran}: all is cached"),
        (runs, 0) => writeln!(out, "{runs} of {total} steps {ran}"),
        (runs, may_run) => writeln!(
            out,
            "{runs} of {total} steps {would}run, and {may_run} if these make other files than before"
        ),
    }
}

fn write_json(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, explanation)?;
    writeln!(out)
}
