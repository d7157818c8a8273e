use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use dfbuild::dockerfile::ast::{Instruction, InstructionKind};
use dfbuild::dockerfile::parse;
use dfbuild::{DiagnosticKind, Event, StepId, StepResult, Wait};

use super::Renderer;
use super::lines::LineBuffer;
use super::turns::Turns;
use crate::failure::Failure;
use crate::output::short_id;
use crate::source::Source;
use crate::step::Step;
use crate::summary::Summary;
use crate::{diagnostics, units};

/// As Docker's builder before BuildKit showed a build, one step after the other, for scripts
/// that look for its words. Like there it goes to standard output; what is not about a step goes
/// to standard error. Of stages that are not needed because all that is copied from them is
/// cached, nothing is told.
pub(super) struct Classic<W, E> {
    out: W,
    err: E,
    source: Source,
    turns: Turns,
    /// What stands above what a step says: its number and text, and those of instructions before it
    /// that make no layer.
    heads: HashMap<StepId, String>,
    /// The instructions behind the last step.
    end: String,
    lines: HashMap<StepId, LineBuffer>,
}

impl<W: Write, E: Write> Classic<W, E> {
    pub(super) fn new(out: W, err: E) -> Self {
        Self {
            out,
            err,
            source: Source::default(),
            turns: Turns::default(),
            heads: HashMap::new(),
            end: String::new(),
            lines: HashMap::new(),
        }
    }

    /// Writes a text. A reader that went away does not end the build.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    fn say(&mut self, step: StepId, text: &str) {
        self.turns.expect(step);
        let text = self.heads.remove(&step).unwrap_or_default() + text;
        let shown = self.turns.say(step, text);
        self.write(&shown);
    }

    fn finished(&mut self, step: StepId, result: &StepResult) {
        let rest = self.lines.remove(&step).map(LineBuffer::finish).unwrap_or_default();
        let mut text = joined(&rest);
        match result {
            StepResult::Cached { .. } => text.push_str(" ---> Using cache\n"),
            StepResult::Ran { diff_id, .. } => {
                text.push_str(&format!(" ---> {}\n", short_id(&diff_id.to_string())));
            }
            _ => {}
        }
        self.turns.expect(step);
        let text = self.heads.remove(&step).unwrap_or_default() + &text;
        let shown = self.turns.end(step, text);
        self.write(&shown);
    }
}

impl<W: Write, E: Write> Renderer for Classic<W, E> {
    fn source(&mut self, source: Source) {
        self.source = source;
    }

    fn planned(&mut self, steps: Vec<Step>, _: Duration) {
        let parsed = parse(&self.source.text);
        let file = &parsed.dockerfile;
        // Stages that are left out have no part in it.
        let stages = file.stages().filter(|stage| {
            let is_planned =
                |instruction: &Instruction<'_>| at(&steps, instruction).next().is_some();
            !stage.instructions.iter().any(makes_a_layer)
                || stage.instructions.iter().any(is_planned)
        });
        let all = stages.flat_map(|stage| std::iter::once(stage.header).chain(stage.instructions));
        let all: Vec<&Instruction<'_>> = file.global_args().iter().chain(all).collect();
        let mut head = String::new();
        for (number, instruction) in all.iter().enumerate() {
            let text = instruction.original.text();
            head.push_str(&format!("Step {}/{} : {text}\n", number + 1, all.len()));
            // The triggers of a base stand at its `FROM`.
            for step in at(&steps, instruction) {
                self.heads.insert(step.id, std::mem::take(&mut head));
            }
        }
        self.end = head;
    }

    fn event(&mut self, event: &Event, at: Duration) {
        match event {
            // A rule of the linter, whose findings come after the build, says the same.
            Event::Warning { diagnostic }
                if diagnostic.kind == DiagnosticKind::EmptyContinuation => {}
            Event::Warning { diagnostic } => {
                let text = diagnostics::render(&self.source, [diagnostic], false);
                let _ = writeln!(self.err, "{text}");
            }
            Event::Notice { text } => self.note(text, at),
            Event::Waiting { step, wait: wait @ Wait::Build { .. } } => {
                self.say(*step, &format!(" ---> {}\n", units::waiting(wait)));
            }
            Event::Output { step, stream, bytes } => {
                let lines = self.lines.entry(*step).or_default().add(*stream, bytes);
                self.say(*step, &joined(&lines));
            }
            Event::Started { step } => self.say(*step, ""),
            Event::Finished { step, result } => self.finished(*step, result),
            _ => {}
        }
    }

    fn note(&mut self, text: &str, _: Duration) {
        let _ = writeln!(self.err, "notice: {text}");
    }

    fn built(&mut self, summary: &Summary) {
        let mut text = std::mem::take(&mut self.end);
        text.push_str(&format!("Successfully built {}\n", short_id(&summary.image_id)));
        for tag in &summary.short_tags {
            text.push_str(&format!("Successfully tagged {tag}\n"));
        }
        self.write(&text);
    }

    fn failed(&mut self, _: &Failure, _: Duration) {}

    fn close(&mut self) {
        let rest = self.turns.rest();
        self.write(&rest);
    }
}

/// The steps that an instruction makes.
fn at<'s>(steps: &'s [Step], instruction: &Instruction<'_>) -> impl Iterator<Item = &'s Step> {
    let line = instruction.lines.start;
    steps.iter().filter(move |step| step.line == line)
}

fn makes_a_layer(instruction: &Instruction<'_>) -> bool {
    matches!(
        instruction.kind,
        InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_)
    )
}

fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use dfbuild::{Stream, Usage};

    use super::*;
    use crate::testing::{diff_id, step};

    #[test]
    fn the_words_that_scripts_look_for() {
        let text = "ARG V=1\nFROM base AS a\nRUN one\nFROM base AS unused\nRUN never\n\
                    FROM base\nENV A=b\nCOPY --from=a \\\n  /x /\nCMD run\n";
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut classic = Classic::new(&mut out, &mut err);
        classic.source(Source::standard_input(text));
        let mut copy = step(1, "stage-2", 2, 2, "COPY --from=a /x /");
        copy.line = 8;
        let mut run = step(0, "a", 2, 2, "RUN one");
        run.line = 3;
        classic.planned(vec![copy, run], Duration::ZERO);
        let id = StepId;
        for event in [
            Event::Started { step: id(0) },
            Event::Finished {
                step: id(1),
                result: StepResult::Cached { created: SystemTime::UNIX_EPOCH },
            },
            Event::Output { step: id(0), stream: Stream::Stdout, bytes: b"hi".to_vec() },
            Event::Finished {
                step: id(0),
                result: StepResult::Ran {
                    duration: Duration::ZERO,
                    diff_id: diff_id(),
                    usage: Usage::default(),
                },
            },
        ] {
            classic.event(&event, Duration::ZERO);
        }
        classic.built(&Summary {
            image_id: format!("sha256:{}", "12".repeat(32)),
            digest: String::new(),
            tags: Vec::new(),
            short_tags: vec!["app:latest".to_owned()],
            size: 0,
            layers: 1,
            cached: 1,
            ran: 1,
            seconds: 0.0,
        });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Step 1/7 : ARG V=1\nStep 2/7 : FROM base AS a\nStep 3/7 : RUN one\nhi\n \
             ---> abababababab\nStep 4/7 : FROM base\nStep 5/7 : ENV A=b\n\
             Step 6/7 : COPY --from=a   /x /\n ---> Using cache\nStep 7/7 : CMD run\n\
             Successfully built 121212121212\nSuccessfully tagged app:latest\n"
        );
        assert!(err.is_empty());
    }
}
