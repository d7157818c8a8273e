//! Where the time of a build went: `--timings`.

mod page;
mod spans;

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dfbuild::{Event, Observer, PackingState, StepId, StepResult, TransferState};
use serde::Serialize;

use crate::step::Step;
use crate::usage::UsageRecord;
use crate::{reasons, units};

/// What `--timings` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimingsArg {
    /// A page for people, in the folder for temporary files: in the working folder, which mostly is the
    /// context, it would keep the next build from being cached.
    TemporaryPage,
    /// A page for people.
    Page(PathBuf),
    /// Data for tools, on standard output.
    Json,
}

/// The value of `--timings` if none is given.
pub(crate) const DEFAULT: &str = "";

impl TimingsArg {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        match path.extension() {
            _ if text == DEFAULT => Ok(Self::TemporaryPage),
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
    /// A step that waited, or a blob that another build fetched.
    Waiting,
    /// A layer that was made into a blob.
    Packing,
    /// A pull, a push, an export.
    Task,
    /// A blob of one.
    Transfer,
    /// Something inside: hashing, placing.
    Work,
}

/// Something that took time. Times are milliseconds since the build began.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Bar {
    kind: Kind,
    name: String,
    begin: f64,
    end: f64,
    /// Of a blob; of the archive of a layer, uncompressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The length of the blob that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    packed: Option<u64>,
    /// Seconds of processor time, where that is known of what is no step.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    /// What a step took.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageRecord>,
    #[serde(skip)]
    step: Option<StepId>,
    /// Why a step ran, or how it went.
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

impl Bar {
    fn new(kind: Kind, name: String, begin: f64, end: f64) -> Self {
        let (bytes, packed, cpu, usage, step) = (None, None, None, None, None);
        Self { kind, name, begin, end, bytes, packed, cpu, usage, step, note: String::new() }
    }
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
    tasks: HashMap<String, f64>,
    transfers: HashMap<String, f64>,
    /// Blobs that another build fetches, and its process.
    awaited: HashMap<String, (f64, u32)>,
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
        milliseconds(self.start.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worked(&self, name: String, begin: f64, bytes: Option<u64>) {
        let bar = Bar::new(Kind::Work, name, begin, self.now());
        self.lock().bars.push(Bar { bytes, ..bar });
    }

    /// Writes what was noted, and gives the page that it is in.
    pub(crate) fn write(&self, to: &TimingsArg) -> Result<Option<PathBuf>, String> {
        let mut state = self.lock();
        state.note_packed();
        state.bars.sort_by(|a, b| a.begin.total_cmp(&b.begin));
        let report = Report { version: 1, total: self.now(), cpu: cpu(), bars: &state.bars };
        let json = serde_json::to_string(&report).map_err(|error| error.to_string())?;
        let path = match to {
            TimingsArg::Json => {
                return writeln!(io::stdout().lock(), "{json}")
                    .map(|()| None)
                    .map_err(|error| format!("write to standard output: {error}"));
            }
            TimingsArg::TemporaryPage => {
                // Where everybody may write, only a new file is surely nobody else's.
                let name = format!("dfbuild-timings-{}.html", process::id());
                let path = env::temp_dir().join(name);
                let _ = fs::remove_file(&path);
                write_page(File::create_new(&path), &path, &json)?;
                path
            }
            TimingsArg::Page(path) => {
                write_page(File::create(path), path, &json)?;
                path.clone()
            }
        };
        Ok(Some(path))
    }

    fn event(&self, event: &Event) {
        let now = self.now();
        self.lock().event(event, now);
    }
}

fn write_page(file: io::Result<File>, path: &Path, json: &str) -> Result<(), String> {
    let written = file.and_then(|mut file| file.write_all(page::of(json).as_bytes()));
    written.map_err(|error| format!("write {}: {error}", path.display()))
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
            Event::Waited { step, wait, duration } => {
                let begin = (now - milliseconds(*duration)).max(0.0);
                let bar = Bar::new(Kind::Waiting, self.name(*step), begin, now);
                self.bars.push(Bar { note: units::awaited(wait), ..bar });
            }
            Event::Started { step } => {
                self.running.insert(*step, now);
            }
            Event::Finished { step, result } => self.finished(*step, result, now),
            Event::Packing { step, size, state } => self.packing(*step, *size, state, now),
            Event::TaskStarted { what } => {
                self.tasks.insert(what.clone(), now);
            }
            Event::TaskFinished { what, .. } => {
                let begin = self.tasks.remove(what).unwrap_or(now);
                self.bars.push(Bar::new(Kind::Task, what.clone(), begin, now));
            }
            Event::Transfer { what, blob, size, state } => {
                self.transfer(format!("{what} {}", blob.short()), *size, *state, now);
            }
            _ => {}
        }
    }

