use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, SystemTime};

use dfbuild::{
    Bust, Event, LineIndex, Reason, StepId, StepResult, Stream, Timestamp, TransferState,
};
use serde::Serialize;

use super::Renderer;
use super::lines::LineBuffer;
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;

/// One JSON object a line, for programs. The field `event` says which; `at` is in seconds since the
/// start of the build; `step` is the place of the step in `planned`.
pub(super) struct Json<W> {
    out: W,
    source: Source,
    lines: HashMap<StepId, LineBuffer>,
}

/// A line of the log.
#[derive(Serialize)]
struct Record<'a> {
    at: f64,
    #[serde(flatten)]
    message: Message<'a>,
}

/// Mirrors the library's events, so that those can change without changing the log.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Message<'a> {
    Planned {
        steps: &'a [Step],
    },
    Warning {
        message: String,
        line: usize,
        column: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        help: Option<&'a str>,
    },
    Notice {
        text: &'a str,
    },
    /// Another build runs the same step.
    Waiting {
        step: usize,
        pid: u32,
        since: String,
    },
    Missed {
        step: usize,
        reasons: &'a [Reason],
    },
    Busted {
        busts: &'a [Bust],
    },
    Started {
        step: usize,
    },
    Output {
        step: usize,
        stream: &'static str,
        /// One line without its end, without what controls a terminal.
        text: &'a str,
    },
    Finished {
        step: usize,
        /// `cached`, `ran` or `failed`.
        result: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        /// When a cached result was made.
        #[serde(skip_serializing_if = "Option::is_none")]
        created: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        diff_id: Option<String>,
    },
    TaskStarted {
        what: &'a str,
    },
    /// A blob of a pull or a push.
    Transfer {
        what: &'a str,
        blob: String,
        /// All in bytes.
        size: u64,
        /// `moving`, `moved`, `existed`, `mounted` or `waiting`.
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        done: Option<u64>,
        /// For which process it waits.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    TaskFinished {
        what: &'a str,
        seconds: f64,
    },
    Built(&'a Summary),
    Failed {
        error: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        hints: &'a [String],
    },
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W, source: Source) -> Self {
        Self { out, source, lines: HashMap::new() }
    }

    fn write(&mut self, at: f64, message: Message<'_>) {
        if let Ok(line) = serde_json::to_string(&Record { at, message }) {
            let _ = writeln!(self.out, "{line}");
        }
    }

    fn finished(&mut self, step: StepId, result: &StepResult, at: f64) {
        // Which stream an unfinished line was on is not worth remembering.
        for text in self.lines.remove(&step).unwrap_or_default().finish() {
            self.write(at, Message::Output { step: step.0, stream: "stdout", text: &text });
        }
        let (mut seconds, mut created, mut diff) = (None, None, None);
        let result = match result {
            StepResult::Cached { created: time } => {
                created = Some(timestamp(*time));
                "cached"
            }
            StepResult::Ran { duration, diff_id } => {
                (seconds, diff) = (Some(duration.as_secs_f64()), Some(diff_id.to_string()));
                "ran"
            }
            StepResult::Failed { duration } => {
                seconds = Some(duration.as_secs_f64());
                "failed"
            }
            _ => "unknown",
        };
        self.write(at, Message::Finished { step: step.0, result, seconds, created, diff_id: diff });
    }
}

fn timestamp(time: SystemTime) -> String {
    Timestamp::from(time).to_string()
}

impl<W: Write> Renderer for Json<W> {
    fn source(&mut self, source: Source) {
        self.source = source;
    }

    fn planned(&mut self, steps: Vec<Step>, at: Duration) {
        self.write(at.as_secs_f64(), Message::Planned { steps: &steps });
    }

