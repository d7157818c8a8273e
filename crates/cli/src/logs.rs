use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use dfbuild::{BuildLog, Engine, LogEnd, StepLog};
use serde_json::json;

use crate::args::{FormatArg, LogsArgs};
use crate::images::Created;
use crate::inspect::shorten;
use crate::output::{self, columns};
use crate::step::label;

/// Lists the logs of builds, or shows one.
pub(crate) fn run(args: &LogsArgs, root: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::open(root)?;
    let logs = engine.build_logs()?;
    let Some(name) = &args.build else {
        let text = match args.format {
            FormatArg::Json => output::json_lines(&logs)?,
            FormatArg::Table => list(&logs, SystemTime::now()),
        };
        return Ok(output::print(&text)?);
    };
    let found: Vec<&BuildLog> = match name.as_str() {
        "last" => last(&logs).into_iter().collect(),
        name => logs.iter().filter(|log| log.id.contains(name)).collect(),
    };
    let log = match found.as_slice() {
        [only] => *only,
        [] => {
            return Err(format!(
                "show the log: no build is called {name}; `dfbuild logs` lists them"
            )
            .into());
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|log| log.id.as_str()).collect();
            return Err(format!("show the log: {name} may be {}", ids.join(" or ")).into());
        }
    };
    let wanted = |step: &&StepLog| !args.failed || step.failed;
    match show(&engine, log, args, log.steps.iter().filter(wanted)) {
        // `dfbuild logs last | head` is no failure.
        Err(error) if is_broken_pipe(&*error) => Ok(()),
        shown => shown,
    }
}

/// The newest; of builds beside each other, the one that failed and for which the others were cancelled.
fn last(logs: &[BuildLog]) -> Option<&BuildLog> {
    let newest = logs.first()?;
    let is_guilty = |log: &&BuildLog| {
        let was_beside = log.ended.is_some_and(|ended| ended >= newest.started);
        was_beside && matches!(log.end, Some(LogEnd::Failed(_)))
    };
    let guilty = logs.iter().find(is_guilty);
    guilty.filter(|_| newest.end == Some(LogEnd::Cancelled)).or(Some(newest))
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn list(logs: &[BuildLog], now: SystemTime) -> String {
    const MOST: usize = 50;
    let rows = logs.iter().map(|log| {
        let name = if log.tags.is_empty() { &log.dockerfile } else { &log.tags.join(", ") };
        let end = match &log.end {
            Some(LogEnd::Built(_)) => "built".to_owned(),
            Some(LogEnd::Failed(_)) => "failed".to_owned(),
            Some(LogEnd::Cancelled) => "cancelled".to_owned(),
            _ => "did not end".to_owned(),
        };
        let started = Created::of(Some(log.started), now).since;
        let ran = log.steps.len().to_string();
        [log.id.clone(), started, ran, end, shorten(name, MOST)]
    });
    let rows: Vec<[String; 5]> = rows.collect();
    let mut table = vec![["BUILD", "STARTED", "RAN", "END", "WHAT"]];
    table.extend(rows.iter().map(|row| row.each_ref().map(String::as_str)));
    columns(&table)
}

/// Writes everything that steps wrote, each under a line that names it.
fn show<'a>(
    engine: &Engine,
    log: &BuildLog,
    args: &LogsArgs,
    steps: impl Iterator<Item = &'a StepLog>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    for step in steps {
        let mut output = BufReader::new(engine.step_log(log, step)?);
        if args.format == FormatArg::Json {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut output, &mut bytes)?;
            let value = json!({
                "stage": step.stage, "number": step.number, "total": step.total, "text": step.text,
                "line": step.line, "seconds": step.seconds, "failed": step.failed,
                "output": String::from_utf8_lossy(&bytes),
            });
            writeln!(out, "{}", serde_json::to_string(&value)?)?;
            continue;
        }
        let end = match (step.seconds, step.failed) {
            (Some(seconds), true) if log.end == Some(LogEnd::Cancelled) => {
                format!("cancelled after {seconds:.1}s")
            }
            (Some(seconds), true) => format!("failed after {seconds:.1}s"),
            (Some(seconds), false) => format!("{seconds:.1}s"),
            (None, _) => "did not end".to_owned(),
        };
        let label = label(&step.prefix, step.number, step.total, &step.text);
        writeln!(out, "=== {label} (line {}): {end}", step.line)?;
        copy_lines(&mut output, &mut out)?;
    }
    match (&log.end, args.format) {
        (Some(LogEnd::Failed(reason)), FormatArg::Table) => writeln!(out, "=== failed: {reason}")?,
        (Some(LogEnd::Cancelled), FormatArg::Table) => writeln!(out, "=== cancelled")?,
        _ => {}
    }
    Ok(out.flush()?)
}

/// Copies what a command wrote, and ends its last line.
fn copy_lines(from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    let mut last = b'\n';
    loop {
        let bytes = from.fill_buf()?;
        let Some(end) = bytes.last() else { break };
        last = *end;
        to.write_all(bytes)?;
        let count = bytes.len();
        from.consume(count);
    }
    if last == b'\n' { Ok(()) } else { to.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: &str, started: u32, ended: u32, end: &serde_json::Value) -> BuildLog {
        let at = |second: u32| format!("2026-01-01T00:00:{second:02}Z");
        let log = json!({
            "id": id, "started": at(started), "ended": at(ended), "dockerfile": "Dockerfile",
            "tags": [], "end": end, "steps": [],
        });
        serde_json::from_value(log).unwrap()
    }

    #[test]
    fn the_last_of_builds_beside_each_other_is_the_one_that_failed() {
        let (failed, cancelled) = (json!({"Failed": "why"}), json!("Cancelled"));
        let guilty = log("guilty", 1, 5, &failed);
        let beside = log("beside", 2, 6, &cancelled);
        let later = log("later", 8, 9, &cancelled);
        let id = |logs: &[BuildLog]| last(logs).map(|log| log.id.clone());
        assert_eq!(id(&[beside.clone(), guilty.clone()]).as_deref(), Some("guilty"));
        assert_eq!(id(&[later, beside.clone(), guilty]).as_deref(), Some("later"));
        assert_eq!(id(&[beside]).as_deref(), Some("beside"));
        assert_eq!(id(&[]), None);
    }
}
