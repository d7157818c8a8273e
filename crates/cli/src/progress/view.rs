use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dfbuild::{Reason, StepId, StepResult, Stream, TransferState};

use super::bars::Bars;
use super::lines::LineBuffer;
use super::transfer::Transfer;
use crate::step::Step;
use crate::{reasons, step, units};

/// What the live view shows, without a terminal: stages side by side, each with the steps that run
/// in it and their last lines of output.
#[derive(Default)]
pub(super) struct View {
    steps: HashMap<StepId, Step>,
    stages: Vec<Stage>,
    running: Vec<Running>,
    tasks: Vec<Task>,
    cached: usize,
    /// Whether a step did.
    failed: bool,
    /// Why steps run.
    reasons: HashMap<StepId, String>,
}

/// Something beside the steps, with what is on its way in it.
struct Task {
    what: String,
    since: Duration,
    bars: Bars,
}

struct Stage {
    name: String,
    total: usize,
    finished: usize,
}

struct Running {
    step: StepId,
    since: Duration,
    lines: LineBuffer,
    tail: VecDeque<String>,
}

/// How many lines of output a step shows at most.
const TAIL: usize = 5;

/// What stands before a line that a step wrote.
pub(super) const SAID: &str = "    | ";

/// Columns of the word or time that begins a line that stays.
pub(super) const WORD: usize = 8;

/// Columns of the name of a stage.
const LONGEST_NAME: usize = 24;

impl View {
    pub(super) fn planned(&mut self, steps: Vec<Step>) {
        for step in steps {
            match self.stages.iter_mut().find(|stage| stage.name == step.stage) {
                Some(stage) => stage.total += 1,
                None => {
                    self.stages.push(Stage { name: step.stage.clone(), total: 1, finished: 0 });
                }
            }
            self.steps.insert(step.id, step);
        }
    }

    pub(super) fn missed(&mut self, step: StepId, reasons: &[Reason]) {
        self.reasons.insert(step, reasons::short(reasons));
    }

    pub(super) fn started(&mut self, step: StepId, at: Duration) {
        let (lines, tail) = (LineBuffer::default(), VecDeque::new());
        // One that had to wait for another build begins anew.
        self.running.retain(|running| running.step != step);
        self.running.push(Running { step, since: at, lines, tail });
    }

    pub(super) fn output(&mut self, step: StepId, stream: Stream, bytes: &[u8]) {
        let Some(running) = self.running.iter_mut().find(|running| running.step == step) else {
            return;
        };
        for line in running.lines.add(stream, bytes) {
            if line.trim().is_empty() {
                continue;
            }
            if running.tail.len() == TAIL {
                running.tail.pop_front();
            }
            running.tail.push_back(line.replace('\t', "    "));
        }
    }

    /// Takes a step out and returns the line that stays of it, of at most `width` columns.
    pub(super) fn finished(&mut self, id: StepId, result: &StepResult, width: usize) -> String {
        self.running.retain(|running| running.step != id);
        let step = self.steps.get(&id);
        if let Some(step) = step {
            let mut stages = self.stages.iter_mut();
            if let Some(stage) = stages.find(|stage| stage.name == step.stage) {
                stage.finished += 1;
            }
        }
        let label = step.map_or_else(|| format!("step {}", id.0), label);
        if let StepResult::Failed { .. } = result {
            self.packing(Some(id), None, 0, Duration::ZERO);
        }
        let word = match result {
            StepResult::Cached { .. } => "CACHED".to_owned(),
            // The first failure ends the others.
            StepResult::Failed { .. } if std::mem::replace(&mut self.failed, true) => {
                "CANCELED".to_owned()
            }
            StepResult::Failed { .. } => "ERROR".to_owned(),
            StepResult::Ran { duration, .. } => units::seconds(*duration),
            _ => String::new(),
        };
        let reason = match result {
            StepResult::Cached { created } => {
                self.cached += 1;
                Some(reasons::age(*created))
            }
            _ => self.reasons.remove(&id),
        };
        let head = format!("{word:>WORD$}  ");
        let room = width.saturating_sub(head.len());
        let Some(reason) = reason else { return head + &cut(&label, room) };
        // The instruction stands in the Dockerfile, and the reason nowhere else: it has half the line.
        let taken = console::measure_text_width(&reason) + 4;
        let label = cut(&label, room.saturating_sub(taken).max(room / 2));
        let rest = room.saturating_sub(console::measure_text_width(&label) + 4);
        format!("{head}{label}  ({})", cut(&reason, rest))
    }

