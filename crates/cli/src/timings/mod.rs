//! Where the time of a build went: `--timings`.

mod page;
mod spans;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dfbuild::{Event, Observer, StepId, StepResult, TransferState};
use serde::Serialize;

use crate::reasons;
use crate::step::Step;

/// What `--timings` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimingsArg {
    /// A page for people.
    Page(PathBuf),
    /// Data for tools, on standard output.
    Json,
}

/// The value of `--timings` if none is given.
pub(crate) const DEFAULT_FILE: &str = "dfbuild-timings.html";

impl TimingsArg {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        match path.extension() {
            _ if text == "json" => Ok(Self::Json),
            Some(extension) if extension == "html" => Ok(Self::Page(path)),
            _ => Err("it is `json`, or a file that ends in .html".to_owned()),
        }
    }
}

/// What something was that took time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A step that ran.
    Step,
    /// A step that did not have to.
    Cached,
    /// A step that waited for another build.
    Waiting,
    /// A pull, a push, an export.
    Task,
    /// A blob of one.
    Transfer,
    /// Something inside: hashing, placing, compressing.
    Work,
}

/// Something that took time. Times are milliseconds since the build began.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Bar {
    kind: Kind,
    name: String,
    begin: f64,
    end: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Why a step ran, or how it went.
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    total: f64,
    /// Processor seconds of this process, and of commands that have ended.
    cpu: Cpu,
    bars: &'a [Bar],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Cpu {
    own: f64,
    commands: f64,
}

/// Listens to a build and notes when things began and ended.
#[derive(Debug)]
pub(crate) struct Timings {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bars: Vec<Bar>,
    steps: HashMap<StepId, String>,
    reasons: HashMap<StepId, String>,
    /// When what is under way began.
    running: HashMap<StepId, f64>,
    waiting: HashMap<StepId, f64>,
    tasks: HashMap<String, f64>,
    transfers: HashMap<String, f64>,
}

impl Timings {
    /// Begins to listen, also to what the library notes of its own work.
    pub(crate) fn begin() -> &'static Self {
        let timings = Self { start: Instant::now(), state: Mutex::default() };
        // Whoever listens to spans does so to the end of the process.
        let timings: &'static Self = Box::leak(Box::new(timings));
        spans::listen(timings);
        timings
    }

    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * 1000.0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worked(&self, name: String, begin: f64, bytes: Option<u64>) {
        let end = self.now();
        let note = String::new();
        self.lock().bars.push(Bar { kind: Kind::Work, name, begin, end, bytes, note });
    }

    /// Writes what was noted.
    pub(crate) fn write(&self, to: &TimingsArg) -> Result<(), String> {
        let mut state = self.lock();
        state.bars.sort_by(|a, b| a.begin.total_cmp(&b.begin));
        let report = Report { version: 1, total: self.now(), cpu: cpu(), bars: &state.bars };
        let json = serde_json::to_string(&report).map_err(|error| error.to_string())?;
        match to {
            TimingsArg::Json => writeln!(io::stdout().lock(), "{json}")
                .map_err(|error| format!("write to standard output: {error}")),
            TimingsArg::Page(path) => write_page(path, &json),
        }
    }

    fn event(&self, event: &Event) {
        let now = self.now();
        self.lock().event(event, now);
    }
}

fn write_page(path: &Path, json: &str) -> Result<(), String> {
    fs::write(path, page::of(json)).map_err(|error| format!("write {}: {error}", path.display()))
}

