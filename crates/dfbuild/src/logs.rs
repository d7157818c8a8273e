//! What the commands of the last builds wrote, on disk: none of it is ever cut.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use dfbuild_image::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, Observer, StepId, StepInfo, StepResult};

/// How many builds keep their logs.
const KEPT: usize = 20;

/// The name of the notes on a build.
const NOTES: &str = "build.json";

/// A build that ran something, as its log has it.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n").tag("app")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let log = &engine.build_logs()?[0]; // The last build.
/// println!("{} began at {}", log.tags.join(", "), log.started);
/// assert!(log.steps.iter().all(|step| !step.failed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildLog {
    /// What it is called: the time of its beginning, and some letters.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// What messages call its Dockerfile.
    pub dockerfile: String,
    /// The names that the image was to get.
    pub tags: Vec<String>,
    /// How it ended; `None` while it runs, or if it was killed.
    pub end: Option<LogEnd>,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<Timestamp>,
    /// The steps that ran, in the order of their beginnings.
    pub steps: Vec<StepLog>,
}

/// How a build ended.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// use dfbuild::LogEnd;
///
/// # Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let log = &engine.build_logs()?[0];
/// match &log.end {
///     Some(LogEnd::Built(id)) => assert!(id.starts_with("sha256:")),
///     Some(LogEnd::Failed(why)) => println!("failed to {why}"),
///     Some(LogEnd::Cancelled) => println!("cancelled"),
///     _ => println!("still runs, or was killed"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LogEnd {
    /// There is an image: its id.
    Built(String),
    /// There is none: why.
    Failed(String),
    /// There is none: somebody ended it, or a build beside it failed.
    Cancelled,
}

/// A step that ran.
///
/// ```
/// # use dfbuild::{Build, BuildContext, Cancel, Event};
/// # let store = tempfile::tempdir()?;
/// # let engine = dfbuild::testing::engine(store.path())?;
/// # Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n")
/// #     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
/// let log = &engine.build_logs()?[0];
/// let slowest = log.steps.iter().max_by(|a, b| a.seconds.partial_cmp(&b.seconds).unwrap());
/// assert_eq!(slowest.unwrap().text, "RUN make");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepLog {
    /// The name of the file with what it wrote, in the folder of the build.
    pub file: String,
    /// Its stage.
    pub stage: String,
    /// What progress shows before its number: see [`StepInfo::prefix`].
    #[serde(default)]
    pub prefix: String,
    /// Its number in the stage, as BuildKit counts.
    pub number: usize,
    /// How many the stage has.
    pub total: usize,
    /// The instruction on one line.
    pub text: String,
    /// The line of the Dockerfile where it begins, from 1.
    pub line: usize,
    /// How long it ran, in seconds; `None` while it runs, or if it was killed.
    pub seconds: Option<f64>,
    /// Whether it failed or was ended.
    pub failed: bool,
}

impl Engine {
    /// The builds whose logs are kept, the newest first.
    ///
    /// ```
    /// # use dfbuild::{Build, BuildContext, Cancel, Event};
    /// # let store = tempfile::tempdir()?;
    /// # let engine = dfbuild::testing::engine(store.path())?;
    /// Build::new(BuildContext::Empty).dockerfile_text("FROM scratch\nRUN make\n")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let log = &engine.build_logs()?[0];
    /// assert_eq!(log.steps[0].text, "RUN make");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build_logs(&self) -> Result<Vec<BuildLog>, Error> {
        let folder = self.store().logs_path();
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
        let read = |path: PathBuf| serde_json::from_slice(&fs::read(path.join(NOTES)).ok()?).ok();
        let mut logs: Vec<BuildLog> =
            entries.flatten().filter_map(|entry| read(entry.path())).collect();
        logs.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
        Ok(logs)
    }

    /// What a step wrote, both streams in the order in which it came. Secrets are hidden as they are
    /// on the screen.
    ///
    /// ```
    /// use dfbuild::testing::FakeSandbox;
    /// use dfbuild::{Build, BuildContext, Cancel, Engine, Event};
    ///
    /// # let store = tempfile::tempdir()?;
    /// let engine = Engine::open(store.path())?.with_sandbox(FakeSandbox::new(|command| {
    ///     command.print("made\n");
    ///     0
    /// }));
    /// Build::new(BuildContext::Empty)
    ///     .dockerfile_text("FROM scratch\nRUN make\n")
    ///     .run(&engine, &|_: &Event| {}, &Cancel::new())?;
    /// let log = &engine.build_logs()?[0];
    /// let written = std::io::read_to_string(engine.step_log(log, &log.steps[0])?)?;
    /// assert_eq!(written, "made\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step_log(&self, build: &BuildLog, step: &StepLog) -> Result<File, Error> {
        let path = self.store().logs_path().join(&build.id).join(&step.file);
        File::open(&path).map_err(Error::io("open", path))
    }
}

/// Writes what a build tells to its log, and passes it on.
pub(crate) struct Logging<'a> {
    observer: &'a dyn Observer,
    logs: PathBuf,
    state: Mutex<State>,
}

struct State {
    log: BuildLog,
    planned: HashMap<StepId, StepInfo>,
    running: HashMap<StepId, (usize, File)>,
    /// Made when the first step runs: a build that has all in the cache leaves no log. `None` too if
    /// nothing can be written, which is no reason for a build to fail.
    folder: Option<PathBuf>,
}