    pub(super) fn task_started(&mut self, what: &str, at: Duration) {
        self.tasks.push(Task { what: what.to_owned(), since: at, bars: Bars::default() });
    }

    pub(super) fn task_finished(&mut self, what: &str) {
        self.tasks.retain(|task| task.what != what);
    }

    pub(super) fn task_progress(&mut self, what: &str, done: u64, size: u64, at: Duration) {
        if let Some(bars) = self.bars(what) {
            bars.update("", done, size, at);
        }
    }

    pub(super) fn transfer(&mut self, what: &str, transfer: Transfer, at: Duration) {
        let Some(bars) = self.bars(what) else { return };
        let name = transfer.blob.short();
        match transfer.state {
            TransferState::Moving { done } => bars.update(&name, done, transfer.size, at),
            _ => bars.end(&name),
        }
    }

    /// The layer of a step is on its way into a blob; `done` of its bytes, or all.
    pub(super) fn packing(
        &mut self,
        step: Option<StepId>,
        done: Option<u64>,
        size: u64,
        at: Duration,
    ) {
        let step = step.and_then(|step| self.steps.get(&step));
        let what =
            step.map_or_else(|| "packing a layer".into(), |it| "packing ".to_owned() + &label(it));
        let Some(done) = done else { return self.task_finished(&what) };
        if self.bars(&what).is_none() {
            self.task_started(&what, at);
        }
        self.task_progress(&what, done, size, at);
    }

    fn bars(&mut self, what: &str) -> Option<&mut Bars> {
        self.tasks.iter_mut().find(|task| task.what == what).map(|task| &mut task.bars)
    }

    /// The lines to show now, at most `height` of at most `width` columns.
    pub(super) fn lines(&self, at: Duration, width: usize, height: usize) -> Vec<String> {
        let open = self.stages.iter().filter(|stage| stage.finished < stage.total);
        let mut lines = vec![self.headline(at)];
        // What the stages and steps leave of the screen is shared out among the running steps.
        let fixed = 1 + open.clone().count() + self.running.len();
        let tail = height.saturating_sub(fixed) / self.running.len().max(1);
        let names = open.clone().map(|stage| console::measure_text_width(&stage.name)).max();
        let names = names.unwrap_or(0).min(LONGEST_NAME);
        for stage in open {
            let waiting = if self.running_in(stage).next().is_none() { "  waiting" } else { "" };
            let name = console::pad_str(&stage.name, names, console::Alignment::Left, Some("…"));
            lines.push(format!("{name}  {}/{}{waiting}", stage.finished, stage.total));
            for running in self.running_in(stage) {
                lines.extend(self.running_lines(running, at, width, tail.min(TAIL)));
            }
        }
        for task in &self.tasks {
            lines.push(timed(&task.what, at.saturating_sub(task.since), width));
            lines.extend(task.bars.lines(at).map(|bar| format!("  {bar}")));
        }
        lines.truncate(height.max(1));
        lines.iter().map(|line| cut(line, width)).collect()
    }

    fn headline(&self, at: Duration) -> String {
        let finished: usize = self.stages.iter().map(|stage| stage.finished).sum();
        let total: usize = self.stages.iter().map(|stage| stage.total).sum();
        let time = units::seconds(at);
        if total == 0 {
            return time;
        }
        format!("building {time}  {finished}/{total} steps, {} cached", self.cached)
    }

