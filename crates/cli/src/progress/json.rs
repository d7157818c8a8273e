use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, SystemTime};

use dfbuild::{
    Bust, Event, LineIndex, PackingState, Reason, StepId, StepResult, Stream, Timestamp,
    TransferState, Wait,
};
use serde::Serialize;

use super::Renderer;
use super::lines::LineBuffer;
use crate::cause::Cause;
use crate::failure::Failure;
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;
use crate::usage::UsageRecord;

/// One JSON object a line, for programs. The field `event` says which; `at` is in seconds since the
/// start of the build; `step` is the place of the step in `planned`.
pub(super) struct Json<W> {
    out: W,
    source: Source,
    lines: HashMap<StepId, LineBuffer>,
    /// When the last line was written: time does not run backwards in the log.
    last: f64,
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
    /// A step that is not in the cache has to wait.
    Waiting {
        step: usize,
        #[serde(flatten)]
        wait: WaitRecord<'a>,
    },
    /// It does no more.
    Waited {
        step: usize,
        #[serde(flatten)]
        wait: WaitRecord<'a>,
        seconds: f64,
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
        /// What it took, if it did not come from the cache.
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<UsageRecord>,
    },
    /// A layer is made into a blob.
    Packing {
        /// The step that made it.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<usize>,
        /// The length of its archive in bytes.
        size: u64,
        /// `moving` or `packed`.
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        done: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        blob: Option<String>,
        /// The length of the blob in bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        blob_size: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        /// Seconds of processor time.
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<f64>,
    },
    TaskStarted {
        what: &'a str,
    },
    /// Of exports to files; in bytes.
    TaskProgress {
        what: &'a str,
        done: u64,
        size: u64,
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
        #[serde(flatten)]
        cause: &'a Cause,
    },
}

/// What a step waits for.
#[derive(Serialize)]
#[serde(tag = "for", rename_all = "snake_case")]
enum WaitRecord<'a> {
    /// Another build that runs the same step.
    Build {
        pid: u32,
        since: String,
    },
    Slot,
    CacheMount {
        target: &'a str,
    },
    Unknown,
}