impl State {
    fn event(&mut self, event: &Event, now: f64) {
        match event {
            Event::Planned { steps } => {
                let names = steps.iter().map(|step| (step.id, Step::from(step).label()));
                self.steps.extend(names);
            }
            Event::Missed { step, reasons } => {
                self.reasons.insert(*step, reasons::line(reasons));
            }
            Event::Waiting { step, .. } => {
                self.waiting.entry(*step).or_insert(now);
            }
            Event::Started { step } => {
                self.waited(*step, now);
                self.running.insert(*step, now);
            }
            Event::Finished { step, result } => self.finished(*step, result, now),
            Event::TaskStarted { what } => {
                self.tasks.insert(what.clone(), now);
            }
            Event::TaskFinished { what, .. } => {
                let begin = self.tasks.remove(what).unwrap_or(now);
                self.bar(Kind::Task, what.clone(), begin, now, None, String::new());
            }
            Event::Transfer { what, blob, size, state } => {
                let name = format!("{what} {}", blob.short());
                match state {
                    TransferState::Moving { .. } => {
                        self.transfers.entry(name).or_insert(now);
                    }
                    TransferState::Moved => {
                        let begin = self.transfers.remove(&name).unwrap_or(now);
                        self.bar(Kind::Transfer, name, begin, now, Some(*size), String::new());
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn finished(&mut self, step: StepId, result: &StepResult, now: f64) {
        self.waited(step, now);
        let begin = self.running.remove(&step).unwrap_or(now);
        let name = self.name(step);
        let (kind, note) = match result {
            StepResult::Cached { .. } => (Kind::Cached, "cached".to_owned()),
            StepResult::Failed { .. } => (Kind::Step, "failed".to_owned()),
            _ => (Kind::Step, self.reasons.get(&step).cloned().unwrap_or_default()),
        };
        self.bar(kind, name, begin, now, None, note);
    }

    fn waited(&mut self, step: StepId, now: f64) {
        if let Some(begin) = self.waiting.remove(&step) {
            let name = self.name(step);
            self.bar(Kind::Waiting, name, begin, now, None, "for another build".to_owned());
        }
    }

    fn name(&self, step: StepId) -> String {
        self.steps.get(&step).cloned().unwrap_or_default()
    }

    fn bar(
        &mut self,
        kind: Kind,
        name: String,
        begin: f64,
        end: f64,
        bytes: Option<u64>,
        note: String,
    ) {
        self.bars.push(Bar { kind, name, begin, end, bytes, note });
    }
}

/// Passes events on to one who shows them and to one who notes their times, if somebody wants them.
pub(crate) struct Both<'a, O: ?Sized> {
    pub(crate) shown: &'a O,
    pub(crate) timings: Option<&'a Timings>,
}

impl<O: Observer + ?Sized> Observer for Both<'_, O> {
    fn event(&self, event: &Event) {
        if let Some(timings) = self.timings {
            timings.event(event);
        }
        self.shown.event(event);
    }
}

/// `USER_HZ`: what the kernel shows is in hundredths of a second on all processors that Linux still runs on.
const TICKS: f64 = 100.0;

/// Fields 14 to 17 of `/proc/self/stat` (proc_pid_stat(5)), in seconds; zero where there is none.
fn cpu() -> Cpu {
    let read = || {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name in parentheses may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| Some(fields.get(number - 3)?.parse::<f64>().ok()? / TICKS);
        Some(Cpu { own: field(14)? + field(15)?, commands: field(16)? + field(17)? })
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_began_ends_and_says_why() {
        let mut state = State::default();
        let step = StepId(0);
        state.steps.insert(step, "[app 2/2] RUN make".to_owned());
        let duration = Duration::ZERO;
        state.event(&Event::Missed { step, reasons: vec![dfbuild::Reason::NoCache] }, 1.0);
        state.event(&Event::Started { step }, 2.0);
        state.event(&Event::TaskStarted { what: "pull base".to_owned() }, 3.0);
        state.event(&Event::TaskFinished { what: "pull base".to_owned(), duration }, 5.0);
        state.event(&Event::Finished { step, result: StepResult::Failed { duration } }, 9.0);
        let bars: Vec<_> = state
            .bars
            .iter()
            .map(|bar| (bar.kind, bar.name.as_str(), bar.begin, bar.end))
            .collect();
        assert_eq!(
            bars,
            [(Kind::Task, "pull base", 3.0, 5.0), (Kind::Step, "[app 2/2] RUN make", 2.0, 9.0)]
        );
    }

    #[test]
    fn the_flag_names_a_page_or_asks_for_data() {
        assert_eq!(TimingsArg::parse("json"), Ok(TimingsArg::Json));
        assert_eq!(TimingsArg::parse("a.html"), Ok(TimingsArg::Page("a.html".into())));
        assert!(TimingsArg::parse("jsno").is_err());
    }
}
