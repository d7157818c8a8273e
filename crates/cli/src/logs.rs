use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use dfbuild::{BuildLog, Engine, LogEnd};
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
    let log = find(&logs, name).map_err(|why| format!("show the log: {why}"))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = match args.tail {
        None => show(&engine, log, args, &mut out),
        Some(most) => {
            let mut tail = Tail { most, lines: VecDeque::new() };
            show(&engine, log, args, &mut tail)
                .and_then(|()| Ok(tail.lines.iter().try_for_each(|line| out.write_all(line))?))
        }
    };
    match shown.and_then(|()| Ok(out.flush()?)) {
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

/// The build that is meant: the last of all, the last of that name, or that of an id.
fn find<'a>(logs: &'a [BuildLog], name: &str) -> Result<&'a BuildLog, String> {
    /// As many as somebody reads.
    const MOST: usize = 10;
    let bare = |tag: &str| tag.strip_suffix(":latest").unwrap_or(tag).to_owned();
    let is_called = |log: &&BuildLog| {
        let is_tag = |tag: &String| bare(tag) == bare(name);
        log.tags.iter().any(is_tag) || (log.tags.is_empty() && log.dockerfile == name)
    };
    let named = if name == "last" { last(logs) } else { logs.iter().find(is_called) };
    if let Some(log) = named {
        return Ok(log);
    }
    let found: Vec<&BuildLog> = logs.iter().filter(|log| log.id.contains(name)).collect();
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(format!("no build is called {name}; `dfbuild logs` lists them")),
        several => {
            let mut text = format!("{name} may be each of these:");
            for log in several.iter().take(MOST) {
                text.push_str(&format!("\n  {}", log.id));
            }
            if several.len() > MOST {
                text.push_str(&format!("\n  and {} more", several.len() - MOST));
            }
            Err(text)
        }
    }
}

/// Keeps the last lines of what is written.
struct Tail {
    most: usize,
    lines: VecDeque<Vec<u8>>,
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match self.lines.back_mut() {
                Some(line) if !line.ends_with(b"\n") => line.extend_from_slice(part),
                _ => self.lines.push_back(part.to_vec()),
            }
            if self.lines.len() > self.most {
                self.lines.pop_front();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
fn show(
    engine: &Engine,
    log: &BuildLog,
    args: &LogsArgs,
    out: &mut dyn Write,
) -> Result<(), Box<dyn std::error::Error>> {
    for step in log.steps.iter().filter(|step| !args.failed || step.failed) {
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
        copy_lines(&mut output, out)?;
    }
    match (&log.end, args.format) {
        (Some(LogEnd::Failed(reason)), FormatArg::Table) => writeln!(out, "=== failed: {reason}")?,
        (Some(LogEnd::Cancelled), FormatArg::Table) => writeln!(out, "=== cancelled")?,
        _ => {}
    }
    Ok(())
}

/// Copies what a command wrote, and ends its last line.
fn copy_lines(from: &mut impl BufRead, to: &mut dyn Write) -> io::Result<()> {
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

    #[test]
    fn a_build_is_meant_by_what_it_built_or_by_its_id() {
        let named = |id: &str, tags: &[&str]| {
            let mut build = log(id, 1, 2, &json!(null));
            build.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            build
        };
        let logs = [
            named("a-2", &["app:latest"]),
            named("a-1", &["app:latest", "app:1"]),
            named("b", &[]),
        ];
        let check = |name: &str, expect: Result<&str, &str>| {
            let found = find(&logs, name);
            let found = found.as_ref().map(|log| log.id.as_str()).map_err(String::as_str);
            assert_eq!(found, expect, "{name}");
        };
        check("last", Ok("a-2"));
        check("app", Ok("a-2"));
        check("app:1", Ok("a-1"));
        check("Dockerfile", Ok("b"));
        check("b", Ok("b"));
        check("a-", Err("a- may be each of these:\n  a-2\n  a-1"));
        check("c", Err("no build is called c; `dfbuild logs` lists them"));
        let many: Vec<BuildLog> = (0..12).map(|number| named(&format!("x{number}"), &[])).collect();
        let text = find(&many, "x").unwrap_err();
        assert!(text.ends_with("\n  x9\n  and 2 more"), "{text}");
    }
}