    fn event(&mut self, event: &Event, at: Duration) {
        let at = at.as_secs_f64();
        match event {
            Event::Warning { diagnostic } => {
                let place = LineIndex::new(&self.source.text).position(diagnostic.span.start);
                let (message, help) = (diagnostic.text(), diagnostic.help.as_deref());
                let (line, column) = (place.line, place.column);
                self.write(at, Message::Warning { message, line, column, help });
            }
            Event::Notice { text } => self.write(at, Message::Notice { text }),
            Event::Waiting { step, pid, since } => {
                let (step, pid, since) = (step.0, *pid, timestamp(*since));
                self.write(at, Message::Waiting { step, pid, since });
            }
            Event::Missed { step, reasons } => {
                self.write(at, Message::Missed { step: step.0, reasons });
            }
            Event::Busted { busts } => self.write(at, Message::Busted { busts }),
            Event::Started { step } => self.write(at, Message::Started { step: step.0 }),
            Event::Output { step, stream, bytes } => {
                let name = match stream {
                    Stream::Stdout => "stdout",
                    Stream::Stderr => "stderr",
                };
                for text in self.lines.entry(*step).or_default().add(*stream, bytes) {
                    let (step, text) = (step.0, text.as_str());
                    self.write(at, Message::Output { step, stream: name, text });
                }
            }
            Event::Finished { step, result } => self.finished(*step, result, at),
            Event::TaskStarted { what } => self.write(at, Message::TaskStarted { what }),
            Event::Transfer { what, blob, size, state } => {
                let (state, done, pid) = match state {
                    TransferState::Moving { done } => ("moving", Some(*done), None),
                    TransferState::Moved => ("moved", None, None),
                    TransferState::Existed => ("existed", None, None),
                    TransferState::Mounted => ("mounted", None, None),
                    TransferState::Waiting { pid } => ("waiting", None, Some(*pid)),
                    _ => ("unknown", None, None),
                };
                let (blob, size) = (blob.to_string(), *size);
                self.write(at, Message::Transfer { what, blob, size, state, done, pid });
            }
            Event::TaskFinished { what, duration } => {
                self.write(at, Message::TaskFinished { what, seconds: duration.as_secs_f64() });
            }
            _ => {}
        }
        let _ = self.out.flush();
    }

    fn note(&mut self, text: &str, at: Duration) {
        self.write(at.as_secs_f64(), Message::Notice { text });
    }

    fn built(&mut self, summary: &Summary) {
        self.write(summary.seconds, Message::Built(summary));
    }

    fn failed(&mut self, message: &str, hints: &[String], at: Duration) {
        self.write(at.as_secs_f64(), Message::Failed { error: message, hints });
    }

    fn close(&mut self) {
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{diff_id, step};

    #[test]
    fn events_are_lines() {
        let mut json = Json::new(Vec::new(), Source::default());
        let step = step(0, "build", 2, 5, "RUN make");
        let id = step.id;
        json.planned(vec![step], Duration::from_millis(1500));
        for event in [
            Event::Started { step: id },
            Event::Output { step: id, stream: Stream::Stderr, bytes: b"half".to_vec() },
            Event::Output { step: id, stream: Stream::Stderr, bytes: b" \"line\"\n".to_vec() },
            Event::Finished {
                step: id,
                result: StepResult::Ran { duration: Duration::from_secs(2), diff_id: diff_id() },
            },
            Event::Finished {
                step: id,
                result: StepResult::Cached { created: SystemTime::UNIX_EPOCH },
            },
            Event::Transfer {
                what: "pulling a".into(),
                blob: diff_id(),
                size: 3,
                state: TransferState::Moving { done: 2 },
            },
        ] {
            json.event(&event, Duration::from_millis(1500));
        }
        json.failed("it broke", &[], Duration::from_secs(2));
        let digest = diff_id();
        let expect = [
            r#"{"at":1.5,"event":"planned","steps":[{"step":0,"stage":"build","number":2,"total":5,"text":"RUN make","line":1,"last_line":1}]}"#,
            r#"{"at":1.5,"event":"started","step":0}"#,
            r#"{"at":1.5,"event":"output","step":0,"stream":"stderr","text":"half \"line\""}"#,
            &format!(
                r#"{{"at":1.5,"event":"finished","step":0,"result":"ran","seconds":2.0,"diff_id":"{digest}"}}"#
            ),
            r#"{"at":1.5,"event":"finished","step":0,"result":"cached","created":"1970-01-01T00:00:00Z"}"#,
            &format!(
                r#"{{"at":1.5,"event":"transfer","what":"pulling a","blob":"{digest}","size":3,"state":"moving","done":2}}"#
            ),
            r#"{"at":2.0,"event":"failed","error":"it broke"}"#,
        ];
        let text = String::from_utf8(json.out).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), expect);
    }
}
