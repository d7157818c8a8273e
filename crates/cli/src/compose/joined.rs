use std::sync::{Mutex, PoisonError};

use dfbuild::dockerfile::parse;
use dfbuild::{Error, Event, Observer, StepId, StepInfo};

use crate::progress::Progress;
use crate::source::Source;

/// Shows several builds as one: their steps get numbers of their own, and the name of their service, as
/// Compose has BuildKit write them: `[web 2/5] RUN make`, `[web] exporting image`.
pub(super) struct Joined<'p> {
    progress: &'p Progress,
    /// How many steps there are so far.
    steps: Mutex<usize>,
}

/// One of the builds.
pub(super) struct Member<'j> {
    joined: &'j Joined<'j>,
    service: &'j str,
    source: &'j Source,
    /// Whether its Dockerfile has several stages: only then they need names.
    has_stages: bool,
    /// The number of its first step.
    first: Mutex<usize>,
}

impl<'p> Joined<'p> {
    pub(super) fn new(progress: &'p Progress) -> Self {
        Self { progress, steps: Mutex::new(0) }
    }

    /// The observer of the build of one service.
    pub(super) fn member<'j>(&'j self, service: &'j str, source: &'j Source) -> Member<'j> {
        let has_stages = parse(&source.text).dockerfile.stages().len() > 1;
        Member { joined: self, service, source, has_stages, first: Mutex::new(0) }
    }
}

impl Member<'_> {
    fn id(&self, id: StepId) -> StepId {
        StepId(*self.first.lock().unwrap_or_else(PoisonError::into_inner) + id.0)
    }

    fn step(&self, step: &StepInfo) -> StepInfo {
        let mut step = step.clone();
        step.id = self.id(step.id);
        step.stage = self.stage(&step.stage);
        step
    }

    /// The name of a stage behind that of the service. The platform before it stays, if it has one.
    fn stage(&self, stage: &str) -> String {
        let platform = stage.rsplit_once(' ').map_or("", |(platform, _)| platform);
        let own = if self.has_stages { stage } else { platform };
        format!("{} {own}", self.service).trim_end().to_owned()
    }

    fn named(&self, text: &str) -> String {
        format!("[{}] {text}", self.service)
    }

    /// The error with the step as it is shown.
    pub(super) fn error(&self, mut error: Error) -> Error {
        if let Error::Step { step, .. } = &mut error {
            **step = self.step(step);
        }
        error
    }
}

impl Observer for Member<'_> {
    fn event(&self, event: &Event) {
        let mut event = event.clone();
        match &mut event {
            Event::Planned { steps } => {
                {
                    // A build that begins anew gets new numbers.
                    let count = &self.joined.steps;
                    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
                    *self.first.lock().unwrap_or_else(PoisonError::into_inner) = *count;
                    *count += steps.len();
                }
                *steps = steps.iter().map(|step| self.step(step)).collect();
            }
            Event::Waiting { step, .. }
            | Event::Waited { step, .. }
            | Event::Packing { step: Some(step), .. }
            | Event::Missed { step, .. }
            | Event::Started { step }
            | Event::Output { step, .. }
            | Event::Finished { step, .. } => *step = self.id(*step),
            Event::Notice { text } => *text = format!("{}: {text}", self.service),
            Event::TaskStarted { what }
            | Event::TaskProgress { what, .. }
            | Event::TaskFinished { what, .. }
            | Event::Transfer { what, .. } => *what = self.named(what),
            Event::Warning { .. } => {
                // Its place is in this Dockerfile.
                let count = &self.joined.steps;
                let _one_at_a_time = count.lock().unwrap_or_else(PoisonError::into_inner);
                self.joined.progress.read(self.source.clone());
                self.joined.progress.event(&event);
                return;
            }
            _ => {}
        }
        self.joined.progress.event(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Mode;

    #[test]
    fn stages_are_named_where_there_are_several() {
        let progress = Progress::new(Mode::Quiet, false);
        let joined = Joined::new(&progress);
        let check = |text: &str, stage: &str, expect: &str| {
            let source = Source { name: String::new(), text: text.to_owned() };
            assert_eq!(joined.member("web", &source).stage(stage), expect);
        };
        let (one, two) = ("FROM a AS b\n", "FROM a AS b\nFROM b\n");
        check(one, "b", "web");
        check(one, "linux/arm64 b", "web linux/arm64");
        check(two, "stage-1", "web stage-1");
        check(two, "linux/arm64 stage-1", "web linux/arm64 stage-1");
    }
}
