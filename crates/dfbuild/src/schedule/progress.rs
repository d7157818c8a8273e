use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use dfbuild_cache::Reason;
use dfbuild_image::Digest;
use dfbuild_plan::{Graph, StageId};

use crate::event::{Event, Observer, StepId, StepInfo, StepResult, Stream, Usage, Wait};

/// Tells the observer what happens, one call at a time, and counts.
pub(crate) struct Progress<'a> {
    observer: &'a dyn Observer,
    steps: HashMap<(StageId, usize), StepInfo>,
    counts: Mutex<Counts>,
}

/// Lets one of several threads speak at a time.
pub(crate) struct InTurn<'a> {
    observer: &'a dyn Observer,
    turn: Mutex<()>,
}

impl<'a> InTurn<'a> {
    pub(crate) fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, turn: Mutex::default() }
    }
}

impl Observer for InTurn<'_> {
    fn event(&self, event: &Event) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.observer.event(event);
    }
}

/// How many steps went which way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) cached: usize,
    pub(crate) ran: usize,
}

impl<'a> Progress<'a> {
    /// Announces the steps of a graph.
    pub(crate) fn new(observer: &'a dyn Observer, graph: &Graph) -> Self {
        let mut all = Vec::new();
        let mut steps = HashMap::new();
        for (number, stage) in graph.stages.iter().enumerate() {
            let platform = (graph.targets.len() > 1).then(|| stage.platform.to_string());
            let named = |name: Option<String>| {
                let words = platform.iter().cloned().chain(name);
                words.collect::<Vec<_>>().join(" ")
            };
            let (title, prefix) = (named(Some(stage.title())), named(stage.progress_name()));
            let first = stage.first_number();
            for (at, step) in stage.steps.iter().enumerate() {
                let info = StepInfo {
                    id: StepId(all.len()),
                    stage: title.clone(),
                    prefix: prefix.clone(),
                    number: first + at,
                    total: first + stage.steps.len() - 1,
                    text: step.text.split_whitespace().collect::<Vec<_>>().join(" "),
                    line: step.lines.start,
                    last_line: step.lines.end,
                };
                steps.insert((StageId(number), at), info.clone());
                all.push(info);
            }
        }
        observer.event(&Event::Planned { steps: all });
        for diagnostic in &graph.warnings {
            observer.event(&Event::Warning { diagnostic: diagnostic.clone() });
        }
        Self { observer, steps, counts: Mutex::default() }
    }

    /// What is known of a step.
    pub(crate) fn info(&self, stage: StageId, at: usize) -> &StepInfo {
        &self.steps[&(stage, at)]
    }

    /// The steps in their order.
    pub(crate) fn infos(&self) -> Vec<&StepInfo> {
        let mut infos: Vec<&StepInfo> = self.steps.values().collect();
        infos.sort_by_key(|info| info.id);
        infos
    }

    /// The line of a step.
    pub(crate) fn line(&self, step: StepId) -> usize {
        self.steps.values().find(|info| info.id == step).map_or(0, |info| info.line)
    }

    pub(crate) fn missed(&self, step: StepId, reasons: &[Reason]) {
        self.tell(&Event::Missed { step, reasons: reasons.to_vec() });
    }

    pub(crate) fn started(&self, step: StepId) -> Instant {
        self.tell(&Event::Started { step });
        Instant::now()
    }

    pub(crate) fn output(&self, step: StepId, stream: Stream, bytes: &[u8]) {
        self.tell(&Event::Output { step, stream, bytes: bytes.to_vec() });
    }

    pub(crate) fn cached(&self, step: StepId, created: SystemTime) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).cached += 1;
        self.tell(&Event::Finished { step, result: StepResult::Cached { created } });
    }

    pub(crate) fn ran(&self, step: StepId, since: Instant, diff_id: Digest, usage: Usage) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).ran += 1;
        let result = StepResult::Ran { duration: since.elapsed(), diff_id, usage };
        self.tell(&Event::Finished { step, result });
    }

    pub(crate) fn failed(&self, step: StepId, since: Instant, usage: Usage) {
        let result = StepResult::Failed { duration: since.elapsed(), usage };
        self.tell(&Event::Finished { step, result });
    }

    /// Tells that a step waits, from now until what is returned is dropped.
    pub(crate) fn waits(&self, step: StepId, wait: Wait) -> Waiting<'_> {
        self.tell(&Event::Waiting { step, wait: wait.clone() });
        Waiting { tell: Box::new(|event| self.tell(event)), step, wait, since: Instant::now() }
    }

    pub(crate) fn notice(&self, text: impl Into<String>) {
        self.tell(&Event::Notice { text: text.into() });
    }

    /// Tells of something beside the steps, while `work` does it.
    pub(crate) fn task<T, E>(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        task(&|event: &Event| self.tell(event), what, work)
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, event: &Event) {
        // The lock is what makes it one call at a time.
        let _turn = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.observer.event(event);
    }
}

/// A step waits.
pub(crate) struct Waiting<'a> {
    tell: Box<dyn Fn(&Event) + 'a>,
    step: StepId,
    wait: Wait,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (step, wait, duration) = (self.step, self.wait.clone(), self.since.elapsed());
        (self.tell)(&Event::Waited { step, wait, duration });
    }
}

/// Tells `observer` of something beside the steps, while `work` does it.
pub(crate) fn task<T, E>(
    observer: &dyn Observer,
    what: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let start = Instant::now();
    observer.event(&Event::TaskStarted { what: what.to_owned() });
    let done = work()?;
    observer.event(&Event::TaskFinished { what: what.to_owned(), duration: start.elapsed() });
    Ok(done)
}