    fn transfer(&mut self, name: String, size: u64, state: TransferState, now: f64) {
        if let TransferState::Waiting { pid } = state {
            self.awaited.insert(name, (now, pid));
            return;
        }
        if let Some((begin, pid)) = self.awaited.remove(&name) {
            let note = format!("for process {pid}, which fetched it");
            let bar = Bar::new(Kind::Waiting, name.clone(), begin, now);
            self.bars.push(Bar { note, ..bar });
        }
        match state {
            TransferState::Moving { .. } => {
                self.transfers.entry(name).or_insert(now);
            }
            TransferState::Moved => {
                let begin = self.transfers.remove(&name).unwrap_or(now);
                let bar = Bar::new(Kind::Transfer, name, begin, now);
                self.bars.push(Bar { bytes: Some(size), ..bar });
            }
            _ => {}
        }
    }

    fn packing(&mut self, step: Option<StepId>, size: u64, state: &PackingState, now: f64) {
        let PackingState::Packed { blob_size, duration, cpu, .. } = state else { return };
        let layer = step.map_or_else(|| "a layer".to_owned(), |step| self.name(step));
        let begin = (now - milliseconds(*duration)).max(0.0);
        let bar = Bar::new(Kind::Packing, format!("packing {layer}"), begin, now);
        let (bytes, packed) = (Some(size).filter(|size| *size > 0), Some(*blob_size));
        let cpu = cpu.map(|time| time.as_secs_f64());
        self.bars.push(Bar { bytes, packed, cpu, step, ..bar });
    }

    /// Notes with each step what its layer became, whichever was done first.
    fn note_packed(&mut self) {
        let packed = self.bars.iter().filter_map(|bar| Some((bar.step?, bar.packed?)));
        let packed: HashMap<StepId, u64> = packed.collect();
        for bar in self.bars.iter_mut().filter(|bar| bar.usage.is_some()) {
            bar.packed = bar.step.and_then(|step| packed.get(&step).copied());
        }
    }

    fn finished(&mut self, step: StepId, result: &StepResult, now: f64) {
        let begin = self.running.remove(&step).unwrap_or(now);
        let (kind, note, usage) = match result {
            StepResult::Cached { .. } => (Kind::Cached, "cached".to_owned(), None),
            StepResult::Failed { usage, .. } => (Kind::Step, "failed".to_owned(), Some(usage)),
            StepResult::Ran { usage, .. } => {
                (Kind::Step, self.reasons.get(&step).cloned().unwrap_or_default(), Some(usage))
            }
            _ => (Kind::Step, String::new(), None),
        };
        let (bytes, usage) = (usage.and_then(|it| it.layer), usage.map(UsageRecord::from));
        let bar = Bar::new(kind, self.name(step), begin, now);
        self.bars.push(Bar { bytes, usage, step: Some(step), note, ..bar });
    }

