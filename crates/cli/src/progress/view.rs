use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dfbuild::{Reason, StepId, StepResult, Stream};

use super::lines::LineBuffer;
use super::transfer::Transfer;
use crate::step::Step;
use crate::{reasons, units};

/// What the live view shows, without a terminal: stages side by side, each with the steps that run
/// in it and their last lines of output.
#[derive(Default)]
pub(super) struct View {
    steps: HashMap<StepId, Step>,
    stages: Vec<Stage>,
    running: Vec<Running>,
    tasks: Vec<Task>,
    cached: usize,
    /// Why steps run.
    reasons: HashMap<StepId, String>,
}

/// Something beside the steps, with the blobs that are on their way in it.
struct Task {
    what: String,
    transfers: Vec<Transfer>,
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
        self.reasons.insert(step, reasons::line(reasons));
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

    /// Takes a step out and returns the line that stays of it.
    pub(super) fn finished(&mut self, id: StepId, result: &StepResult) -> String {
        self.running.retain(|running| running.step != id);
        let step = self.steps.get(&id);
        if let Some(step) = step {
            let mut stages = self.stages.iter_mut();
            if let Some(stage) = stages.find(|stage| stage.name == step.stage) {
                stage.finished += 1;
            }
        }
        let label = step.map_or_else(|| format!("step {}", id.0), Step::label);
        let word = match result {
            StepResult::Cached { created } => {
                self.cached += 1;
                let age = reasons::age(*created);
                return format!("{:>8}  {label}  ({age})", "CACHED");
            }
            StepResult::Failed { .. } => "ERROR".to_owned(),
            StepResult::Ran { duration, .. } => units::seconds(*duration),
            _ => String::new(),
        };
        match self.reasons.remove(&id) {
            Some(reasons) => format!("{word:>8}  {label}  ({reasons})"),
            None => format!("{word:>8}  {label}"),
        }
    }

    pub(super) fn task_started(&mut self, what: &str) {
        self.tasks.push(Task { what: what.to_owned(), transfers: Vec::new() });
    }

    pub(super) fn task_finished(&mut self, what: &str) {
        self.tasks.retain(|task| task.what != what);
    }

    pub(super) fn transfer(&mut self, what: &str, transfer: Transfer) {
        let Some(task) = self.tasks.iter_mut().find(|task| task.what == what) else { return };
        task.transfers.retain(|known| known.blob != transfer.blob || transfer.is_moving());
        match task.transfers.iter_mut().find(|known| known.blob == transfer.blob) {
            Some(known) => *known = transfer,
            None if transfer.is_moving() => task.transfers.push(transfer),
            None => {}
        }
    }

    /// The lines to show now, at most `height` of at most `width` columns.
    pub(super) fn lines(&self, at: Duration, width: usize, height: usize) -> Vec<String> {
        let open = self.stages.iter().filter(|stage| stage.finished < stage.total);
        let mut lines = vec![self.headline(at)];
        // What the stages and steps leave of the screen is shared out among the running steps.
        let fixed = 1 + open.clone().count() + self.running.len();
        let tail = height.saturating_sub(fixed) / self.running.len().max(1);
        let names = open.clone().map(|stage| console::measure_text_width(&stage.name)).max();
        let names = names.unwrap_or(0).min(24);
        for stage in open {
            let waiting = if self.running_in(stage).next().is_none() { "  waiting" } else { "" };
            let name = console::pad_str(&stage.name, names, console::Alignment::Left, Some("…"));
            lines.push(format!("{name}  {}/{}{waiting}", stage.finished, stage.total));
            for running in self.running_in(stage) {
                lines.extend(self.running_lines(running, at, width, tail.min(TAIL)));
            }
        }
        for task in &self.tasks {
            lines.push(task.what.clone());
            lines.extend(task.transfers.iter().map(|transfer| format!("  {transfer}")));
        }
        lines.truncate(height.max(1));
        let cut = |line: &String| console::truncate_str(line, width, "…").into_owned();
        lines.iter().map(cut).collect()
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
        let time = units::seconds(at.saturating_sub(running.since));
        let room = width.saturating_sub(time.len() + 4);
        let text = console::pad_str(text, room, console::Alignment::Left, Some("…"));
        let mut lines = vec![format!("  {text}  {time}")];
        let skipped = running.tail.len().saturating_sub(tail);
        lines.extend(running.tail.iter().skip(skipped).map(|line| format!("    | {line}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use dfbuild::TransferState;

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
            view.finished(StepId(0), &cached),
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
                "app   0/2  waiting",
            ]
        );
        assert_eq!(view.lines(Duration::from_secs(4), 80, 4).len(), 4);
        assert_eq!(view.lines(Duration::from_secs(4), 80, 5)[3], "    | two");
    }

    #[test]
    fn a_pull_shows_its_blobs() {
        let mut view = View::default();
        let transfer = |state| Transfer { blob: diff_id(), size: 2_000_000, state };
        view.task_started("pulling a");
        view.task_started("pulling b");
        view.transfer("pulling a", transfer(TransferState::Moving { done: 1000 }));
        view.transfer("pulling a", transfer(TransferState::Moving { done: 1_500_000 }));
        let short = diff_id().short();
        let blob = format!("  sha256:{short} 1.5MB / 2MB");
        let lines = ["2.0s", "pulling a", &blob, "pulling b"];
        assert_eq!(view.lines(Duration::from_secs(2), 80, 20), lines);
        view.transfer("pulling a", transfer(TransferState::Moved));
        view.task_finished("pulling b");
        assert_eq!(view.lines(Duration::from_secs(2), 80, 20), ["2.0s", "pulling a"]);
    }

    #[test]
    fn a_finished_stage_folds() {
        let mut view = view();
        let ran = StepResult::Ran { duration: Duration::from_millis(1234), diff_id: diff_id() };
        view.started(StepId(1), Duration::ZERO);
        view.finished(StepId(0), &ran);
        assert_eq!(view.finished(StepId(1), &ran), "    1.2s  [base 2/2] RUN make all of it");
        let lines = view.lines(Duration::from_secs(2), 80, 20);
        assert_eq!(lines, ["building 2.0s  2/4 steps, 0 cached", "app  0/2  waiting"]);
        let failed = StepResult::Failed { duration: Duration::ZERO };
        assert_eq!(view.finished(StepId(3), &failed), "   ERROR  [app 2/2] COPY . .");
    }
}
