use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dfbuild::{Event, StepId};

use super::Renderer;
use super::plain::Plain;
use super::turns::Turns;
use crate::failure::Failure;
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;
use crate::workflow::{escape, property};

/// A service that runs builds and folds parts of their logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forge {
    /// `::group::`, see "Workflow commands for GitHub Actions".
    GitHub,
    /// `section_start`, see "Custom collapsible sections" of GitLab.
    GitLab,
}

impl Forge {
    /// The one that this process runs in.
    pub(crate) fn detect(environment: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let is_set = |name| environment(name).is_some_and(|value| value == "true");
        if is_set("GITHUB_ACTIONS") {
            return Some(Self::GitHub);
        }
        is_set("GITLAB_CI").then_some(Self::GitLab)
    }

    /// What begins a part. `run` tells the sections of this process from those of others in the same job.
    fn open(self, (run, step): (u32, StepId), label: &str, now: u64) -> String {
        match self {
            Self::GitHub => format!("::group::{label}\n"),
            Self::GitLab => {
                format!("\u{1b}[0Ksection_start:{now}:dfbuild_{run}_{}\r\u{1b}[0K{label}\n", step.0)
            }
        }
    }

    fn close(self, (run, step): (u32, StepId), now: u64) -> String {
        match self {
            Self::GitHub => "::endgroup::\n".to_owned(),
            Self::GitLab => {
                format!("\u{1b}[0Ksection_end:{now}:dfbuild_{run}_{}\r\u{1b}[0K\n", step.0)
            }
        }
    }
}

/// Line after line, what a step says in a part of its own that can be folded.
pub(super) struct Grouped<W> {
    forge: Forge,
    out: W,
    plain: Plain<Vec<u8>>,
    turns: Turns,
    /// The steps whose part has begun and not ended.
    open: HashSet<StepId>,
    steps: Vec<Step>,
    run: u32,
    clock: fn() -> u64,
}

impl<W: Write> Grouped<W> {
    pub(super) fn new(forge: Forge, out: W, source: Source, colour: bool) -> Self {
        let plain = Plain::new(Vec::new(), source, colour);
        let (turns, open, steps) = (Turns::default(), HashSet::new(), Vec::new());
        let run = std::process::id();
        Self { forge, out, plain, turns, open, steps, run, clock: seconds_now }
    }

    /// Writes a text. A reader that went away does not end the build.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    /// What the plain way of showing made of the last event.
    fn said(&mut self) -> String {
        String::from_utf8_lossy(&self.plain.take()).into_owned()
    }

    /// What begins the part of a step, the first time that it says something.
    fn open(&mut self, step: StepId) -> String {
        if !self.open.insert(step) {
            return String::new();
        }
        self.turns.expect(step);
        self.forge.open((self.run, step), &self.label(step), (self.clock)())
    }

    fn label(&self, id: StepId) -> String {
        let step = self.steps.iter().find(|step| step.id == id);
        step.map(Step::label).unwrap_or_default()
    }
}

impl<W: Write> Renderer for Grouped<W> {
    fn source(&mut self, source: Source) {
        self.plain.source(source);
    }

    fn planned(&mut self, steps: Vec<Step>, at: Duration) {
        self.steps.extend(steps.iter().cloned());
        self.plain.planned(steps, at);
    }

    fn event(&mut self, event: &Event, at: Duration) {
        self.plain.event(event, at);
        let said = self.said();
        let text = match event {
            Event::Missed { step, .. }
            | Event::Waiting { step, .. }
            | Event::Started { step }
            | Event::Output { step, .. } => {
                let open = self.open(*step);
                self.turns.say(*step, open + &said)
            }
            Event::Finished { step, .. } if self.open.remove(step) => {
                let close = self.forge.close((self.run, *step), (self.clock)());
                self.turns.end(*step, said + &close)
            }
            _ => self.turns.aside(said),
        };
        self.write(&text);
    }

    fn note(&mut self, text: &str, at: Duration) {
        self.plain.note(text, at);
        let said = self.said();
        self.write(&said);
    }

    fn built(&mut self, summary: &Summary) {
        self.plain.built(summary);
        let said = self.said();
        self.write(&said);
    }