impl<'a> Logging<'a> {
    pub(crate) fn new(
        engine: &Engine,
        observer: &'a dyn Observer,
        dockerfile: &str,
        tags: &[String],
    ) -> Self {
        let log = BuildLog {
            id: String::new(),
            started: Timestamp::from(SystemTime::now()),
            dockerfile: dockerfile.to_owned(),
            tags: tags.to_vec(),
            end: None,
            ended: None,
            steps: Vec::new(),
        };
        let (planned, running) = (HashMap::new(), HashMap::new());
        let state = Mutex::new(State { log, planned, running, folder: None });
        Self { observer, logs: engine.store().logs_path(), state }
    }

    /// Notes how the build ended.
    pub(crate) fn ended(&self, end: LogEnd) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.log.end = Some(end);
        state.log.ended = Some(Timestamp::from(SystemTime::now()));
        state.write_notes();
    }
}

impl Observer for Logging<'_> {
    fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { steps } => {
                state.planned = steps.iter().map(|step| (step.id, step.clone())).collect();
            }
            Event::Started { step } => state.started(*step, &self.logs),
            Event::Output { step, bytes, .. } => {
                if let Some((_, file)) = state.running.get_mut(step) {
                    let _ = file.write_all(bytes);
                }
            }
            Event::Finished { step, result } => state.finished(*step, result),
            _ => {}
        }
        drop(state);
        self.observer.event(event);
    }
}

impl State {
    fn started(&mut self, step: StepId, logs: &Path) {
        let Some(info) = self.planned.get(&step).cloned() else { return };
        if self.folder.is_none() {
            self.folder = make_folder(logs, self.log.started);
        }
        let Some(folder) = &self.folder else { return };
        self.log.id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = format!("{}.log", self.log.steps.len() + 1);
        let Ok(opened) = File::create(folder.join(&file)) else { return };
        self.running.insert(step, (self.log.steps.len(), opened));
        let StepInfo { stage, prefix, number, total, text, line, .. } = info;
        let (seconds, failed) = (None, false);
        let log = StepLog { file, stage, prefix, number, total, text, line, seconds, failed };
        self.log.steps.push(log);
        self.write_notes();
    }

    fn finished(&mut self, step: StepId, result: &StepResult) {
        let Some((at, _)) = self.running.remove(&step) else { return };
        let (duration, failed): (Duration, bool) = match result {
            StepResult::Ran { duration, .. } => (*duration, false),
            StepResult::Failed { duration, .. } => (*duration, true),
            _ => (Duration::ZERO, false),
        };
        let log = &mut self.log.steps[at];
        (log.seconds, log.failed) = (Some(duration.as_secs_f64()), failed);
    }

    /// A build that is killed leaves what was written last. That may be torn, and is left out then.
    fn write_notes(&self) {
        if let Some(folder) = &self.folder {
            let _ = fs::write(folder.join(NOTES), dfbuild_image::canonical_json(&self.log));
        }
    }
}

/// A folder for a build, in the place of the oldest if there are many.
fn make_folder(logs: &Path, started: Timestamp) -> Option<PathBuf> {
    fs::create_dir_all(logs).ok()?;
    let mut old: Vec<PathBuf> =
        fs::read_dir(logs).ok()?.flatten().map(|entry| entry.path()).collect();
    // Their names begin with the time.
    old.sort();
    for path in old.iter().take((old.len() + 1).saturating_sub(KEPT)) {
        let _ = fs::remove_dir_all(path);
    }
    let time: String = started.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    let (day, clock) = time.split_at_checked(8)?;
    let prefix = format!("{day}-{clock}-");
    let folder = tempfile::Builder::new().prefix(&prefix).rand_bytes(4).tempdir_in(logs);
    Some(folder.ok()?.keep())
}

#[cfg(test)]
mod tests {
    use dfbuild_image::Digest;

    use super::*;
    use crate::event::{Stream, Usage};

    fn step(number: usize) -> StepInfo {
        StepInfo {
            id: StepId(number),
            stage: "build".into(),
            prefix: "build".into(),
            number,
            total: 2,
            text: format!("RUN {number}"),
            line: number,
            last_line: number,
        }
    }

    fn build(engine: &Engine, steps: &[usize]) {
        let logging = Logging::new(engine, &|_: &Event| {}, "Dockerfile", &["app".to_owned()]);
        logging.event(&Event::Planned { steps: vec![step(1), step(2)] });
        for &number in steps {
            let step = StepId(number);
            logging.event(&Event::Started { step });
            for stream in [Stream::Stdout, Stream::Stderr] {
                let bytes = format!("{number} {stream:?}\n").into_bytes();
                logging.event(&Event::Output { step, stream, bytes });
            }
            let (duration, diff_id) = (Duration::from_secs(2), Digest::of("x"));
            logging.event(&Event::Finished {
                step,
                result: StepResult::Ran { duration, diff_id, usage: Usage::default() },
            });
        }
        logging.ended(LogEnd::Built("sha256:1".into()));
    }

    #[test]
    fn what_ran_is_kept_and_the_oldest_go() {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine::open(root.path()).unwrap();
        build(&engine, &[]);
        assert_eq!(engine.build_logs().unwrap(), []);
        build(&engine, &[1, 2]);
        let logs = engine.build_logs().unwrap();
        assert_eq!(logs.len(), 1);
        assert_eq!(logs[0].end, Some(LogEnd::Built("sha256:1".into())));
        let steps: Vec<(&str, Option<f64>)> =
            logs[0].steps.iter().map(|step| (step.text.as_str(), step.seconds)).collect();
        assert_eq!(steps, [("RUN 1", Some(2.0)), ("RUN 2", Some(2.0))]);
        let mut text = String::new();
        let mut file = engine.step_log(&logs[0], &logs[0].steps[1]).unwrap();
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text, "2 Stdout\n2 Stderr\n");
        for _ in 0..KEPT + 3 {
            build(&engine, &[1]);
        }
        assert_eq!(engine.build_logs().unwrap().len(), KEPT);
    }
}
