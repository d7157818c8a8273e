use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use dfbuild::{
    DiagnosticKind, Digest, Event, PackingState, StepId, StepResult, TransferState, Wait,
};

use super::lines::LineBuffer;
use super::transfer::Transfer;
use super::{Renderer, is_worth_telling};
use crate::failure::Failure;
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;
use crate::units::human_size;
use crate::{diagnostics, reasons, units};

/// Line after line, as BuildKit's plain progress: `#N` is the N-th thing that is mentioned.
pub(super) struct Plain<W> {
    out: W,
    source: Source,
    colour: bool,
    steps: HashMap<StepId, Step>,
    running: HashMap<StepId, Running>,
    numbers: HashMap<Subject, usize>,
    /// The last number that was given.
    last_number: usize,
    /// When something that is on its way was last mentioned.
    moving: HashMap<Moving, Duration>,
    /// Whether a step did.
    failed: bool,
}

/// What is on its way is mentioned this often.
const MOVING_INTERVAL: Duration = Duration::from_secs(1);

/// What may be on its way.
#[derive(PartialEq, Eq, Hash)]
enum Moving {
    Blob(Digest),
    Task(String),
    Layer(Option<StepId>),
}

/// What a number stands for.
#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Step(StepId),
    Task(String),
}

struct Running {
    since: Duration,
    lines: LineBuffer,
}

impl Plain<Vec<u8>> {
    /// What was written since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

impl<W: Write> Plain<W> {
    pub(super) fn new(out: W, source: Source, colour: bool) -> Self {
        Self {
            out,
            source,
            colour,
            steps: HashMap::new(),
            running: HashMap::new(),
            numbers: HashMap::new(),
            last_number: 0,
            moving: HashMap::new(),
            failed: false,
        }
    }

    /// Writes a line. A reader that went away does not end the build.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    /// The number of a subject, and whether it is new.
    fn number(&mut self, subject: Subject) -> (usize, bool) {
        let next = self.last_number + 1;
        let number = *self.numbers.entry(subject).or_insert(next);
        self.last_number = self.last_number.max(number);
        (number, number == next)
    }

    /// The number of a step, which is introduced when it is first mentioned.
    fn step(&mut self, id: StepId) -> usize {
        let (number, new) = self.number(Subject::Step(id));
        if new {
            let label = self.steps.get(&id).map_or_else(|| format!("step {}", id.0), Step::label);
            self.line(&format!("#{number} {label}"));
        }
        number
    }

    fn output(&mut self, number: usize, since: Duration, at: Duration, lines: &[String]) {
        let seconds = at.saturating_sub(since).as_secs_f64();
        for line in lines {
            self.line(format!("#{number} {seconds:.3} {line}").trim_end());
        }
    }

    fn transfer(&mut self, what: &str, transfer: &Transfer, at: Duration) {
        let is_moving = matches!(transfer.state, TransferState::Moving { .. });
        if is_moving && !self.is_time(Moving::Blob(transfer.blob), at) {
            return;
        }
        let (number, _) = self.number(Subject::Task(what.to_owned()));
        self.line(&format!("#{number} {transfer}"));
    }

    /// Whether it is time to mention something that is on its way. The first time it never is.
    fn is_time(&mut self, what: Moving, at: Duration) -> bool {
        let last = self.moving.entry(what).or_insert(at);
        let is_time = at.saturating_sub(*last) >= MOVING_INTERVAL;
        if is_time {
            *last = at;
        }
        is_time
    }

    fn task_progress(&mut self, what: &str, done: u64, size: u64, at: Duration) {
        if self.is_time(Moving::Task(what.to_owned()), at) {
            let (number, _) = self.number(Subject::Task(what.to_owned()));
            self.line(&format!("#{number} {} / {}", human_size(done), human_size(size)));
        }
    }

    fn packing(&mut self, step: Option<StepId>, size: u64, state: &PackingState, at: Duration) {
        let size = human_size(size);
        let text = match state {
            PackingState::Moving { done: 0 } => {
                self.moving.insert(Moving::Layer(step), at);
                return;
            }
            PackingState::Moving { done } => format!("packing {} / {size}", human_size(*done)),
            // What was quick is not worth a word.
            PackingState::Packed { duration, .. } if *duration < MOVING_INTERVAL => return,
            PackingState::Packed { blob_size, duration, .. } => {
                let time = units::seconds(*duration);
                format!("packed {size} as {} in {time}", human_size(*blob_size))
            }
            _ => return,
        };
        let is_moving = matches!(state, PackingState::Moving { .. });
        if is_moving && !self.is_time(Moving::Layer(step), at) {
            return;
        }
        let number = if let Some(step) = step {
            self.step(step)
        } else {
            let (number, new) = self.number(Subject::Task("packing layers".into()));
            if new {
                self.line(&format!("#{number} packing layers that no step made"));
            }
            number
        };
        self.line(&format!("#{number} {text}"));
    }