impl<'a> From<&'a Wait> for WaitRecord<'a> {
    fn from(wait: &'a Wait) -> Self {
        match wait {
            Wait::Build { pid, since } => Self::Build { pid: *pid, since: timestamp(*since) },
            Wait::Slot => Self::Slot,
            Wait::CacheMount { target } => Self::CacheMount { target },
            _ => Self::Unknown,
        }
    }
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W, source: Source) -> Self {
        Self { out, source, lines: HashMap::new(), last: 0.0 }
    }

    fn write(&mut self, at: f64, message: Message<'_>) {
        self.last = at.max(self.last);
        if let Ok(line) = serde_json::to_string(&Record { at: self.last, message }) {
            let _ = writeln!(self.out, "{line}");
        }
    }

    fn packing(&mut self, step: Option<StepId>, size: u64, state: &PackingState, at: f64) {
        let (mut done, mut blob, mut blob_size) = (None, None, None);
        let (mut seconds, mut cpu) = (None, None);
        let state = match state {
            PackingState::Moving { done: bytes } => {
                done = Some(*bytes);
                "moving"
            }
            PackingState::Packed { blob: digest, blob_size: bytes, duration, cpu: time } => {
                (blob, blob_size) = (Some(digest.to_string()), Some(*bytes));
                (seconds, cpu) = (Some(duration.as_secs_f64()), time.map(|it| it.as_secs_f64()));
                "packed"
            }
            _ => "unknown",
        };
        let step = step.map(|step| step.0);
        self.write(at, Message::Packing { step, size, state, done, blob, blob_size, seconds, cpu });
    }

    fn finished(&mut self, step: StepId, result: &StepResult, at: f64) {
        // Which stream an unfinished line was on is not worth remembering.
        for text in self.lines.remove(&step).unwrap_or_default().finish() {
            self.write(at, Message::Output { step: step.0, stream: "stdout", text: &text });
        }
        let (mut seconds, mut created, mut diff, mut used) = (None, None, None, None);
        let result = match result {
            StepResult::Cached { created: time } => {
                created = Some(timestamp(*time));
                "cached"
            }
            StepResult::Ran { duration, diff_id, usage } => {
                (seconds, diff) = (Some(duration.as_secs_f64()), Some(diff_id.to_string()));
                used = Some(UsageRecord::from(usage));
                "ran"
            }
            StepResult::Failed { duration, usage } => {
                (seconds, used) = (Some(duration.as_secs_f64()), Some(UsageRecord::from(usage)));
                "failed"
            }
            _ => "unknown",
        };
        let (step, diff_id, usage) = (step.0, diff, used);
        self.write(at, Message::Finished { step, result, seconds, created, diff_id, usage });
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
            Event::Waiting { step, wait } => {
                self.write(at, Message::Waiting { step: step.0, wait: WaitRecord::from(wait) });
            }
            Event::Waited { step, wait, duration } => {
                let (wait, seconds) = (WaitRecord::from(wait), duration.as_secs_f64());
                self.write(at, Message::Waited { step: step.0, wait, seconds });
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
            Event::Packing { step, size, state } => self.packing(*step, *size, state, at),
            Event::TaskProgress { what, done, size } => {
                let (done, size) = (*done, *size);
                self.write(at, Message::TaskProgress { what, done, size });
            }
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

    fn failed(&mut self, failure: &Failure, at: Duration) {
        let Failure { message: error, hints, cause } = failure;
        self.write(at.as_secs_f64(), Message::Failed { error, hints, cause });
    }

    fn close(&mut self) {
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use dfbuild::{CpuTime, Usage};

    use super::*;
    use crate::testing::{diff_id, step};

    #[test]
    fn events_are_lines() {
        let mut json = Json::new(Vec::new(), Source::default());
        let step = step(0, "build", 2, 5, "RUN make");
        let id = step.id;
        json.planned(vec![step], Duration::from_millis(1500));
        let mut usage = Usage::default();
        usage.command = Some(CpuTime { user: Duration::from_secs(1), system: Duration::ZERO });
        usage.layer = Some(1024);
        let wait = Wait::CacheMount { target: "/c".into() };
        let packing = |state| Event::Packing { step: Some(id), size: 1024, state };
        for event in [
            Event::Waiting { step: id, wait: wait.clone() },
            Event::Waited { step: id, wait, duration: Duration::from_secs(1) },
            Event::Started { step: id },
            Event::Output { step: id, stream: Stream::Stderr, bytes: b"half".to_vec() },
            Event::Output { step: id, stream: Stream::Stderr, bytes: b" \"line\"\n".to_vec() },
            Event::Finished {
                step: id,
                result: StepResult::Ran {
                    duration: Duration::from_secs(2),
                    diff_id: diff_id(),
                    usage,
                },
            },
            Event::Finished {
                step: id,
                result: StepResult::Cached { created: SystemTime::UNIX_EPOCH },
            },
            packing(PackingState::Moving { done: 512 }),
            packing(PackingState::Packed {
                blob: diff_id(),
                blob_size: 99,
                duration: Duration::from_secs(1),
                cpu: Some(Duration::from_secs(2)),
            }),
            Event::TaskProgress { what: "exporting a".into(), done: 1, size: 2 },
            Event::Transfer {
                what: "pulling a".into(),
                blob: diff_id(),
                size: 3,
                state: TransferState::Moving { done: 2 },
            },
        ] {
            json.event(&event, Duration::from_millis(1500));
        }
        json.note("late", Duration::from_secs(1));
        let failure = Failure { message: "it broke".into(), ..Failure::default() };
        json.failed(&failure, Duration::from_secs(2));
        let digest = diff_id();
        let expect = [
            r#"{"at":1.5,"event":"planned","steps":[{"step":0,"stage":"build","number":2,"total":5,"text":"RUN make","line":1,"last_line":1}]}"#,
            r#"{"at":1.5,"event":"waiting","step":0,"for":"cache_mount","target":"/c"}"#,
            r#"{"at":1.5,"event":"waited","step":0,"for":"cache_mount","target":"/c","seconds":1.0}"#,
            r#"{"at":1.5,"event":"started","step":0}"#,
            r#"{"at":1.5,"event":"output","step":0,"stream":"stderr","text":"half \"line\""}"#,
            &format!(
                r#"{{"at":1.5,"event":"finished","step":0,"result":"ran","seconds":2.0,"diff_id":"{digest}","usage":{{"user":1.0,"system":0.0,"layer":1024}}}}"#
            ),
            r#"{"at":1.5,"event":"finished","step":0,"result":"cached","created":"1970-01-01T00:00:00Z"}"#,
            r#"{"at":1.5,"event":"packing","step":0,"size":1024,"state":"moving","done":512}"#,
            &format!(
                r#"{{"at":1.5,"event":"packing","step":0,"size":1024,"state":"packed","blob":"{digest}","blob_size":99,"seconds":1.0,"cpu":2.0}}"#
            ),
            r#"{"at":1.5,"event":"task_progress","what":"exporting a","done":1,"size":2}"#,
            &format!(
                r#"{{"at":1.5,"event":"transfer","what":"pulling a","blob":"{digest}","size":3,"state":"moving","done":2}}"#
            ),
            r#"{"at":1.5,"event":"notice","text":"late"}"#,
            r#"{"at":2.0,"event":"failed","error":"it broke"}"#,
        ];
        let text = String::from_utf8(json.out).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), expect);
    }
}