    /// GitHub shows it above the log and beside the change as well.
    fn failed(&mut self, failure: &Failure, _: Duration) {
        if self.forge == Forge::GitHub {
            let hints = failure.hints.iter().map(|hint| format!("\nhint: {hint}"));
            let text = escape(&format!("{}{}", failure.message, hints.collect::<String>()));
            let place = failure.cause.place();
            let place = place.map(|(file, line)| format!("file={},line={line},", property(file)));
            let place = place.unwrap_or_default();
            self.write(&format!("::error {place}title=dfbuild::{text}\n"));
        }
    }

    fn close(&mut self) {
        // Those that were cancelled do not finish.
        let mut open: Vec<StepId> = self.open.drain().collect();
        open.sort_by_key(|step| step.0);
        let mut text = String::new();
        for step in open {
            let close = self.forge.close((self.run, step), (self.clock)());
            text.push_str(&self.turns.end(step, close));
        }
        text.push_str(&self.turns.rest());
        self.write(&text);
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use dfbuild::{Error, StepResult, Stream, Usage};

    use super::*;
    use crate::testing::{diff_id, step};

    #[test]
    fn steps_side_by_side_are_told_apart() {
        let transcript = |forge| {
            let mut out = Vec::new();
            let mut grouped = Grouped::new(forge, &mut out, Source::default(), false);
            (grouped.clock, grouped.run) = (|| 7, 5);
            grouped.planned(
                vec![step(0, "a", 2, 2, "RUN a"), step(1, "b", 2, 2, "RUN b")],
                Duration::ZERO,
            );
            let output = |id, text: &str| Event::Output {
                step: StepId(id),
                stream: Stream::Stdout,
                bytes: text.as_bytes().to_vec(),
            };
            let ran = |id| Event::Finished {
                step: StepId(id),
                result: StepResult::Ran {
                    duration: Duration::from_secs(1),
                    diff_id: diff_id(),
                    usage: Usage::default(),
                },
            };
            for event in [
                Event::Started { step: StepId(0) },
                Event::Started { step: StepId(1) },
                output(1, "from b\n"),
                output(0, "from a\n"),
                Event::TaskStarted { what: "[db] exporting image".to_owned() },
                ran(1),
                ran(0),
            ] {
                grouped.event(&event, Duration::ZERO);
            }
            grouped.close();
            let (name, reason) = ("b".to_owned(), "50% of it".to_owned());
            let hint = Some("try again".to_owned());
            let error = Error::Image { name, reason, hint, line: Some(3), source: None };
            let folder = Some(PathBuf::from("a,b"));
            let place = Source { folder, ..Source::standard_input("") };
            let failure = Failure::of(&error, &place);
            grouped.failed(&failure, Duration::ZERO);
            String::from_utf8(out).unwrap()
        };
        let text = transcript(Forge::GitHub);
        let (_, annotation) = text.split_once("::error ").unwrap();
        assert!(annotation.starts_with("file=a%2Cb/Dockerfile,line=3,title=dfbuild::"), "{text}");
        assert!(annotation.ends_with("50%25 of it%0Ahint: try again\n"), "{text}");
        let groups: Vec<&str> = text.split("::endgroup::\n").collect();
        assert_eq!(groups.len(), 3, "{text}");
        assert!(groups[0].starts_with("::group::[") && groups[0].contains("from a"), "{text}");
        assert!(groups[1].contains("::group::[") && groups[1].contains("from b"), "{text}");
        let (before, _) = text.split_once("exporting image").unwrap();
        assert_eq!(before.matches("::group::").count(), before.matches("::endgroup::").count());
        let text = transcript(Forge::GitLab);
        assert!(text.starts_with("\u{1b}[0Ksection_start:7:dfbuild_5_0\r\u{1b}[0K["), "{text:?}");
        assert!(text.ends_with("\u{1b}[0Ksection_end:7:dfbuild_5_1\r\u{1b}[0K\n"), "{text:?}");
    }

    #[test]
    fn forges() {
        let only =
            |name: &'static str| move |asked: &str| (asked == name).then(|| "true".to_owned());
        assert_eq!(Forge::detect(&only("GITHUB_ACTIONS")), Some(Forge::GitHub));
        assert_eq!(Forge::detect(&only("GITLAB_CI")), Some(Forge::GitLab));
        assert_eq!(Forge::detect(&only("CI")), None);
    }
}