    fn finished(&mut self, id: StepId, result: &StepResult, at: Duration) {
        let number = self.step(id);
        if let Some(Running { since, lines }) = self.running.remove(&id) {
            self.output(number, since, at, &lines.finish());
        }
        let text = match result {
            StepResult::Cached { created } => format!("CACHED {}", reasons::age(*created)),
            StepResult::Ran { duration, .. } => format!("DONE {}", units::seconds(*duration)),
            StepResult::Failed { duration, .. } => {
                // The first failure ends the others.
                let first = !std::mem::replace(&mut self.failed, true);
                let word = if first { "ERROR" } else { "CANCELED" };
                format!("{word} after {}", units::seconds(*duration))
            }
            _ => "DONE".to_owned(),
        };
        self.line(&format!("#{number} {text}"));
    }
}

impl<W: Write> Renderer for Plain<W> {
    fn source(&mut self, source: Source) {
        self.source = source;
    }

    fn planned(&mut self, steps: Vec<Step>, _: Duration) {
        for step in steps {
            // What is built a second time is introduced again.
            self.numbers.remove(&Subject::Step(step.id));
            self.steps.insert(step.id, step);
        }
    }

    fn event(&mut self, event: &Event, at: Duration) {
        match event {
            // A rule of the linter, whose findings come after the build, says the same.
            Event::Warning { diagnostic }
                if diagnostic.kind == DiagnosticKind::EmptyContinuation => {}
            Event::Warning { diagnostic } => {
                let text = diagnostics::render(&self.source, [diagnostic], self.colour);
                self.line(&text);
            }
            Event::Notice { text } => self.note(text, at),
            Event::Waiting { step, wait: wait @ Wait::Build { .. } } => {
                let number = self.step(*step);
                self.line(&format!("#{number} {}", units::waiting(wait)));
            }
            Event::Missed { step, reasons } => {
                let number = self.step(*step);
                self.line(&format!("#{number} MISS {}", reasons::line(reasons)));
            }
            Event::Busted { busts } => {
                for bust in busts.iter().filter(|bust| is_worth_telling(bust)) {
                    self.line(&format!("notice: {}", reasons::bust(bust, "re-ran")));
                }
            }
            Event::Started { step } => {
                self.step(*step);
                self.running.insert(*step, Running { since: at, lines: LineBuffer::default() });
            }
            Event::Output { step, stream, bytes } => {
                let number = self.step(*step);
                let running = self.running.entry(*step);
                let running =
                    running.or_insert_with(|| Running { since: at, lines: LineBuffer::default() });
                let (since, lines) = (running.since, running.lines.add(*stream, bytes));
                self.output(number, since, at, &lines);
            }
            Event::Finished { step, result } => self.finished(*step, result, at),
            Event::TaskStarted { what } => {
                let (number, _) = self.number(Subject::Task(what.clone()));
                self.line(&format!("#{number} {what}"));
            }
            Event::Transfer { what, .. } => {
                if let Some(transfer) = Transfer::of(event) {
                    self.transfer(what, &transfer, at);
                }
            }
            Event::TaskProgress { what, done, size } => {
                self.task_progress(what, *done, *size, at);
            }
            Event::Packing { step, size, state } => self.packing(*step, *size, state, at),
            Event::TaskFinished { what, duration } => {
                let (number, _) = self.number(Subject::Task(what.clone()));
                self.line(&format!("#{number} DONE {}", units::seconds(*duration)));
            }
            _ => {}
        }
        let _ = self.out.flush();
    }

    fn note(&mut self, text: &str, _: Duration) {
        self.line(&format!("notice: {text}"));
    }

    fn built(&mut self, summary: &Summary) {
        self.line(&summary.to_string());
    }

    fn failed(&mut self, _: &Failure, _: Duration) {}