    fn name(&self, step: StepId) -> String {
        self.steps.get(&step).cloned().unwrap_or_default()
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
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
    use dfbuild::{Usage, Wait};

    use super::*;

    fn bars(state: &State) -> Vec<(Kind, &str, f64, f64)> {
        let bars = state.bars.iter();
        bars.map(|bar| (bar.kind, bar.name.as_str(), bar.begin, bar.end)).collect()
    }

    #[test]
    fn what_began_ends_and_says_why() {
        let mut state = State::default();
        let (step, usage) = (StepId(0), Usage::default());
        state.steps.insert(step, "[app 2/2] RUN make".to_owned());
        let duration = Duration::ZERO;
        state.event(&Event::Missed { step, reasons: vec![dfbuild::Reason::NoCache] }, 1.0);
        state.event(&Event::Started { step }, 2.0);
        state.event(&Event::TaskStarted { what: "pull base".to_owned() }, 3.0);
        state.event(&Event::TaskFinished { what: "pull base".to_owned(), duration }, 5.0);
        state.event(&Event::Finished { step, result: StepResult::Failed { duration, usage } }, 9.0);
        assert_eq!(
            bars(&state),
            [(Kind::Task, "pull base", 3.0, 5.0), (Kind::Step, "[app 2/2] RUN make", 2.0, 9.0)]
        );
    }

    #[test]
    fn waits_have_bars_of_their_own() {
        let mut state = State::default();
        let step = StepId(0);
        state.steps.insert(step, "[app 2/2] RUN make".to_owned());
        let wait = Wait::CacheMount { target: "/root/.cache".to_owned() };
        state.event(&Event::Waiting { step, wait: wait.clone() }, 1.0);
        state.event(&Event::Waited { step, wait, duration: Duration::from_millis(4) }, 5.0);
        let (what, blob) = ("pulling a".to_owned(), crate::testing::diff_id());
        let transfer = |state| Event::Transfer { what: what.clone(), blob, size: 1, state };
        state.event(&transfer(TransferState::Waiting { pid: 7 }), 6.0);
        state.event(&transfer(TransferState::Existed), 8.0);
        let pulled = format!("pulling a {}", blob.short());
        assert_eq!(
            bars(&state),
            [
                (Kind::Waiting, "[app 2/2] RUN make", 1.0, 5.0),
                (Kind::Waiting, pulled.as_str(), 6.0, 8.0)
            ]
        );
        let notes: Vec<_> = state.bars.iter().map(|bar| bar.note.as_str()).collect();
        assert_eq!(notes, ["for the cache mount /root/.cache", "for process 7, which fetched it"]);
    }

    #[test]
    fn a_step_knows_what_its_layer_became() {
        let mut state = State::default();
        let (step, blob) = (StepId(0), crate::testing::diff_id());
        let duration = Duration::from_millis(2);
        let packed = PackingState::Packed { blob, blob_size: 5, duration, cpu: Some(duration) };
        let mut usage = Usage::default();
        usage.layer = Some(20);
        let result = StepResult::Ran { duration, diff_id: blob, usage };
        state.event(&Event::Started { step }, 0.0);
        state.event(&Event::Packing { step: Some(step), size: 20, state: packed }, 3.0);
        state.event(&Event::Finished { step, result }, 4.0);
        state.note_packed();
        let sizes: Vec<_> =
            state.bars.iter().map(|bar| (bar.kind, bar.bytes, bar.packed, bar.cpu)).collect();
        assert_eq!(
            sizes,
            [
                (Kind::Packing, Some(20), Some(5), Some(0.002)),
                (Kind::Step, Some(20), Some(5), None)
            ]
        );
    }

    #[test]
    fn the_flag_names_a_page_or_asks_for_data() {
        assert_eq!(TimingsArg::parse("json"), Ok(TimingsArg::Json));
        assert_eq!(TimingsArg::parse("a.html"), Ok(TimingsArg::Page("a.html".into())));
        assert!(TimingsArg::parse("jsno").is_err());
    }
}