    fn running_in(&self, stage: &Stage) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(move |running| {
            self.steps.get(&running.step).is_some_and(|step| step.stage == stage.name)
        })
    }

    fn running_lines(
        &self,
        running: &Running,
        at: Duration,
        width: usize,
        tail: usize,
    ) -> Vec<String> {
        let text = self.steps.get(&running.step).map_or("", |step| step.text.as_str());
        let mut lines = vec![timed(&format!("  {text}"), at.saturating_sub(running.since), width)];
        let open = running.lines.open_line();
        let said: Vec<&String> = running.tail.iter().chain(&open).collect();
        let skipped = said.len().saturating_sub(tail);
        lines.extend(said[skipped..].iter().map(|line| format!("{SAID}{line}")));
        lines
    }
}

/// `[build 2/5] RUN make`, where a long name leaves room for the rest.
fn label(step: &Step) -> String {
    let prefix = cut(&step.prefix, LONGEST_NAME);
    step::label(&prefix, step.number, step.total, &step.text)
}

/// A line that ends with a time, at the edge of the screen.
fn timed(text: &str, time: Duration, width: usize) -> String {
    let time = units::seconds(time);
    let room = width.saturating_sub(time.len() + 2);
    let text = console::pad_str(text, room, console::Alignment::Left, Some("…"));
    format!("{text}  {time}")
}

