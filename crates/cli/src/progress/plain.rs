use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use dfbuild::{Digest, Event, StepId, StepResult, TransferState};

use super::lines::LineBuffer;
use super::transfer::Transfer;
use super::{Renderer, is_worth_telling};
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;
use crate::{diagnostics, reasons, units};

/// Line after line, as BuildKit's plain progress: `#N` is the N-th thing that is mentioned.
pub(super) struct Plain<W> {
    out: W,
    source: Source,
    colour: bool,
    steps: HashMap<StepId, Step>,
    running: HashMap<StepId, Running>,
    numbers: HashMap<Subject, usize>,
    /// When a blob was last mentioned.
    transfers: HashMap<Digest, Duration>,
    /// Whether a step did.
    failed: bool,
}

/// A blob that is on its way is mentioned this often.
const TRANSFER_INTERVAL: Duration = Duration::from_secs(1);

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
            transfers: HashMap::new(),
            failed: false,
        }
    }

    /// Writes a line. A reader that went away does not end the build.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    /// The number of a subject, and whether it is new.
    fn number(&mut self, subject: Subject) -> (usize, bool) {
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(subject).or_insert(next);
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
        if let TransferState::Moving { .. } = transfer.state {
            let last = *self.transfers.entry(transfer.blob).or_insert(at);
            if at.saturating_sub(last) < TRANSFER_INTERVAL {
                return;
            }
            self.transfers.insert(transfer.blob, at);
        }
        let (number, _) = self.number(Subject::Task(what.to_owned()));
        self.line(&format!("#{number} {transfer}"));
    }

    fn finished(&mut self, id: StepId, result: &StepResult, at: Duration) {
        let number = self.step(id);
        if let Some(Running { since, lines }) = self.running.remove(&id) {
            self.output(number, since, at, &lines.finish());
        }
        let text = match result {
            StepResult::Cached { created } => format!("CACHED {}", reasons::age(*created)),
            StepResult::Ran { duration, .. } => format!("DONE {}", units::seconds(*duration)),
            StepResult::Failed { duration } => {
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
        self.steps.extend(steps.into_iter().map(|step| (step.id, step)));
    }

    fn event(&mut self, event: &Event, at: Duration) {
        match event {
            Event::Warning { diagnostic } => {
                let text = diagnostics::render(&self.source, [diagnostic], self.colour);
                self.line(&text);
            }
            Event::Notice { text } => self.note(text, at),
            Event::Waiting { step, pid, since } => {
                let number = self.step(*step);
                self.line(&format!("#{number} {}", units::waiting(*pid, *since)));
            }
            Event::Missed { reasons, .. } if reasons::is_first_run(reasons) => {}
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

    fn failed(&mut self, _: &str, _: &[String], _: Duration) {}

    fn close(&mut self) {
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use dfbuild::{Reason, Stream};

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
    fn two_stages_side_by_side() {
        let output = |step, stream, text: &str| Event::Output {
            step: StepId(step),
            stream,
            bytes: text.as_bytes().to_vec(),
        };
        let ran = |millis| StepResult::Ran {
            duration: Duration::from_millis(millis),
            diff_id: diff_id(),
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
                        result: StepResult::Failed { duration: Duration::from_millis(1250) },
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
#2 [docs 2/3] RUN man
#2 MISS line 3 runs before it
#3 [base 2/2] RUN make
#3 0.421 cc a.c
#2 0.500 hello
#2 0.500
#3 0.600 cc b.c
#3 1.200 no end
#3 DONE 1.2s
#2 ERROR after 1.2s
#4 exporting oci archive out.tar
#4 DONE 0.1s
notice: something
"
        );
    }
}