    fn close(&mut self) {
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use dfbuild::{Reason, Stream, Usage};

    use super::*;
    use crate::testing::{diff_id, step};

    fn transcript(steps: Vec<Step>, events: &[(u64, Event)]) -> String {
        let mut plain = Plain::new(Vec::new(), Source::default(), false);
        plain.planned(steps, Duration::ZERO);
        for (at, event) in events {
            plain.event(event, Duration::from_millis(*at));
        }
        plain.close();
        String::from_utf8(plain.out).unwrap()
    }

    #[test]
    fn blobs_are_mentioned_once_a_second() {
        let what = "pulling r.example/a:1";
        let transfer =
            |state| Event::Transfer { what: what.into(), blob: diff_id(), size: 20_000_000, state };
        let moving = |done| transfer(TransferState::Moving { done });
        let text = transcript(
            Vec::new(),
            &[
                (0, Event::TaskStarted { what: what.into() }),
                (100, moving(1)),
                (900, moving(5_000_000)),
                (1200, moving(6_000_000)),
                (1300, moving(7_000_000)),
                (1500, transfer(TransferState::Moved)),
                (1500, transfer(TransferState::Existed)),
                (1500, transfer(TransferState::Mounted)),
            ],
        );
        let short = diff_id().short();
        assert_eq!(
            text,
            format!(
                "\
#1 pulling r.example/a:1
#1 sha256:{short} 6MB / 20MB
#1 sha256:{short} 20MB / 20MB done
#1 sha256:{short} 20MB exists
#1 sha256:{short} 20MB mounted
"
            )
        );
    }

    #[test]
    fn layers_and_exports_are_mentioned_once_a_second() {
        let packing = |state| Event::Packing { step: Some(StepId(0)), size: 40_000_000, state };
        let moving = |done| packing(PackingState::Moving { done });
        let packed = |millis| PackingState::Packed {
            blob: diff_id(),
            blob_size: 9_000_000,
            duration: Duration::from_millis(millis),
            cpu: None,
        };
        let what = "exporting oci archive out.tar";
        let export = |done| Event::TaskProgress { what: what.into(), done, size: 9_000_000 };
        let text = transcript(
            vec![step(0, "base", 1, 1, "RUN make")],
            &[
                (0, moving(0)),
                (900, moving(10_000_000)),
                (1100, moving(15_000_000)),
                (1300, packing(packed(1300))),
                (1300, moving(0)),
                (2000, packing(packed(700))),
                (2000, Event::TaskStarted { what: what.into() }),
                (2000, export(1_000_000)),
                (3000, export(5_000_000)),
            ],
        );
        assert_eq!(
            text,
            "\
#1 [base 1/1] RUN make
#1 packing 15MB / 40MB
#1 packed 40MB as 9MB in 1.3s
#2 exporting oci archive out.tar
#2 5MB / 9MB
"
        );
    }

    #[test]
    fn a_second_build_names_its_steps() {
        let mut plain = Plain::new(Vec::new(), Source::default(), false);
        for _ in 0..2 {
            plain.planned(vec![step(0, "base", 1, 1, "RUN make")], Duration::ZERO);
            plain.event(&Event::Started { step: StepId(0) }, Duration::ZERO);
        }
        assert_eq!(
            String::from_utf8(plain.out).unwrap(),
            "#1 [base 1/1] RUN make\n#2 [base 1/1] RUN make\n"
        );
    }

    #[test]
    fn two_stages_side_by_side() {
        let output = |step, stream, text: &str| Event::Output {
            step: StepId(step),
            stream,
            bytes: text.as_bytes().to_vec(),
        };
        let ran = |millis| StepResult::Ran {
            duration: Duration::from_millis(millis),
            diff_id: diff_id(),
            usage: Usage::default(),
        };
        let cached = StepResult::Cached { created: SystemTime::now() };
        let steps = vec![
            step(0, "base", 1, 2, "FROM debian"),
            step(1, "base", 2, 2, "RUN make"),
            step(2, "docs", 2, 3, "RUN man"),
        ];
        let text = transcript(
            steps,
            &[
                (0, Event::Finished { step: StepId(0), result: cached }),
                (998, Event::Missed { step: StepId(1), reasons: vec![Reason::New] }),
                (999, Event::Missed { step: StepId(2), reasons: vec![Reason::Below { line: 3 }] }),
                (1000, Event::Started { step: StepId(2) }),
                (1000, Event::Started { step: StepId(1) }),
                (1421, output(1, Stream::Stdout, "cc a.c\ncc ")),
                (1500, output(2, Stream::Stderr, "\u{1b}[1mhello\u{1b}[0m\n\n")),
                (1600, output(1, Stream::Stdout, "b.c\nno end")),
                (2200, Event::Finished { step: StepId(1), result: ran(1200) }),
                (
                    2250,
                    Event::Finished {
                        step: StepId(2),
                        result: StepResult::Failed {
                            duration: Duration::from_millis(1250),
                            usage: Usage::default(),
                        },
                    },
                ),
                (2300, Event::TaskStarted { what: "exporting oci archive out.tar".into() }),
                (
                    2400,
                    Event::TaskFinished {
                        what: "exporting oci archive out.tar".into(),
                        duration: Duration::from_millis(100),
                    },
                ),
                (2400, Event::Notice { text: "something".into() }),
            ],
        );
        assert_eq!(
            text,
            "\
#1 [base 1/2] FROM debian
#1 CACHED less than a second old
#2 [base 2/2] RUN make
#2 MISS no earlier run is known
#3 [docs 2/3] RUN man
#3 MISS line 3 runs before it
#2 0.421 cc a.c
#3 0.500 hello
#3 0.500
#2 0.600 cc b.c
#2 1.200 no end
#2 DONE 1.2s
#3 ERROR after 1.2s
#4 exporting oci archive out.tar
#4 DONE 0.1s
notice: something
"
        );
    }
}