fn cut(line: &str, width: usize) -> String {
    console::truncate_str(line, width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use dfbuild::Usage;

    use super::*;
    use crate::testing::{diff_id, step};

    fn view() -> View {
        let mut view = View::default();
        view.planned(vec![
            step(0, "base", 1, 2, "FROM debian"),
            step(1, "base", 2, 2, "RUN make all of it"),
            step(2, "app", 1, 2, "FROM base"),
            step(3, "app", 2, 2, "COPY . ."),
        ]);
        view
    }

    #[test]
    fn a_running_step_shows_its_last_lines() {
        let mut view = view();
        let cached = StepResult::Cached { created: SystemTime::now() };
        assert_eq!(
            view.finished(StepId(0), &cached, 79),
            "  CACHED  [base 1/2] FROM debian  (less than a second old)"
        );
        view.started(StepId(1), Duration::from_secs(1));
        view.output(StepId(1), Stream::Stdout, b"one\n\ntwo\nthr");
        assert_eq!(
            view.lines(Duration::from_millis(3500), 30, 20),
            [
                "building 3.5s  1/4 steps, 1 c…",
                "base  1/2",
                "  RUN make all of it      2.5s",
                "    | one",
                "    | two",
                "    | thr",
                "app   0/2  waiting",
            ]
        );
        assert_eq!(view.lines(Duration::from_secs(4), 80, 4).len(), 4);
        assert_eq!(view.lines(Duration::from_secs(4), 80, 5)[3], "    | thr");
        view.output(StepId(1), Stream::Stdout, b"ee\n10%\r20%\r");
        assert_eq!(view.lines(Duration::from_secs(4), 80, 20)[5..7], ["    | three", "    | 20%"]);
    }

    #[test]
    fn a_pull_shows_its_blobs() {
        let mut view = View::default();
        let at = Duration::from_secs;
        let transfer = |state| Transfer { blob: diff_id(), size: 2_000_000, state };
        view.task_started("pulling a", at(0));
        view.task_started("pulling b", at(1));
        view.transfer("pulling a", transfer(TransferState::Moving { done: 0 }), at(0));
        view.transfer("pulling a", transfer(TransferState::Moving { done: 1_500_000 }), at(2));
        let lines = view.lines(at(2), 80, 20);
        assert_eq!(lines[1], format!("{:<76}2.0s", "pulling a"));
        assert!(lines[2].ends_with("]  75%  1.5MB / 2MB  750kB/s  1s left"), "{lines:?}");
        assert!(lines[3].starts_with("pulling b "), "{lines:?}");
        view.transfer("pulling a", transfer(TransferState::Moved), at(2));
        view.task_finished("pulling b");
        assert_eq!(view.lines(at(2), 80, 20).len(), 2);
    }

    #[test]
    fn exports_and_layers_show_how_far_they_are() {
        let mut view = view();
        let at = Duration::from_secs;
        view.finished(StepId(0), &StepResult::Cached { created: SystemTime::now() }, 79);
        view.finished(StepId(2), &StepResult::Cached { created: SystemTime::now() }, 79);
        view.packing(Some(StepId(1)), Some(0), 40_000_000, at(0));
        view.packing(Some(StepId(1)), Some(30_000_000), 40_000_000, at(3));
        view.task_started("exporting a", at(3));
        view.task_progress("exporting a", 5_000_000, 10_000_000, at(3));
        let lines = view.lines(at(3), 80, 20);
        let packing = format!("{:<76}3.0s", "packing [base 2/2] RUN make all of it");
        assert_eq!(lines[3], packing);
        assert_eq!(lines[4], "  [###############-----]  75%  30MB / 40MB  10MB/s  1s left");
        assert_eq!(lines[6], "  [##########----------]  50%  5MB / 10MB");
        view.packing(Some(StepId(1)), None, 40_000_000, at(3));
        view.task_finished("exporting a");
        assert_eq!(view.lines(at(3), 80, 20).len(), 3);
        view.packing(None, Some(0), 1, at(3));
        assert!(view.lines(at(3), 80, 20)[3].starts_with("packing a layer "));
        let failed = StepResult::Failed { duration: at(1), usage: Usage::default() };
        view.packing(Some(StepId(1)), Some(0), 1, at(3));
        view.finished(StepId(1), &failed, 79);
        assert_eq!(view.lines(at(3), 80, 20).len(), 4);
    }

    #[test]
    fn lines_that_stay_fit() {
        let mut view = view();
        view.planned(vec![step(
            4,
            "a-stage-with-a-name-beyond-measure",
            1,
            1,
            "RUN echo one; echo two",
        )]);
        let ran = StepResult::Ran {
            duration: Duration::from_millis(1234),
            diff_id: diff_id(),
            usage: Usage::default(),
        };
        let line = |view: &mut View, width| {
            view.missed(StepId(4), &[Reason::Below { line: 3 }, Reason::NoCache]);
            view.finished(StepId(4), &ran, width)
        };
        assert_eq!(
            line(&mut view, 60),
            "    1.2s  [a-stage-with-a-name-bey…  (line 3 runs before i…)"
        );
        for width in 20..130 {
            let line = line(&mut view, width);
            assert!(console::measure_text_width(&line) <= width.max(20), "{width}: {line}");
        }
        let whole = line(&mut view, 130);
        assert!(whole.ends_with("echo two  (line 3 runs before it; --no-cache)"), "{whole}");
        view.missed(StepId(4), &[Reason::New]);
        let new = view.finished(StepId(4), &ran, 130);
        assert!(new.ends_with("echo two  (no earlier run)"), "{new}");
    }

    #[test]
    fn a_finished_stage_folds() {
        let mut view = view();
        let ran = StepResult::Ran {
            duration: Duration::from_millis(1234),
            diff_id: diff_id(),
            usage: Usage::default(),
        };
        view.started(StepId(1), Duration::ZERO);
        view.finished(StepId(0), &ran, 79);
        assert_eq!(view.finished(StepId(1), &ran, 79), "    1.2s  [base 2/2] RUN make all of it");
        let lines = view.lines(Duration::from_secs(2), 80, 20);
        assert_eq!(lines, ["building 2.0s  2/4 steps, 0 cached", "app  0/2  waiting"]);
        let failed = StepResult::Failed { duration: Duration::ZERO, usage: Usage::default() };
        assert_eq!(view.finished(StepId(3), &failed, 79), "   ERROR  [app 2/2] COPY . .");
        assert_eq!(view.finished(StepId(2), &failed, 79), "CANCELED  [app 1/2] FROM base");
    }
}
